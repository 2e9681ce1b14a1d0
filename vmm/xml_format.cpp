// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "base/xml.h"
#include "vmm/names.h"
#include "vmm/xml.h"

namespace bascule::vmm {

namespace {

using xml::Writer;

// Attributes in the order given, without those that are empty.
Writer::Attrs present(Writer::Attrs attrs) {
    std::erase_if(attrs, [](const auto& attr) { return attr.second.empty(); });
    return attrs;
}

void write_alias(Writer& w, const std::string& own, const std::string& live_name, bool running) {
    if (running || !own.empty()) {
        w.empty("alias", {{"name", running ? live_name : own}});
    }
}

void write_address(Writer& w, const std::optional<PciAddress>& address) {
    if (address) {
        w.empty("address", {{"type", "pci"},
                            {"domain", fmt::format("0x{:04x}", address->domain)},
                            {"bus", fmt::format("0x{:02x}", address->bus)},
                            {"slot", fmt::format("0x{:02x}", address->slot)},
                            {"function", fmt::format("0x{:x}", address->function)}});
    }
}

void write_os(Writer& w, const Os& os) {
    w.open("os");
    w.leaf("type", "hvm", {{"arch", "x86_64"}, {"machine", os.machine}});
    for (const auto& [name, path] :
         {std::pair("kernel", os.kernel), std::pair("initrd", os.initrd), std::pair("cmdline", os.cmdline)}) {
        if (!path.empty()) {
            w.leaf(name, path);
        }
    }
    for (const BootDevice device : os.boot) {
        w.empty("boot", {{"dev", std::string(kBootDevices.name(device))}});
    }
    w.close();
}

void write_features(Writer& w, const Features& features) {
    if (features == Features{}) {
        return;
    }
    w.open("features");
    for (const auto& [name, on] :
         {std::pair("acpi", features.acpi), std::pair("apic", features.apic), std::pair("pae", features.pae)}) {
        if (on) {
            w.empty(name);
        }
    }
    w.close();
}

void write_cpu(Writer& w, const Cpu& cpu) {
    if (cpu == Cpu{}) {
        return;
    }
    Writer::Attrs attrs;
    if (cpu.mode != CpuMode::absent) {
        attrs.emplace_back("mode", std::string(kCpuModes.name(cpu.mode)));
        attrs.emplace_back("check", cpu.mode == CpuMode::host_model ? "partial" : "none");
    }
    if (cpu.mode == CpuMode::host_passthrough || cpu.mode == CpuMode::maximum) {
        attrs.emplace_back("migratable", cpu.migratable ? "on" : "off");
    }
    if (!cpu.topology) {
        w.empty("cpu", attrs);
        return;
    }
    w.open("cpu", attrs);
    w.empty("topology", {{"sockets", std::to_string(cpu.topology->sockets)},
                         {"dies", std::to_string(cpu.topology->dies)},
                         {"cores", std::to_string(cpu.topology->cores)},
                         {"threads", std::to_string(cpu.topology->threads)}});
    w.close();
}

void write_filter(Writer& w, const FilterRef& filter) {
    if (filter.parameters.empty()) {
        w.empty("filterref", {{"filter", filter.filter}});
        return;
    }
    w.open("filterref", {{"filter", filter.filter}});
    for (const auto& [name, value] : filter.parameters) {
        w.empty("parameter", {{"name", name}, {"value", value}});
    }
    w.close();
}

void write_source(Writer& w, const Interface& nic, bool running) {
    if (nic.type == Interface::Type::bridge) {
        w.empty("source", {{"bridge", nic.source}});
        return;
    }
    const std::string bridge = running && nic.live ? nic.live->bridge : std::string();
    w.empty("source", present({{"network", nic.source}, {"bridge", bridge}}));
}

void write_target(Writer& w, const Interface& nic, bool running) {
    if (running && nic.live) {
        w.empty("target", {{"dev", nic.live->target.str()}});
    } else if (nic.target) {
        w.empty("target", {{"dev", nic.target->str()}});
    }
}

void write_interface(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Interface& nic = spec.interfaces[index];
    w.open("interface", {{"type", std::string(kInterfaceTypes.name(nic.type))}});
    if (nic.mac) {
        w.empty("mac", {{"address", format(*nic.mac)}});
    }
    write_source(w, nic, running);
    write_target(w, nic, running);
    w.empty("model", {{"type", std::string(kNicModels.name(nic.model))}});
    if (nic.backend != NicBackend::automatic || nic.queues) {
        w.empty("driver", present({{"name", std::string(kNicBackends.name(nic.backend))},
                                   {"queues", nic.queues ? std::to_string(*nic.queues) : ""}}));
    }
    if (nic.filter) {
        write_filter(w, *nic.filter);
    }
    if (nic.link_state) {
        w.empty("link", {{"state", std::string(kLinkStates.name(nic.link_up))}});
    }
    if (nic.mtu) {
        w.empty("mtu", {{"size", std::to_string(*nic.mtu)}});
    }
    if (nic.boot_order) {
        w.empty("boot", {{"order", std::to_string(*nic.boot_order)}});
    }
    write_alias(w, nic.alias, nic_alias(spec, index), running);
    if (!nic.rom) {
        w.empty("rom", {{"enabled", "no"}});
    }
    write_address(w, nic.address);
    w.close();
}

void write_serial(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Serial& serial = spec.serials[index];
    w.open("serial", {{"type", "pty"}});
    if (running && !serial.tty.empty()) {
        w.empty("source", {{"path", serial.tty}});
    }
    w.open("target", {{"type", "isa-serial"}, {"port", std::to_string(serial.port)}});
    w.empty("model", {{"name", "isa-serial"}});
    w.close();
    write_alias(w, serial.alias, serial_alias(spec, index), running);
    w.close();
}

void write_console(Writer& w, const Spec& spec, bool running) {
    const Serial& serial = spec.serials.front();
    const std::string tty = running ? serial.tty : std::string();
    w.open("console", present({{"type", "pty"}, {"tty", tty}}));
    if (!tty.empty()) {
        w.empty("source", {{"path", tty}});
    }
    w.empty("target", {{"type", "serial"}, {"port", std::to_string(serial.port)}});
    write_alias(w, serial.alias, serial_alias(spec, 0), running);
    w.close();
}

void write_channel(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Channel& channel = spec.channels[index];
    const ChannelLive live = running ? channel.live.value_or(ChannelLive{}) : ChannelLive{};
    w.open("channel", {{"type", std::string(kChannelBackends.name(channel.backend))}});
    const std::string& path = live.path.empty() ? channel.path : live.path;
    if (channel.backend == Channel::Backend::socket) {
        w.empty("source", present({{"mode", "bind"}, {"path", path}}));
    } else if (!path.empty()) {
        w.empty("source", {{"path", path}});
    }
    const std::string_view state = !running ? "" : live.connected ? "connected" : "disconnected";
    w.empty("target", present({{"type", "virtio"}, {"name", channel.name}, {"state", std::string(state)}}));
    write_alias(w, channel.alias, channel_alias(spec, index), running);
    if (channel.address) {
        w.empty("address", {{"type", "virtio-serial"},
                            {"controller", std::to_string(channel.address->controller)},
                            {"bus", "0"},
                            {"port", std::to_string(channel.address->port)}});
    }
    w.close();
}

void write_controller(Writer& w, const Controller& controller, bool running) {
    w.open("controller", present({{"type", "virtio-serial"},
                                  {"index", std::to_string(controller.index)},
                                  {"ports", controller.ports ? std::to_string(*controller.ports) : ""}}));
    write_alias(w, controller.alias, controller_alias(controller), running);
    write_address(w, controller.address);
    w.close();
}

void write_controllers(Writer& w, const Spec& spec, bool running) {
    if (spec.usb_none) {
        w.empty("controller", {{"type", "usb"}, {"index", "0"}, {"model", "none"}});
    }
    w.empty("controller",
            {{"type", "pci"}, {"index", "0"}, {"model", spec.os.chipset() == Chipset::q35 ? "pcie-root" : "pci-root"}});
    for (const Controller& controller : spec.controllers) {
        write_controller(w, controller, running);
    }
}

void write_balloon(Writer& w, const Spec& spec, bool running) {
    if (!spec.balloon) {
        w.empty("memballoon", {{"model", "none"}});
        return;
    }
    w.open("memballoon", {{"model", "virtio"}});
    write_alias(w, spec.balloon->alias, balloon_alias(spec), running);
    write_address(w, spec.balloon->address);
    w.close();
}

void write_devices(Writer& w, const Spec& spec, bool running) {
    w.open("devices");
    w.leaf("emulator", spec.emulator);
    write_controllers(w, spec, running);
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        write_interface(w, spec, i, running);
    }
    for (std::size_t i = 0; i < spec.serials.size(); ++i) {
        write_serial(w, spec, i, running);
    }
    if (!spec.serials.empty()) {
        write_console(w, spec, running);
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        write_channel(w, spec, i, running);
    }
    if (spec.ps2_mouse) {
        w.empty("input", {{"type", "mouse"}, {"bus", "ps2"}});
    }
    if (spec.ps2_keyboard) {
        w.empty("input", {{"type", "keyboard"}, {"bus", "ps2"}});
    }
    if (spec.audio_none) {
        w.empty("audio", {{"id", "1"}, {"type", "none"}});
    }
    write_balloon(w, spec, running);
    for (std::size_t i = 0; i < spec.rngs.size(); ++i) {
        w.open("rng", {{"model", "virtio"}});
        w.leaf("backend", "/dev/urandom", {{"model", "random"}});
        write_alias(w, spec.rngs[i].alias, rng_alias(spec, i), running);
        write_address(w, spec.rngs[i].address);
        w.close();
    }
    w.close();
}

void write_identity(Writer& w, const Spec& spec) {
    w.leaf("name", spec.name.str());
    if (!spec.uuid.is_nil()) {
        w.leaf("uuid", format(spec.uuid));
    }
    if (!spec.title.empty()) {
        w.leaf("title", spec.title);
    }
    if (!spec.description.empty()) {
        w.leaf("description", spec.description);
    }
    if (!spec.metadata.empty()) {
        w.open("metadata");
        for (const std::string& element : spec.metadata) {
            w.raw(element);
        }
        w.close();
    }
}

}  // namespace

std::string format(const Spec& spec, std::optional<int> id) {
    Writer w;
    w.open("domain", present({{"type", std::string(kAccelerators.name(spec.accelerator))},
                              {"id", id ? std::to_string(*id) : ""}}));
    write_identity(w, spec);
    w.leaf("memory", std::to_string(spec.memory_kib), {{"unit", "KiB"}});
    w.leaf("currentMemory", std::to_string(spec.current_memory_kib), {{"unit", "KiB"}});
    w.leaf("vcpu", std::to_string(spec.vcpus), {{"placement", "static"}});
    write_os(w, spec.os);
    write_features(w, spec.features);
    write_cpu(w, spec.cpu);
    w.empty("clock", {{"offset", std::string(kClocks.name(spec.clock))}});
    w.leaf("on_poweroff", "destroy");
    w.leaf("on_reboot", kLifecycles.name(spec.on_reboot));
    w.leaf("on_crash", kLifecycles.name(spec.on_crash));
    write_devices(w, spec, id.has_value());
    return w.take();
}

}  // namespace bascule::vmm
