// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/compile.h"

#include <algorithm>

#include <fmt/format.h>

#include "vmm/compile_builder.h"
#include "vmm/controllers.h"

namespace bascule::vmm {

namespace {

constexpr int kFirstChildFd = 3;  // kernel/io.h, Command::fds

std::string_view on_off(bool on) { return on ? "on" : "off"; }

}  // namespace

std::string quoted(std::string_view value) {
    std::string out;
    for (const char c : value) {
        out += c;
        if (c == ',') {
            out += ',';
        }
    }
    return out;
}

Launch Builder::build() {
    out_.program = spec_.emulator;
    machine();
    monitor();
    boot();
    controllers();
    for (std::size_t i = 0; i < spec_.disks.size(); ++i) {
        disk(i);
    }
    for (std::size_t i = 0; i < spec_.interfaces.size(); ++i) {
        nic(i);
    }
    for (std::size_t i = 0; i < spec_.serials.size(); ++i) {
        serial(i);
    }
    for (std::size_t i = 0; i < spec_.channels.size(); ++i) {
        channel(i);
    }
    display();
    for (std::size_t i = 0; i < spec_.watchdogs.size(); ++i) {
        watchdog(i);
    }
    balloon();
    for (std::size_t i = 0; i < spec_.rngs.size(); ++i) {
        rng(i);
    }
    // The same denials as the peer's default: no old system calls, no new privileges, no fork or exec, no
    // scheduling or affinity changes.
    option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    option("-msg", "timestamp=on");
    return std::move(out_);
}

int Builder::slot(Slot::Kind kind, std::size_t index, std::size_t queue) {
    out_.slots.push_back({kind, index, queue});
    return kFirstChildFd + static_cast<int>(out_.slots.size()) - 1;
}

std::string Builder::place(const std::optional<PciAddress>& address) const {
    std::string bus = spec_.os.chipset() == Chipset::q35 ? "pcie.0" : "pci.0";
    if (address->bus != 0) {
        bus = fmt::format("pci.{}", address->bus);
        if (const Controller* const bridge = find_controller(spec_, Controller::Type::pci, address->bus)) {
            bus = controller_alias(*bridge);
        }
    }
    std::string out = fmt::format("bus={}", bus);
    if (address->multifunction) {
        out += fmt::format(",multifunction={}", on_off(*address->multifunction));
    }
    out += fmt::format(",addr={:#x}", address->slot);
    return address->function == 0 ? out : out + fmt::format(".{:#x}", address->function);
}

std::string Builder::place(const UsbAddress& address) const {
    const Controller* const controller = find_controller(spec_, Controller::Type::usb, address.bus);
    return fmt::format("bus={}.0,port={}", controller == nullptr ? "usb" : controller_alias(*controller), address.port);
}

// ---- the machine itself -------------------------------------------------------------------------

void Builder::machine() {
    option("-name", fmt::format("guest={},debug-threads=on", quoted(spec_.name.str())));
    flag("-S");
    flag("-no-user-config");
    flag("-nodefaults");
    option("-machine", machine_type());
    option("-accel", spec_.accelerator == Accelerator::kvm ? "kvm" : "tcg");
    option("-cpu", cpu_option(spec_));
    option("-m", fmt::format("size={}k", spec_.memory_kib));
    option("-smp", smp());
    option("-uuid", format(spec_.uuid));
    option("-display", "none");
    clock();
    power_management();
    if (spec_.on_reboot == Lifecycle::destroy) {
        flag("-no-reboot");
    }
}

std::string Builder::machine_type() const {
    std::string out = fmt::format("{},usb=off,dump-guest-core=off", spec_.os.machine);
    for (const auto& [name, on] : spec_.features.switches) {
        if (name == "vmport" || name == "smm") {
            out += fmt::format(",{}={}", name, on_off(on));
        }
    }
    if (!spec_.features.ioapic.empty()) {
        out += spec_.features.ioapic == "qemu" ? ",kernel_irqchip=split" : ",kernel_irqchip=on";
    }
    for (const Timer& timer : spec_.clock.timers) {
        if (timer.name == "hpet" && timer.present) {
            out += fmt::format(",hpet={}", on_off(*timer.present));
        }
    }
    if (spec_.os.bios_serial.value_or(false)) {
        out += ",graphics=off";  // the firmware then speaks on the first serial port
    }
    return spec_.features.acpi ? out : out + ",acpi=off";
}

std::string Builder::smp() const {
    const CpuTopology t = spec_.cpu.topology.value_or(CpuTopology{spec_.vcpus, 1, 1, 1});
    return fmt::format("{},sockets={},dies={},cores={},threads={}", spec_.vcpus, t.sockets, t.dies, t.cores, t.threads);
}

void Builder::clock() {
    const bool utc = spec_.clock.offset == Clock::Offset::utc;
    std::string rtc = utc ? "base=utc" : "base=localtime";
    for (const Timer& timer : spec_.clock.timers) {
        if (timer.name == "rtc" && timer.tickpolicy == "catchup") {
            rtc += ",driftfix=slew";
        }
    }
    option("-rtc", rtc);
    for (const Timer& timer : spec_.clock.timers) {
        // Emulation has no such device, and loses no ticks either. "catchup" is what KVM does by itself.
        const bool kvm_pit = timer.name == "pit" && spec_.accelerator == Accelerator::kvm;
        if (kvm_pit && (timer.tickpolicy == "delay" || timer.tickpolicy == "discard")) {
            option("-global", "kvm-pit.lost_tick_policy=" + timer.tickpolicy);
        }
    }
}

void Builder::power_management() {
    const std::string_view device = spec_.os.chipset() == Chipset::q35 ? "ICH9-LPC" : "PIIX4_PM";
    for (const auto& [state, enabled] :
         {std::pair("disable_s3", spec_.pm.suspend_to_mem), std::pair("disable_s4", spec_.pm.suspend_to_disk)}) {
        if (enabled) {
            option("-global", fmt::format("{}.{}={}", device, state, *enabled ? 0 : 1));
        }
    }
}

void Builder::monitor() {
    // A listening socket, not a connected one: after the daemon has gone, its successor connects again.
    option("-chardev", fmt::format("socket,id=charmonitor,fd={},server=on,wait=off", slot(Slot::Kind::monitor)));
    option("-mon", "chardev=charmonitor,id=monitor,mode=control");
}

void Builder::boot() {
    std::string how;
    if (spec_.os.boot_menu) {
        how += fmt::format("menu={},", on_off(*spec_.os.boot_menu));
        if (spec_.os.boot_menu_timeout) {
            how += fmt::format("splash-time={},", *spec_.os.boot_menu_timeout);
        }
    }
    if (spec_.os.reboot_timeout) {
        how += fmt::format("reboot-timeout={},", *spec_.os.reboot_timeout);
    }
    option("-boot", how + "strict=on");
    if (spec_.os.kernel.empty()) {
        return;
    }
    option("-kernel", spec_.os.kernel);
    if (!spec_.os.initrd.empty()) {
        option("-initrd", spec_.os.initrd);
    }
    if (!spec_.os.cmdline.empty()) {
        option("-append", spec_.os.cmdline);
    }
}

// ---- what is booted first -----------------------------------------------------------------------

namespace {

// <os><boot dev=>: of disks and drives the first of each kind, of NICs all, numbered in the document's order.
struct BootOrder {
    const Disk* disk = nullptr;
    const Disk* cdrom = nullptr;
    unsigned disk_index = 0, cdrom_index = 0, first_nic = 0;
};

BootOrder boot_order(const Spec& spec) {
    BootOrder out;
    const auto first = [&spec](Disk::Device device) -> const Disk* {
        const auto it = std::ranges::find(spec.disks, device, &Disk::device);
        return it == spec.disks.end() ? nullptr : &*it;
    };
    unsigned next = 1;
    for (const BootDevice device : spec.os.boot) {
        if (device == BootDevice::hd && out.disk == nullptr) {
            out.disk = first(Disk::Device::disk);
            out.disk_index = out.disk != nullptr ? next++ : 0;
        } else if (device == BootDevice::cdrom && out.cdrom == nullptr) {
            out.cdrom = first(Disk::Device::cdrom);
            out.cdrom_index = out.cdrom != nullptr ? next++ : 0;
        } else if (device == BootDevice::network && out.first_nic == 0) {
            out.first_nic = next;
            next += static_cast<unsigned>(spec.interfaces.size());
        }
    }
    return out;
}

}  // namespace

unsigned Builder::boot_index(const Disk& disk) const {
    if (disk.boot_order) {
        return *disk.boot_order;
    }
    const BootOrder order = boot_order(spec_);
    return &disk == order.disk ? order.disk_index : &disk == order.cdrom ? order.cdrom_index : 0;
}

unsigned Builder::boot_index(std::size_t nic) const {
    if (const auto own = spec_.interfaces[nic].boot_order) {
        return *own;
    }
    const unsigned first = boot_order(spec_).first_nic;
    return first == 0 ? 0 : first + static_cast<unsigned>(nic);
}

// ---- compile ------------------------------------------------------------------------------------

namespace {

// What complete() would have filled in.
bool complete_already(const Spec& spec) {
    const auto placed = [](const auto& devices) {
        return std::ranges::all_of(devices, [](const auto& device) { return device.address.has_value(); });
    };
    return !spec.uuid.is_nil() && (!spec.balloon || spec.balloon->address) && placed(spec.rngs) &&
           placed(spec.controllers) && placed(spec.sounds) && placed(spec.videos) && placed(spec.interfaces) &&
           std::ranges::all_of(spec.interfaces, [](const Interface& nic) { return nic.mac.has_value(); }) &&
           std::ranges::all_of(spec.channels,
                               [](const Channel& channel) { return channel.address && channel.address->port != 0; }) &&
           std::ranges::all_of(
               spec.inputs,
               [](const Input& input) {
                   return input.bus == Input::Bus::ps2 ||
                          (input.bus == Input::Bus::usb ? input.usb.has_value() : input.address.has_value());
               }) &&
           std::ranges::all_of(spec.disks, [](const Disk& disk) {
               return disk.bus == Disk::Bus::virtio ? disk.address.has_value()
                      : disk.bus == Disk::Bus::usb  ? disk.usb.has_value()
                                                    : disk.drive.has_value();
           });
}

}  // namespace

Result<Launch> compile(const Spec& spec, const std::vector<NicPlan>& nics, const std::vector<DiskPlan>& disks) {
    if (!complete_already(spec)) {
        return fail(Code::internal, "vmm::compile needs a completed spec");
    }
    if (nics.size() != spec.interfaces.size()) {
        return fail(Code::internal, fmt::format("vmm::compile got {} NIC plans for {} interfaces", nics.size(),
                                                spec.interfaces.size()));
    }
    if (!disks.empty() && disks.size() != spec.disks.size()) {
        return fail(Code::internal,
                    fmt::format("vmm::compile got {} disk plans for {} disks", disks.size(), spec.disks.size()));
    }
    for (std::size_t i = 0; i < nics.size(); ++i) {
        const Interface& nic = spec.interfaces[i];
        if (nics[i].vhost && !(is_virtio(nic.model) && nic.has_tap())) {
            return fail(Code::internal, fmt::format("{}: vhost serves virtio on a tap only", nic_alias(spec, i)));
        }
        const auto group = nic.type == Interface::Type::mcast ? parse_ip(nic.remote.address) : std::nullopt;
        if (nic.type == Interface::Type::mcast && !(group && group->is_multicast())) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: <source address='{}'> of type='mcast' is no multicast address; use one of "
                                    "224.0.0.0 to 239.255.255.255",
                                    nic_alias(spec, i), nic.remote.address));
        }
    }
    return Builder(spec, nics, disks).build();
}

}  // namespace bascule::vmm
