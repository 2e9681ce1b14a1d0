// SPDX-License-Identifier: GPL-2.0-or-later
// <features>, <cpu>, <clock>, <pm>: what the machine itself is like.
#include <algorithm>

#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr std::string_view kLaterFeatures[] = {
    "aia",  "async-teardown", "capabilities", "ccf-assist", "cfpc", "gic",  "hap", "hpt",      "htm", "ibs",
    "msrs", "nested-hv",      "privnet",      "ps2",        "ras",  "sbbc", "tcg", "viridian", "xen",
};
// Those with nothing but <NAME state='on|off'/>.
constexpr std::string_view kSwitches[] = {"pmu", "pvspinlock", "smm", "vmcoreinfo", "vmport"};
constexpr std::string_view kKvmSwitches[] = {"hidden", "hint-dedicated", "poll-control", "pv-ipi"};
constexpr std::string_view kHyperv[] = {
    "relaxed",   "vapic",       "spinlocks",       "vpindex",  "runtime", "synic", "stimer", "reset",
    "vendor_id", "frequencies", "reenlightenment", "tlbflush", "ipi",     "evmcs", "avic",
};
constexpr std::string_view kPolicies[] = {"force", "require", "optional", "disable", "forbid"};

constexpr Value<unsigned> kCount{"a number, 1 to 255", xml::parse_number<unsigned, 1, 255>};
constexpr Value<std::uint64_t> kHertz{"a frequency in Hz", xml::parse_number<std::uint64_t, 1>};
constexpr Value<unsigned> kRetries{"a number of retries, 4095 or more", xml::parse_number<unsigned, 4095>};
// The names of QEMU's CPU models and features; they stand between commas there.
constexpr Value<std::string> kCpuWord{"a name of letters, digits, '.', '_' and '-'", [](std::string_view t) {
                                          const bool good =
                                              !t.empty() && t.size() <= 64 && std::ranges::all_of(t, [](char c) {
                                                  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                                                         (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
                                              });
                                          return good ? std::optional(std::string(t)) : std::nullopt;
                                      }};
// CPUID has room for twelve characters.
constexpr Value<std::string> kVendorId{
    "1 to 12 printable characters without a comma", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 12 &&
                          std::ranges::all_of(t, [](char c) { return c > ' ' && c <= '~' && c != ','; });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};

Result<bool> read_flag(const Node& node) {
    Reader r(node);
    TRY_OK(r.finish());
    return true;
}

Result<bool> read_switch(const Node& node) {
    Reader r(node);
    const bool on = r.get("state", xml::kOnOff, true);
    if (node.name == "smm") {
        r.not_supported_child("tseg");
    }
    TRY_OK(r.finish());
    return on;
}

Result<std::optional<bool>> read_apic(const Node& node) {
    Reader r(node);
    const auto eoi = r.opt("eoi", xml::kOnOff);
    TRY_OK(r.finish());
    return eoi;
}

Result<std::string> read_ioapic(const Node& node) {
    Reader r(node);
    auto driver = word(r, "driver", {"kvm", "qemu"});
    TRY_OK(r.finish());
    return driver;
}

template <std::size_t N>
std::vector<std::pair<std::string, bool>> read_switches(Reader& r, const std::string_view (&names)[N]) {
    std::vector<std::pair<std::string, bool>> out;
    for (const std::string_view name : names) {
        if (const auto on = r.parse_child(name, read_switch)) {
            out.emplace_back(name, *on);
        }
    }
    return out;
}

Result<std::vector<std::pair<std::string, bool>>> read_kvm(const Node& node) {
    Reader r(node);
    auto out = read_switches(r, kKvmSwitches);
    r.not_supported_child("dirty-ring");
    TRY_OK(r.finish());
    return out;
}

Result<HypervFeature> read_hyperv_feature(const Node& node) {
    Reader r(node);
    HypervFeature out{.name = node.name};
    out.on = r.get("state", xml::kOnOff, true);
    if (node.name == "spinlocks") {
        const auto retries = out.on ? r.req("retries", kRetries) : r.opt("retries", kRetries);
        out.value = retries ? std::to_string(*retries) : "";
    } else if (node.name == "vendor_id") {
        out.value = (out.on ? r.req("value", kVendorId) : r.opt("value", kVendorId)).value_or("");
    } else if (node.name == "stimer") {
        out.direct = r.parse_child("direct", read_switch);
    } else if (node.name == "tlbflush") {
        refuse_children(r, {"direct", "extended"});
    }
    TRY_OK(r.finish());
    return out;
}

Result<void> read_hyperv(const Node& node, Features& out) {
    Reader r(node);
    out.hyperv_mode = word(r, "mode", {"custom", "passthrough"});
    out.hyperv_mode = out.hyperv_mode.empty() ? "custom" : out.hyperv_mode;
    for (const std::string_view name : kHyperv) {
        if (auto feature = r.parse_child(name, read_hyperv_feature)) {
            out.hyperv.push_back(*std::move(feature));
        }
    }
    refuse_children(r, {"emsr_bitmap", "xmm_input"});
    return r.finish();
}

Result<CpuTopology> read_topology(const Node& node) {
    Reader r(node);
    CpuTopology out;
    out.sockets = r.req("sockets", kCount).value_or(1);
    out.dies = r.get("dies", kCount, 1);
    only(r, "clusters", "1");
    out.cores = r.req("cores", kCount).value_or(1);
    out.threads = r.req("threads", kCount).value_or(1);
    TRY_OK(r.finish());
    return out;
}

Result<CpuFeature> read_cpu_feature(const Node& node) {
    Reader r(node);
    CpuFeature out;
    out.policy = word(r, "policy", kPolicies);
    out.policy = out.policy.empty() ? "require" : out.policy;
    out.name = r.req("name", kCpuWord).value_or("");
    TRY_OK(r.finish());
    return out;
}

Result<void> read_cpu_model(const Node& node, Cpu& cpu) {
    Reader r(node);
    cpu.fallback = word(r, "fallback", {"allow", "forbid"});
    r.not_supported_attr("vendor_id");
    if (!node.text.empty()) {
        cpu.model = r.text(kCpuWord).value_or("");
    }
    return r.finish();
}

Result<Timer> read_timer(const Node& node) {
    Reader r(node);
    Timer out;
    out.name = word(r, "name", {"rtc", "pit", "hpet", "kvmclock", "hypervclock", "tsc"});
    if (out.name.empty() && r.ok()) {
        r.report(Fault::Kind::missing, "name", "a timer", {});
    }
    out.present = r.opt("present", xml::kYesNo);
    if (out.name == "rtc") {
        out.tickpolicy = word(r, "tickpolicy", {"delay", "catchup"});
    } else if (out.name == "pit") {
        out.tickpolicy = word(r, "tickpolicy", {"delay", "catchup", "discard"});
    } else if (out.name == "tsc") {
        out.frequency = r.opt("frequency", kHertz);
        r.not_supported_attr("mode");
    }
    if ((out.name == "rtc" || out.name == "pit" || out.name == "tsc") && out.present == false) {
        r.report(Fault::Kind::not_supported, "present", "'no' for '" + out.name + "': the machines have it", {});
    }
    r.not_supported_attr("track");
    r.not_supported_child("catchup");
    TRY_OK(r.finish());
    return out;
}

Result<bool> read_suspend(const Node& node) {
    Reader r(node);
    const auto enabled = req_yes_no(r, "enabled");
    TRY_OK(r.finish());
    return *enabled;
}

}  // namespace

Result<Features> read_features(const Node& node) {
    Reader r(node);
    Features out;
    out.acpi = r.parse_child("acpi", read_flag).value_or(false);
    const auto apic = r.parse_child("apic", read_apic);
    out.apic = apic.has_value();
    out.apic_eoi = apic.value_or(std::nullopt);
    out.pae = r.parse_child("pae", read_flag).value_or(false);
    out.switches = read_switches(r, kSwitches);
    out.kvm = r.parse_child("kvm", read_kvm).value_or(std::vector<std::pair<std::string, bool>>());
    if (const Node* const hyperv = r.child("hyperv"); hyperv != nullptr && r.ok()) {
        TRY_OK(read_hyperv(*hyperv, out));
    }
    out.ioapic = r.parse_child("ioapic", read_ioapic).value_or("");
    refuse_children(r, kLaterFeatures);
    TRY_OK(r.finish());
    return out;
}

Result<Cpu> read_cpu(const Node& node) {
    Reader r(node);
    Cpu out;
    if (r.opt("mode", kText)) {
        out.mode = one_of(r, "mode", kCpuModes).value_or(CpuMode::absent);
    }
    out.match = word(r, "match", {"minimum", "exact", "strict"});
    out.check = word(r, "check", {"none", "partial", "full"});
    out.migratable = r.get("migratable", xml::kOnOff, true);
    if (!out.migratable && out.mode != CpuMode::host_passthrough) {
        r.report(Fault::Kind::inconsistent, "migratable", "'off' needs mode='host-passthrough'", {});
    }
    if (const Node* const model = r.child("model")) {
        TRY_OK(read_cpu_model(*model, out));
        // Without a mode, a model means a custom CPU.
        out.mode = out.mode == CpuMode::absent && !out.model.empty() ? CpuMode::custom : out.mode;
    }
    out.vendor = r.child_text("vendor", kCpuWord).value_or("");
    out.check = out.check == usual_check(out.mode) ? "" : out.check;
    out.match = out.match == "exact" ? "" : out.match;
    out.topology = r.parse_child("topology", read_topology);
    out.features = r.parse_children("feature", read_cpu_feature);
    if (out.mode == CpuMode::custom && out.model.empty()) {
        if (!out.features.empty() || !out.vendor.empty()) {
            r.report(Fault::Kind::inconsistent, {}, "mode='custom' needs a <model>", {});
        }
        out.mode = CpuMode::absent;
    } else if (out.mode != CpuMode::custom && !out.model.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "a <model> needs mode='custom'", {});
    } else if (out.mode == CpuMode::absent && !out.features.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "<feature> needs a mode", {});
    }
    refuse_children(r, {"cache", "maxphysaddr", "numa"});
    TRY_OK(r.finish());
    return out;
}

Result<Clock> read_clock(const Node& node) {
    Reader r(node);
    Clock out;
    out.offset = one_of(r, "offset", kClocks).value_or(Clock::Offset::utc);
    out.timers = r.parse_children("timer", read_timer);
    for (std::size_t i = 0; i < out.timers.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (out.timers[i].name == out.timers[k].name) {
                r.report(Fault::Kind::inconsistent, {}, fmt::format("two timers '{}'", out.timers[i].name), {});
            }
        }
    }
    refuse_attributes(r, {"adjustment", "basis", "start", "timezone"});
    TRY_OK(r.finish());
    return out;
}

Result<PowerManagement> read_power_management(const Node& node) {
    Reader r(node);
    PowerManagement out;
    out.suspend_to_mem = r.parse_child("suspend-to-mem", read_suspend);
    out.suspend_to_disk = r.parse_child("suspend-to-disk", read_suspend);
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
