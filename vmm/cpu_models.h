// SPDX-License-Identifier: GPL-2.0-or-later
// Processor models and what they have, as QEMU says, and the questions that clients ask about them.
//
// A model is a name and a set of features. QEMU is asked for the features of each of its models; the features of the
// host's processor are in /proc/cpuinfo, those that a guest can have in QEMU's model "host" (KVM) or "max" (TCG).
// Everything else is sets: a processor will do when it has all that is wanted; the baseline of several is what they
// have in common, expressed as the largest model in it and the features beyond.
//
// The kernel, QEMU and libvirt spell some features differently (sse4_1, sse4-1, sse4.1): inside there is one spelling,
// documents get libvirt's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/xml.h"

namespace bascule::vmm {

// Sorted numbers of a table's names.
using FeatureSet = std::vector<std::uint16_t>;

struct CpuModel {
    std::string name{}, vendor{};  // "Intel", "AMD" …; empty: any
    FeatureSet features{};
    std::vector<std::string> missing{};  // what this host cannot give to a guest of it; empty: it runs
    bool deprecated = false;
    bool operator==(const CpuModel&) const = default;
};

// A processor, as documents describe one.
struct CpuDescription {
    std::string vendor{};
    FeatureSet features{};
    FeatureSet forbidden{};  // must not be there
    bool operator==(const CpuDescription&) const = default;
};

class CpuModels {
public:
    // Names of features, which then are known. Whatever is not known is nothing of a processor's to us.
    void learn(const std::vector<std::string>& features);
    // A model with the features that QEMU's expansion shows to be on.
    void add(CpuModel model, const std::vector<std::string>& features);
    // What a guest gets at best.
    void set_guest(const std::vector<std::string>& features, std::string vendor);
    // Of names in any of the three spellings those that are known.
    FeatureSet set_of(const std::vector<std::string>& features) const;

    const std::vector<CpuModel>& models() const { return models_; }
    const CpuDescription& guest() const { return guest_; }
    const CpuModel* find(std::string_view name) const;
    // libvirt's spelling.
    std::vector<std::string> names(const FeatureSet& features) const;

    // A <cpu> document: the features of its model, with its own policies applied.
    Result<CpuDescription> read(std::string_view xml) const;

    enum class Comparison { incompatible = 0, identical = 1, superset = 2 };  // virCPUCompareResult
    static Comparison compare(const CpuDescription& host, const CpuDescription& wanted);

    // The largest model that needs nothing else than these; of the same vendor, if it has one. Null: none.
    const CpuModel* best(const CpuDescription& cpu) const;
    // What all have in common. At least one.
    static CpuDescription baseline(const std::vector<CpuDescription>& cpus);
    // <cpu mode='custom' match='exact'>: the best model and the features beyond it, or all of them.
    Result<std::string> document(const CpuDescription& cpu, bool expand) const;
    FeatureSet beyond(const CpuDescription& cpu, const CpuModel& model) const;

private:
    std::optional<std::uint16_t> known(std::string_view feature) const;

    std::vector<CpuModel> models_;  // by name
    std::vector<std::string> table_;
    std::map<std::string, std::uint16_t, std::less<>> numbers_;
    CpuDescription guest_;
};

// The one spelling of a feature inside; empty for what is a switch of QEMU's and no feature of a processor.
std::string feature_key(std::string_view name);
// "GenuineIntel" is "Intel", as documents have it; empty for one that is not known.
std::string vendor_name(std::string_view cpuid_vendor);

}  // namespace bascule::vmm
