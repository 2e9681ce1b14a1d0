// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/compile_builder.h"

namespace bascule::vmm {

namespace {

std::string_view on_off(bool on) { return on ? "on" : "off"; }

std::string base_model(const Spec& spec) {
    if (spec.cpu.mode == CpuMode::custom) {
        return spec.cpu.model;
    }
    if (spec.accelerator == Accelerator::tcg || spec.cpu.mode == CpuMode::maximum) {
        return "max";
    }
    return spec.cpu.migratable ? "host" : "host,migratable=off";
}

void add_kvm(const Features& features, std::string& out) {
    if (features.apic_eoi) {
        out += fmt::format(",kvm-pv-eoi={}", on_off(*features.apic_eoi));
    }
    for (const auto& [name, on] : features.switches) {
        if (name == "pmu") {
            out += fmt::format(",pmu={}", on_off(on));
        } else if (name == "pvspinlock") {
            out += fmt::format(",kvm-pv-unhalt={}", on_off(on));
        }
    }
    for (const auto& [name, on] : features.kvm) {
        if (name == "hidden") {
            out += on ? ",kvm=off" : "";
        } else if (name == "pv-ipi") {
            out += fmt::format(",kvm-pv-ipi={}", on_off(on));
        } else {
            out += on ? fmt::format(",kvm-{}=on", name) : "";
        }
    }
}

void add_hyperv(const Features& features, std::string& out) {
    if (features.hyperv_mode == "passthrough") {
        out += ",hv-passthrough=on";
    }
    for (const HypervFeature& one : features.hyperv) {
        if (!one.on) {
            continue;
        }
        if (one.name == "vendor_id") {
            out += ",hv-vendor-id=" + one.value;
        } else if (one.name == "spinlocks") {
            out += ",hv-spinlocks=" + one.value;
        } else {
            out += fmt::format(",hv-{}=on", one.name);
        }
        if (one.direct.value_or(false)) {
            out += ",hv-stimer-direct=on";
        }
    }
}

void add_timers(const Clock& clock, std::string& out) {
    for (const Timer& timer : clock.timers) {
        if (timer.name == "kvmclock" && timer.present) {
            out += fmt::format(",kvmclock={}", on_off(*timer.present));
        } else if (timer.name == "hypervclock" && timer.present.value_or(false)) {
            out += ",hv-time=on";
        } else if (timer.name == "tsc" && timer.frequency) {
            out += fmt::format(",tsc-frequency={}", *timer.frequency);
        }
    }
}

}  // namespace

std::string cpu_option(const Spec& spec) {
    std::string out = base_model(spec);
    for (const CpuFeature& feature : spec.cpu.features) {
        const bool off = feature.policy == "disable" || feature.policy == "forbid";
        out += fmt::format(",{}={}", feature.name, on_off(!off));
    }
    add_timers(spec.clock, out);
    add_kvm(spec.features, out);
    add_hyperv(spec.features, out);
    return out;
}

}  // namespace bascule::vmm
