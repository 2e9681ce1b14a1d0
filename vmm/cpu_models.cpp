// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpu_models.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

struct Names {
    std::string_view one, other;
};

// Different words for one feature; the second is ours.
constexpr std::array kSynonyms{
    Names{"sse3", "pni"}, Names{"pclmuldq", "pclmulqdq"}, Names{"xd", "nx"}, Names{"i64", "lm"},
    Names{"ffxsr", "fxsr-opt"}, Names{"sse4a", "sse4a"},
    // of /proc/cpuinfo (arch/x86/include/asm/cpufeatures.h)
    Names{"cr8-legacy", "cr8legacy"}, Names{"tsc-deadline-timer", "tsc-deadline"}, Names{"nonstop-tsc", "invtsc"},
    Names{"avx512-vnni", "avx512vnni"}, Names{"avx512-bitalg", "avx512bitalg"}, Names{"avx512-vbmi2", "avx512vbmi2"},
    Names{"sha-ni", "sha-ni"}, Names{"dtherm", "tm2"}, Names{"ds-cpl", "ds-cpl"}, Names{"flush-l1d", "flush-l1d"}};

// libvirt's spelling where it is not ours.
constexpr std::array kLibvirt{
    Names{"sse4-1", "sse4.1"},         Names{"sse4-2", "sse4.2"},         Names{"fxsr-opt", "fxsr_opt"},
    Names{"cmp-legacy", "cmp_legacy"}, Names{"lahf-lm", "lahf_lm"},       Names{"perfctr-core", "perfctr_core"},
    Names{"perfctr-nb", "perfctr_nb"}, Names{"nodeid-msr", "nodeid_msr"}, Names{"tsc-adjust", "tsc_adjust"},
    Names{"pclmulqdq", "pclmuldq"},    Names{"ds-cpl", "ds_cpl"}};

// Properties of QEMU's processors that are true or false and no features of a processor (target/i386/cpu.c).
constexpr std::array<std::string_view, 30> kSwitches{"check",
                                                     "enforce",
                                                     "migratable",
                                                     "kvm",
                                                     "host-phys-bits",
                                                     "fill-mtrr-mask",
                                                     "cpuid-0xb",
                                                     "legacy-cache",
                                                     "lmce",
                                                     "l3-cache",
                                                     "tcg-cpuid",
                                                     "vmware-cpuid-freq",
                                                     "full-cpuid-auto-level",
                                                     "hotpluggable",
                                                     "hotplugged",
                                                     "realized",
                                                     "start-powered-off",
                                                     "pmu",
                                                     "xen-vapic",
                                                     "host-cache-info",
                                                     "intel-pt-auto-level",
                                                     "cpuid-0x1f",
                                                     "legacy-instance-id",
                                                     "amd-topoext-features-only",
                                                     "unavailable-features",
                                                     "crash-information",
                                                     "feature-words",
                                                     "filtered-features",
                                                     "legacy-multi-node",
                                                     "stealtime"};

constexpr std::array<std::string_view, 4> kSwitchGroups{"hv-", "kvm-", "x-", "vmx-"};

constexpr std::array kVendors{Names{"GenuineIntel", "Intel"}, Names{"AuthenticAMD", "AMD"},
                              Names{"HygonGenuine", "Hygon"}};

bool includes(const FeatureSet& all, const FeatureSet& some) { return std::ranges::includes(all, some); }

FeatureSet without(const FeatureSet& all, const FeatureSet& some) {
    FeatureSet out;
    std::ranges::set_difference(all, some, std::back_inserter(out));
    return out;
}

FeatureSet common(const FeatureSet& a, const FeatureSet& b) {
    FeatureSet out;
    std::ranges::set_intersection(a, b, std::back_inserter(out));
    return out;
}

// Models of no vendor in particular: QEMU gives them one, but they are nobody's product.
bool is_generic(std::string_view model) {
    return model.starts_with("qemu") || model.starts_with("kvm") || model.starts_with("pentium") || model == "486" ||
           model == "base";
}

}  // namespace

std::string feature_key(std::string_view name) {
    std::string key(name);
    for (char& c : key) {
        c = c == '_' || c == '.' ? '-' : c;
    }
    for (const Names& synonym : kSynonyms) {
        if (key == synonym.one) {
            return std::string(synonym.other);
        }
    }
    const bool is_switch =
        std::ranges::find(kSwitches, key) != kSwitches.end() ||
        std::ranges::any_of(kSwitchGroups, [&](std::string_view group) { return key.starts_with(group); });
    return is_switch ? std::string() : key;
}

std::string vendor_name(std::string_view cpuid_vendor) {
    for (const Names& vendor : kVendors) {
        if (vendor.one == cpuid_vendor || vendor.other == cpuid_vendor) {
            return std::string(vendor.other);
        }
    }
    return {};
}

void CpuModels::learn(const std::vector<std::string>& features) {
    constexpr std::size_t kMost = 4096;  // names come from QEMU, which a guest may have taken over
    for (const std::string& feature : features) {
        std::string key = feature_key(feature);
        if (!key.empty() && table_.size() < kMost &&
            numbers_.try_emplace(key, static_cast<std::uint16_t>(table_.size())).second) {
            table_.push_back(std::move(key));
        }
    }
}

std::optional<std::uint16_t> CpuModels::known(std::string_view feature) const {
    const auto it = numbers_.find(feature_key(feature));
    return it == numbers_.end() ? std::nullopt : std::optional(it->second);
}

FeatureSet CpuModels::set_of(const std::vector<std::string>& features) const {
    FeatureSet out;
    for (const std::string& feature : features) {
        if (const auto number = known(feature)) {
            out.push_back(*number);
        }
    }
    std::ranges::sort(out);
    out.erase(std::ranges::unique(out).begin(), out.end());
    return out;
}

void CpuModels::add(CpuModel model, const std::vector<std::string>& features) {
    learn(features);
    model.features = set_of(features);
    model.vendor = is_generic(model.name) ? std::string() : vendor_name(model.vendor);
    for (std::string& name : model.missing) {
        name = feature_key(name);
    }
    const auto place = std::ranges::lower_bound(models_, model.name, {}, &CpuModel::name);
    models_.insert(place, std::move(model));
}

void CpuModels::set_guest(const std::vector<std::string>& features, std::string vendor) {
    learn(features);
    guest_ = {.vendor = vendor_name(vendor), .features = set_of(features)};
}

const CpuModel* CpuModels::find(std::string_view name) const {
    const auto it = std::ranges::lower_bound(models_, name, {}, &CpuModel::name);
    return it != models_.end() && it->name == name ? &*it : nullptr;
}

std::vector<std::string> CpuModels::names(const FeatureSet& features) const {
    std::vector<std::string> out;
    for (const std::uint16_t feature : features) {
        std::string name = table_[feature];
        for (const Names& spelling : kLibvirt) {
            if (name == spelling.one) {
                name = spelling.other;
            }
        }
        out.push_back(std::move(name));
    }
    std::ranges::sort(out);
    return out;
}

Result<CpuDescription> CpuModels::read(std::string_view xml) const {
    TRY(const xml::Node root, xml::parse(xml));
    if (root.name != "cpu") {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: the document is a <{}>, not a <cpu>", root.line, root.name));
    }
    CpuDescription out;
    if (const std::string* const mode = root.attr("mode"); mode != nullptr && *mode != "custom") {
        out = guest_;  // host-passthrough, host-model, maximum: what a guest gets then
    }
    if (const xml::Node* const model = root.child("model")) {
        const CpuModel* const known_model = find(model->text);
        if (known_model == nullptr) {
            return fail(Code::unsupported_config,
                        fmt::format("line {}: Unknown CPU model {}", model->line, model->text));
        }
        out = {.vendor = known_model->vendor, .features = known_model->features};
    }
    if (const xml::Node* const vendor = root.child("vendor")) {
        out.vendor = vendor_name(vendor->text);
        if (out.vendor.empty()) {
            return fail(Code::unsupported_config,
                        fmt::format("line {}: Unknown CPU vendor {}", vendor->line, vendor->text));
        }
    }
    for (const xml::Node& node : root.children) {
        if (node.name != "feature") {
            continue;
        }
        const std::string* const name = node.attr("name");
        const std::string* const policy = node.attr("policy");
        if (name == nullptr || feature_key(*name).empty()) {
            return fail(Code::invalid_xml,
                        fmt::format("line {}: <feature> needs the name of a processor's feature", node.line));
        }
        const bool needed = policy == nullptr || *policy == "require" || *policy == "force";
        if (!known(*name) && needed) {
            return fail(Code::unsupported_config, fmt::format("line {}: unknown CPU feature: {}", node.line, *name));
        }
        const FeatureSet one = set_of({*name});
        const auto join = [&one](const FeatureSet& to) {
            FeatureSet all;
            std::ranges::set_union(to, one, std::back_inserter(all));
            return all;
        };
        if (needed) {
            out.features = join(out.features);
        } else if (*policy == "disable" || *policy == "forbid") {
            out.features = without(out.features, one);
            out.forbidden = *policy == "forbid" ? join(out.forbidden) : out.forbidden;
        } else if (*policy != "optional") {
            return fail(Code::invalid_xml,
                        fmt::format("line {}: <feature policy='{}'>: one of force, require, optional, "
                                    "disable, forbid",
                                    node.line, *policy));
        }
    }
    return out;
}

CpuModels::Comparison CpuModels::compare(const CpuDescription& host, const CpuDescription& wanted) {
    const bool vendor_fits = wanted.vendor.empty() || host.vendor.empty() || wanted.vendor == host.vendor;
    if (!vendor_fits || !includes(host.features, wanted.features) || !common(host.features, wanted.forbidden).empty()) {
        return Comparison::incompatible;
    }
    return host.features == wanted.features ? Comparison::identical : Comparison::superset;
}

const CpuModel* CpuModels::best(const CpuDescription& cpu) const {
    const CpuModel* out = nullptr;
    const auto worth = [&](const CpuModel& model) {
        return std::tuple(model.features.size(), !model.deprecated, model.vendor == cpu.vendor);
    };
    for (const CpuModel& model : models_) {
        if (includes(cpu.features, model.features) && (model.vendor.empty() || model.vendor == cpu.vendor) &&
            (out == nullptr || worth(model) > worth(*out))) {
            out = &model;
        }
    }
    return out;
}

CpuDescription CpuModels::baseline(const std::vector<CpuDescription>& cpus) {
    CpuDescription out = cpus.front();
    out.forbidden.clear();
    for (const CpuDescription& cpu : cpus) {
        out.features = common(out.features, cpu.features);
        out.vendor = out.vendor == cpu.vendor ? out.vendor : std::string();
    }
    return out;
}

FeatureSet CpuModels::beyond(const CpuDescription& cpu, const CpuModel& model) const {
    return without(cpu.features, model.features);
}

Result<std::string> CpuModels::document(const CpuDescription& cpu, bool expand) const {
    const CpuModel* const model = best(cpu);
    if (model == nullptr) {
        return fail(Code::unsupported, "no CPU model is part of what these processors have in common");
    }
    xml::Writer w;
    w.open("cpu", {{"mode", "custom"}, {"match", "exact"}});
    w.leaf("model", model->name, {{"fallback", "forbid"}});
    if (!cpu.vendor.empty()) {
        w.leaf("vendor", cpu.vendor);
    }
    for (const std::string& feature : names(expand ? cpu.features : beyond(cpu, *model))) {
        w.empty("feature", {{"policy", "require"}, {"name", feature}});
    }
    w.close();
    return w.take();
}

}  // namespace bascule::vmm
