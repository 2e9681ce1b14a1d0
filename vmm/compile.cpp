// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/compile.h"

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

constexpr int kFirstChildFd = 3;  // kernel/io.h, Command::fds

// A comma inside a value is written twice (QemuOpts).
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

class Builder {
public:
    Builder(const Spec& spec, const std::vector<NicPlan>& nics) : spec_(spec), nics_(nics) {}

    Launch build() {
        out_.program = spec_.emulator;
        machine();
        monitor();
        boot();
        for (const Controller& one : spec_.controllers) {
            controller(one);
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
        small_devices();
        // The same denials as the peer's default: no old system calls, no new privileges, no fork or exec, no
        // scheduling or affinity changes.
        option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        option("-msg", "timestamp=on");
        return std::move(out_);
    }

private:
    void flag(std::string name) { out_.args.push_back(std::move(name)); }
    void option(std::string name, std::string value) {
        out_.args.push_back(std::move(name));
        out_.args.push_back(std::move(value));
    }
    // The number that a descriptor will have in the child.
    int slot(Slot::Kind kind, std::size_t index = 0, std::size_t queue = 0) {
        out_.slots.push_back({kind, index, queue});
        return kFirstChildFd + static_cast<int>(out_.slots.size()) - 1;
    }
    std::string place(const std::optional<PciAddress>& address) const {
        const std::string_view bus = spec_.os.chipset() == Chipset::q35 ? "pcie.0" : "pci.0";
        return fmt::format("bus={},addr={:#x}", bus, address->slot);
    }

    void machine();
    std::string cpu() const;
    std::string smp() const;
    void monitor();
    void boot();
    void nic(std::size_t index);
    void nic_device(std::size_t index);
    unsigned boot_index(std::size_t index) const;
    void serial(std::size_t index);
    void controller(const Controller& one);
    void channel(std::size_t index);
    void small_devices();

    const Spec& spec_;
    const std::vector<NicPlan>& nics_;
    Launch out_;
};

void Builder::machine() {
    const bool kvm = spec_.accelerator == Accelerator::kvm;
    option("-name", fmt::format("guest={},debug-threads=on", quoted(spec_.name.str())));
    flag("-S");
    flag("-no-user-config");
    flag("-nodefaults");
    option("-machine",
           fmt::format("{},usb=off,dump-guest-core=off{}", spec_.os.machine, spec_.features.acpi ? "" : ",acpi=off"));
    option("-accel", kvm ? "kvm" : "tcg");
    option("-cpu", cpu());
    option("-m", fmt::format("size={}k", spec_.memory_kib));
    option("-smp", smp());
    option("-uuid", format(spec_.uuid));
    option("-display", "none");
    option("-rtc", spec_.clock == Clock::utc ? "base=utc" : "base=localtime");
    if (spec_.on_reboot == Lifecycle::destroy) {
        flag("-no-reboot");
    }
}

std::string Builder::cpu() const {
    if (spec_.accelerator == Accelerator::tcg || spec_.cpu.mode == CpuMode::maximum) {
        return "max";
    }
    return spec_.cpu.migratable ? "host" : "host,migratable=off";
}

std::string Builder::smp() const {
    const CpuTopology t = spec_.cpu.topology.value_or(CpuTopology{spec_.vcpus, 1, 1, 1});
    return fmt::format("{},sockets={},dies={},cores={},threads={}", spec_.vcpus, t.sockets, t.dies, t.cores, t.threads);
}

void Builder::monitor() {
    // A listening socket, not a connected one: after the daemon has gone, its successor connects again.
    option("-chardev", fmt::format("socket,id=charmonitor,fd={},server=on,wait=off", slot(Slot::Kind::monitor)));
    option("-mon", "chardev=charmonitor,id=monitor,mode=control");
}

void Builder::boot() {
    option("-boot", "strict=on");
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

void Builder::nic(std::size_t index) {
    const unsigned queues = spec_.interfaces[index].queue_count();
    const auto numbers = [&](Slot::Kind kind) {
        std::string out;
        for (unsigned queue = 0; queue < queues; ++queue) {
            out += fmt::format("{}{}", queue == 0 ? "" : ":", slot(kind, index, queue));
        }
        return out;
    };
    const std::string_view plural = queues > 1 ? "s" : "";
    std::string netdev = fmt::format("tap,id=hostnet{},fd{}={}", index, plural, numbers(Slot::Kind::tap));
    if (nics_[index].vhost) {
        netdev += fmt::format(",vhost=on,vhostfd{}={}", plural, numbers(Slot::Kind::vhost));
    }
    option("-netdev", netdev);
    nic_device(index);
}

void Builder::nic_device(std::size_t index) {
    const Interface& nic = spec_.interfaces[index];
    const auto driver = [&]() -> std::string_view {
        switch (nic.model) {
            case NicModel::virtio: return "virtio-net-pci";
            case NicModel::e1000: return "e1000";
            case NicModel::e1000e: return "e1000e";
            case NicModel::rtl8139: return "rtl8139";
        }
        return {};
    }();
    std::string device = fmt::format("{},netdev=hostnet{},id={},mac={},{}", driver, index, nic_alias(spec_, index),
                                     format(*nic.mac), place(nic.address));
    if (nic.queue_count() > 1) {
        // A vector for each queue's two rings, one for configuration changes, one for the control queue.
        device += fmt::format(",mq=on,vectors={}", 2 * nic.queue_count() + 2);
    }
    if (nic.mtu && nic.model == NicModel::virtio) {
        device += fmt::format(",host_mtu={}", *nic.mtu);
    }
    if (const unsigned order = boot_index(index); order != 0) {
        device += fmt::format(",bootindex={}", order);
    }
    if (!nic.rom) {
        device += ",romfile=";
    }
    option("-device", device);
}

// Its own order, or with <boot dev='network'/> the document's; 0: none.
unsigned Builder::boot_index(std::size_t index) const {
    if (const auto own = spec_.interfaces[index].boot_order) {
        return *own;
    }
    for (const BootDevice device : spec_.os.boot) {
        if (device == BootDevice::network) {
            return static_cast<unsigned>(index) + 1;
        }
    }
    return 0;
}

void Builder::serial(std::size_t index) {
    const std::string alias = serial_alias(spec_, index);
    option("-chardev", fmt::format("pty,id=char{}", alias));
    option("-device", fmt::format("isa-serial,chardev=char{0},id={0},index={1}", alias, spec_.serials[index].port));
}

void Builder::controller(const Controller& one) {
    std::string device = fmt::format("virtio-serial-pci,id={},{}", controller_alias(one), place(one.address));
    if (one.ports) {
        device += fmt::format(",max_ports={}", *one.ports);
    }
    option("-device", device);
}

void Builder::channel(std::size_t index) {
    const Channel& channel = spec_.channels[index];
    const std::string alias = channel_alias(spec_, index);
    // A listening socket of ours, as the monitor's.
    option("-chardev",
           channel.backend == Channel::Backend::pty
               ? fmt::format("pty,id=char{}", alias)
               : fmt::format("socket,id=char{},fd={},server=on,wait=off", alias, slot(Slot::Kind::channel, index)));
    std::string bus;
    for (const Controller& one : spec_.controllers) {
        if (one.type == Controller::Type::virtio_serial && one.index == channel.address->controller) {
            bus = controller_alias(one);
        }
    }
    option("-device", fmt::format("virtserialport,bus={}.0,nr={},chardev=char{},id={}{}", bus, channel.address->port,
                                  alias, alias, channel.name.empty() ? "" : ",name=" + channel.name));
}

void Builder::small_devices() {
    if (spec_.balloon) {
        option("-device",
               fmt::format("virtio-balloon-pci,id={},{}", balloon_alias(spec_), place(spec_.balloon->address)));
    }
    for (std::size_t i = 0; i < spec_.rngs.size(); ++i) {
        const std::string alias = rng_alias(spec_, i);
        option("-object", fmt::format("rng-random,id=obj{},filename=/dev/urandom", alias));
        option("-device", fmt::format("virtio-rng-pci,rng=obj{0},id={0},{1}", alias, place(spec_.rngs[i].address)));
    }
}

Result<void> check_complete(const Spec& spec, const std::vector<NicPlan>& nics) {
    bool complete = !spec.uuid.is_nil() && (!spec.balloon || spec.balloon->address);
    for (const PlainDevice& rng : spec.rngs) {
        complete = complete && rng.address;
    }
    for (const Controller& controller : spec.controllers) {
        complete = complete && controller.address;
    }
    for (const Channel& channel : spec.channels) {
        complete = complete && channel.address && channel.address->port != 0;
    }
    for (const Interface& nic : spec.interfaces) {
        complete = complete && nic.mac && nic.address;
    }
    if (!complete) {
        return fail(Code::internal, "vmm::compile needs a completed spec");
    }
    if (nics.size() != spec.interfaces.size()) {
        return fail(Code::internal, fmt::format("vmm::compile got {} NIC plans for {} interfaces", nics.size(),
                                                spec.interfaces.size()));
    }
    for (std::size_t i = 0; i < nics.size(); ++i) {
        if (nics[i].vhost && spec.interfaces[i].model != NicModel::virtio) {
            return fail(Code::internal, fmt::format("{}: vhost serves virtio only", nic_alias(spec, i)));
        }
    }
    return {};
}

}  // namespace

Result<Launch> compile(const Spec& spec, const std::vector<NicPlan>& nics) {
    TRY_OK(check_complete(spec, nics));
    return Builder(spec, nics).build();
}

}  // namespace bascule::vmm
