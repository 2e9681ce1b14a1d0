// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
//
// vmm/ turns a libvirt <domain> document into a running QEMU and watches over it. It is told which
// descriptors a NIC has and never how a switch, a tap or a filter works.
//
//   XML ──parse──▶ Spec ──complete──▶ Spec ──compile──▶ Launch (argv, descriptor slots)
//                  (as written)       (uuid, MACs,              │
//                                      PCI addresses)           ▼
//                                                    Guest: spawn, QMP, cont, watch, destroy
//
// * Spec (this file) is what the user asked for: plain values, comparable. A *running* guest has a copy
//   whose `tty` and `live` members are filled too; parse() never fills those, and format() writes them
//   only for a running guest. So what a client copies from a running guest and defines again is clean.
// * xml.h: text to Spec and back, in libvirt's element order. Whatever is not realised is refused by name
//   and line; nothing is silently dropped.
// * defaults.h fills in what the user left out; addresses.h gives every device a PCI slot which then stays
//   in the definition, so that a guest sees the same hardware at every boot.
// * compile.h is pure: golden files hold .xml against .argv.
// * qmp.h is the protocol as a codec; guest.h the life-cycle, over the interfaces of kernel/io.h.
//
// Invariants: QEMU gets every descriptor from us and opens none but /dev/kvm, /dev/ptmx, /dev/urandom, its
// display's socket, the sockets of its own networks (type user, mcast, server, client, udp), a NIC's ROM and the kernel
// and initrd files; it runs under a seccomp filter and without the right to start
// programs; a byte from QEMU is bounded in size and depth before it is used, since a guest may have taken it over.
//
// Example: <interface type='network'> with <source network='default'/>, <model type='virtio'/> becomes,
// with one tap queue and kernel vhost, `-netdev tap,id=hostnet0,fd=4,vhost=on,vhostfd=5 -device
// virtio-net-pci,netdev=hostnet0,id=net0,mac=…,bus=pcie.0,addr=0x2`, descriptors 3 (monitor), 4 and 5.
//
// Deliberately not here: SPICE, firmware other than SeaBIOS, host devices, hot-plug, NUMA, tuning. Each is
// refused by name in xml*.cpp until it is realised.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "vmm/devices.h"

namespace bascule::vmm {

// Members have initialisers, `{}` too, so that a designated initialiser may leave any of them out.

enum class Accelerator { kvm, tcg };  // type='kvm', type='qemu'

enum class Chipset { q35, i440fx };

// Which CPU the guest sees. `absent` is the accelerator's best: host under KVM, max under TCG.
enum class CpuMode { absent, host_passthrough, host_model, maximum, custom };

struct CpuTopology {
    unsigned sockets = 1, dies = 1, cores = 1, threads = 1;
    unsigned total() const { return sockets * dies * cores * threads; }
    bool operator==(const CpuTopology&) const = default;
};

struct CpuFeature {
    std::string policy{}, name{};  // force, require, optional, disable, forbid; a word of QEMU's
    bool operator==(const CpuFeature&) const = default;
};

struct Cpu {
    CpuMode mode = CpuMode::absent;
    bool migratable = true;                 // host-passthrough only
    std::string match{}, check{};           // as written; empty: what the mode has otherwise
    std::string model{}, fallback{};        // custom: a name of QEMU's
    std::string vendor{};                   // as written: QEMU's models have theirs
    std::optional<CpuTopology> topology{};  // its total is the number of vCPUs
    std::vector<CpuFeature> features{};
    bool operator==(const Cpu&) const = default;
};

// Kept as written where there is no such device.
enum class BootDevice { hd, network, cdrom, fd };

struct Os {
    std::string machine = "q35";  // as written: q35, pc, pc-q35-7.2, pc-i440fx-7.2 …
    std::vector<BootDevice> boot{};
    std::string kernel{}, initrd{}, cmdline{};  // paths on the host; empty: none
    std::optional<bool> boot_menu{};
    std::optional<unsigned> boot_menu_timeout{};  // ms
    std::optional<bool> bios_serial{};
    std::optional<int> reboot_timeout{};  // ms; -1: never
    Chipset chipset() const;
    bool operator==(const Os&) const = default;
};

// <hyperv>: enlightenments by name, in the document's order.
struct HypervFeature {
    std::string name{};
    bool on = true;
    std::string value{};           // vendor_id, spinlocks' retries
    std::optional<bool> direct{};  // stimer
    bool operator==(const HypervFeature&) const = default;
};

struct Features {
    bool acpi = false, apic = false, pae = false;
    std::optional<bool> apic_eoi{};
    // <vmport state='off'/>, <kvm><hidden state='on'/></kvm>: by name, in the document's order.
    std::vector<std::pair<std::string, bool>> switches{}, kvm{};
    std::string hyperv_mode{};  // custom, passthrough; empty: no <hyperv>
    std::vector<HypervFeature> hyperv{};
    std::string ioapic{};  // kvm, qemu; empty: not said
    bool operator==(const Features&) const = default;
};

struct Timer {
    std::string name{}, tickpolicy{};  // checked words
    std::optional<bool> present{};
    std::optional<std::uint64_t> frequency{};  // tsc
    bool operator==(const Timer&) const = default;
};

struct Clock {
    enum class Offset { utc, localtime };
    Offset offset = Offset::utc;
    std::vector<Timer> timers{};
    bool operator==(const Clock&) const = default;
};

struct PowerManagement {
    std::optional<bool> suspend_to_mem{}, suspend_to_disk{};
    bool operator==(const PowerManagement&) const = default;
};

enum class Lifecycle { destroy, restart, preserve };

struct Spec {
    ObjectName name;
    Accelerator accelerator = Accelerator::kvm;
    Uuid uuid{};  // nil: none yet (complete() makes one)
    std::string title{}, description{};
    std::vector<std::string> metadata{};  // each child of <metadata>, verbatim
    std::uint64_t memory_kib = 0, current_memory_kib = 0;
    unsigned vcpus = 1;
    Os os{};
    Features features{};
    Cpu cpu{};
    Clock clock{};
    PowerManagement pm{};
    Lifecycle on_reboot = Lifecycle::restart;  // on_poweroff is always destroy
    Lifecycle on_crash = Lifecycle::destroy;   // kept as written: no device reports a crash yet
    std::string emulator = "/usr/bin/qemu-system-x86_64";
    bool usb_none = false;  // <controller type='usb' model='none'/> was written
    std::vector<Disk> disks{};
    std::vector<Controller> controllers{};  // by type and index after complete()
    std::vector<Interface> interfaces{};
    std::vector<Serial> serials{};
    std::vector<Channel> channels{};
    std::vector<Input> inputs{};
    std::vector<Graphics> graphics{};
    std::vector<Sound> sounds{};
    bool audio_none = false;
    std::vector<Video> videos{};
    bool video_none = false;  // <model type='none'/> was written
    std::vector<Watchdog> watchdogs{};
    std::optional<Balloon> balloon{};  // none: model='none'
    std::vector<Rng> rngs{};           // virtio
    bool operator==(const Spec&) const = default;
};

// The names devices go by in QEMU, in the XML of a running guest and in errors: "net0", "serial0".
std::string nic_alias(const Spec& spec, std::size_t index);
std::string serial_alias(const Spec& spec, std::size_t index);
std::string channel_alias(const Spec& spec, std::size_t index);
std::string controller_alias(const Controller& controller);
std::string balloon_alias(const Spec& spec);
std::string rng_alias(const Spec& spec, std::size_t index);
std::string input_alias(const Spec& spec, std::size_t index);
std::string video_alias(const Spec& spec, std::size_t index);
std::string sound_alias(const Spec& spec, std::size_t index);
std::string watchdog_alias(const Spec& spec, std::size_t index);
std::string disk_alias(const Disk& disk);
// QEMU's name for the outermost image of a disk (layer 0) or one that it builds on.
std::string disk_node(std::size_t index, std::size_t layer = 0);

// Seconds since 1970 of "2026-12-31T23:59:59"; none for what is no such time.
std::optional<std::int64_t> parse_utc(std::string_view text);

// Taps whose names the daemon makes begin with this, as libvirt's do: such a name in a document came from
// a running guest's description and is not a wish.
inline constexpr std::string_view kGeneratedTarget = "vnet";
// And the other names that are nobody's wish: daemons' too.
inline constexpr std::string_view kReservedTargets[] = {kGeneratedTarget, "vif", "macvtap", "macvlan"};
bool is_generated_target(std::string_view name);

// Likewise sockets of channels: the daemon's are below this folder (of its root).
inline constexpr std::string_view kChannelFolder = "/run/bascule/channel/";
// And displays' sockets.
inline constexpr std::string_view kDisplayFolder = "/run/bascule/display/";

}  // namespace bascule::vmm
