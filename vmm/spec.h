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
// Invariants: QEMU gets every descriptor from us and opens none but /dev/kvm, /dev/ptmx, /dev/urandom and
// the kernel and initrd files; it runs under a seccomp filter and without the right to start programs; a
// byte from QEMU is bounded in size and depth before it is used, since a guest may have taken it over.
//
// Example: <interface type='network'> with <source network='default'/>, <model type='virtio'/> becomes,
// with one tap queue and kernel vhost, `-netdev tap,id=hostnet0,fd=4,vhost=on,vhostfd=5 -device
// virtio-net-pci,netdev=hostnet0,id=net0,mac=…,bus=pcie.0,addr=0x2`, descriptors 3 (monitor), 4 and 5.
//
// Deliberately not here: disks, displays, USB, PCI bridges, hot-plug, NUMA, tuning. Each is refused by
// name in xml.cpp until it is realised.
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
enum class CpuMode { absent, host_passthrough, host_model, maximum };

struct CpuTopology {
    unsigned sockets = 1, dies = 1, cores = 1, threads = 1;
    unsigned total() const { return sockets * dies * cores * threads; }
    bool operator==(const CpuTopology&) const = default;
};

struct Cpu {
    CpuMode mode = CpuMode::absent;
    bool migratable = true;                 // host-passthrough only
    std::optional<CpuTopology> topology{};  // its total is the number of vCPUs
    bool operator==(const Cpu&) const = default;
};

// Without disks only `network` has an effect, and only without a kernel; the others are kept as written.
enum class BootDevice { hd, network, cdrom, fd };

struct Os {
    std::string machine = "q35";  // as written: q35, pc, pc-q35-7.2, pc-i440fx-7.2 …
    std::vector<BootDevice> boot{};
    std::string kernel{}, initrd{}, cmdline{};  // paths on the host; empty: none
    Chipset chipset() const;
    bool operator==(const Os&) const = default;
};

struct Features {
    bool acpi = false, apic = false, pae = false;
    bool operator==(const Features&) const = default;
};

enum class Clock { utc, localtime };

enum class Lifecycle { destroy, restart };

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
    Clock clock = Clock::utc;
    Lifecycle on_reboot = Lifecycle::restart;  // on_poweroff is always destroy
    Lifecycle on_crash = Lifecycle::destroy;   // kept as written: no device reports a crash yet
    std::string emulator = "/usr/bin/qemu-system-x86_64";
    bool usb_none = false;  // <controller type='usb' model='none'/> was written; there is no USB either way
    std::vector<Controller> controllers{};  // in the order of their type and index after complete()
    std::vector<Interface> interfaces{};
    std::vector<Serial> serials{};
    std::vector<Channel> channels{};
    bool ps2_mouse = false, ps2_keyboard = false;  // written out; the machines have both either way
    bool audio_none = false;
    std::optional<PlainDevice> balloon{};  // none: model='none'
    std::vector<PlainDevice> rngs{};       // virtio, fed from /dev/urandom
    bool operator==(const Spec&) const = default;
};

// The names devices go by in QEMU, in the XML of a running guest and in errors: "net0", "serial0".
std::string nic_alias(const Spec& spec, std::size_t index);
std::string serial_alias(const Spec& spec, std::size_t index);
std::string channel_alias(const Spec& spec, std::size_t index);
std::string controller_alias(const Controller& controller);
std::string balloon_alias(const Spec& spec);
std::string rng_alias(const Spec& spec, std::size_t index);

// Taps whose names the daemon makes begin with this, as libvirt's do: such a name in a document came from
// a running guest's description and is not a wish.
inline constexpr std::string_view kGeneratedTarget = "vnet";

// Likewise sockets of channels: the daemon's are below this folder (of its root).
inline constexpr std::string_view kChannelFolder = "/run/bascule/channel/";

}  // namespace bascule::vmm
