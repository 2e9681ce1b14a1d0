// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm::parts {

namespace {

void write_switches(Writer& w, const std::vector<std::pair<std::string, bool>>& switches) {
    for (const auto& [name, on] : switches) {
        w.empty(name, {{"state", on ? "on" : "off"}});
    }
}

void write_hyperv(Writer& w, const Features& features) {
    if (features.hyperv_mode.empty()) {
        return;
    }
    w.open("hyperv", {{"mode", features.hyperv_mode}});
    for (const HypervFeature& one : features.hyperv) {
        Writer::Attrs attrs{{"state", one.on ? "on" : "off"}};
        if (!one.value.empty()) {
            attrs.emplace_back(one.name == "spinlocks" ? "retries" : "value", one.value);
        }
        if (!one.direct) {
            w.empty(one.name, attrs);
            continue;
        }
        w.open(one.name, attrs);
        w.empty("direct", {{"state", on_off(one.direct)}});
        w.close();
    }
    w.close();
}

Writer::Attrs cpu_attributes(const Cpu& cpu) {
    const bool moded = cpu.mode != CpuMode::absent;
    const bool custom = cpu.mode == CpuMode::custom;
    return present(
        {{"mode", moded ? std::string(kCpuModes.name(cpu.mode)) : ""},
         {"match", cpu.match.empty() && custom ? "exact" : cpu.match},
         {"check", !cpu.check.empty() ? cpu.check
                   : moded            ? std::string(usual_check(cpu.mode))
                                      : ""},
         {"migratable",
          cpu.mode == CpuMode::host_passthrough || cpu.mode == CpuMode::maximum ? on_off(cpu.migratable) : ""}});
}

}  // namespace

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
    if (os.boot_menu) {
        w.empty("bootmenu", present({{"enable", yes_no(os.boot_menu)}, {"timeout", number(os.boot_menu_timeout)}}));
    }
    if (os.bios_serial || os.reboot_timeout) {
        w.empty("bios", present({{"useserial", yes_no(os.bios_serial)}, {"rebootTimeout", number(os.reboot_timeout)}}));
    }
    w.close();
}

void write_features(Writer& w, const Features& features) {
    if (features == Features{}) {
        return;
    }
    w.open("features");
    if (features.acpi) {
        w.empty("acpi");
    }
    if (features.apic) {
        w.empty("apic", present({{"eoi", on_off(features.apic_eoi)}}));
    }
    if (features.pae) {
        w.empty("pae");
    }
    write_hyperv(w, features);
    if (!features.kvm.empty()) {
        w.open("kvm");
        write_switches(w, features.kvm);
        w.close();
    }
    write_switches(w, features.switches);
    if (!features.ioapic.empty()) {
        w.empty("ioapic", {{"driver", features.ioapic}});
    }
    w.close();
}

void write_cpu(Writer& w, const Cpu& cpu) {
    if (cpu == Cpu{}) {
        return;
    }
    const auto attrs = cpu_attributes(cpu);
    if (!cpu.topology && cpu.model.empty() && cpu.vendor.empty() && cpu.features.empty()) {
        w.empty("cpu", attrs);
        return;
    }
    w.open("cpu", attrs);
    if (!cpu.model.empty()) {
        w.leaf("model", cpu.model, {{"fallback", cpu.fallback.empty() ? "allow" : cpu.fallback}});
    } else if (!cpu.fallback.empty()) {
        w.empty("model", {{"fallback", cpu.fallback}});
    }
    if (!cpu.vendor.empty()) {
        w.leaf("vendor", cpu.vendor);
    }
    if (cpu.topology) {
        w.empty("topology", {{"sockets", std::to_string(cpu.topology->sockets)},
                             {"dies", std::to_string(cpu.topology->dies)},
                             {"cores", std::to_string(cpu.topology->cores)},
                             {"threads", std::to_string(cpu.topology->threads)}});
    }
    for (const CpuFeature& feature : cpu.features) {
        w.empty("feature", {{"policy", feature.policy}, {"name", feature.name}});
    }
    w.close();
}

void write_clock(Writer& w, const Clock& clock) {
    const Writer::Attrs attrs{{"offset", std::string(kClocks.name(clock.offset))}};
    if (clock.timers.empty()) {
        w.empty("clock", attrs);
        return;
    }
    w.open("clock", attrs);
    for (const Timer& timer : clock.timers) {
        w.empty("timer", present({{"name", timer.name},
                                  {"present", yes_no(timer.present)},
                                  {"tickpolicy", timer.tickpolicy},
                                  {"frequency", number(timer.frequency)}}));
    }
    w.close();
}

void write_power_management(Writer& w, const PowerManagement& pm) {
    if (pm == PowerManagement{}) {
        return;
    }
    w.open("pm");
    if (pm.suspend_to_mem) {
        w.empty("suspend-to-mem", {{"enabled", yes_no(pm.suspend_to_mem)}});
    }
    if (pm.suspend_to_disk) {
        w.empty("suspend-to-disk", {{"enabled", yes_no(pm.suspend_to_disk)}});
    }
    w.close();
}

}  // namespace bascule::vmm::parts
