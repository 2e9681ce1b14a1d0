// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/variables.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

constexpr std::string_view kIp = "IP", kMac = "MAC", kLearning = "CTRL_IP_LEARNING";

}  // namespace

Result<PortValues> PortValues::of(const Port& port) {
    PortValues values;
    values.parameters_ = port.parameters;
    values.parameters_.try_emplace(std::string(kMac), std::vector{format(port.mac)});
    for (const auto& [name, list] : values.parameters_) {
        if (list.empty()) {
            return fail(Code::invalid_argument, fmt::format("parameter {} has no value", name));
        }
    }
    if (const auto found = values.parameters_.find(std::string(kLearning)); found != values.parameters_.end()) {
        const std::string& how = found->second.front();
        if (found->second.size() != 1 || (how != "any" && how != "dhcp" && how != "none")) {
            return fail(Code::invalid_argument,
                        fmt::format("parameter {}: expected 'any', 'dhcp' or 'none', got '{}'", kLearning, how));
        }
        values.learning_ = how != "none";
    }
    return values;
}

Result<Bound> PortValues::bind(const Attribute& attribute, const FlatRule& rule, const Parameters& scope) const {
    const AttributeRow& at = row(attribute.row);
    Bound bound;
    bound.attribute = &attribute;
    bound.name = std::get<Variable>(attribute.value).name;
    const std::vector<std::string>* texts = nullptr;
    if (const auto own = parameters_.find(bound.name); own != parameters_.end()) {
        texts = &own->second;
        bound.from_port = true;
    } else if (const auto inherited = scope.find(bound.name); inherited != scope.end()) {
        texts = &inherited->second;
    } else if (bound.name == kIp && learning_) {
        bound.from_port = bound.learned = true;
        return bound;
    } else {
        const std::string_view hint = bound.name == kIp ? " (learning is switched off by CTRL_IP_LEARNING)" : "";
        return fail(Code::invalid_argument, fmt::format("{}: parameter {} is missing: {} needs {}{}", rule.origin(),
                                                        bound.name, at.name, expected(at), hint));
    }
    for (const std::string& text : *texts) {
        auto value = parse_value(at, text);
        if (!value) {
            return fail(Code::invalid_argument, fmt::format("{}: parameter {}: {} needs {}, got '{}'", rule.origin(),
                                                            bound.name, at.name, expected(at), text));
        }
        bound.values.push_back(std::move(*value));
    }
    return bound;
}

Result<std::vector<Bound>> PortValues::bind(const FlatRule& rule, const Flat& flat) const {
    std::vector<Bound> bounds;
    const Bound* first = nullptr;
    bool learned = false;
    bounds.reserve(rule.rule->attributes.size());
    for (const Attribute& attribute : rule.rule->attributes) {
        if (!std::holds_alternative<Variable>(attribute.value)) {
            continue;
        }
        TRY(Bound bound, bind(attribute, rule, flat.scopes[rule.scope]));
        learned = learned || bound.learned;
        bounds.push_back(std::move(bound));
    }
    for (const Bound& bound : bounds) {
        if (bound.learned) {
            continue;
        }
        if (learned && bound.values.size() != 1) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: parameter {} has {} values beside an address that is to be learned; give IP",
                                    rule.origin(), bound.name, bound.values.size()));
        }
        if (first != nullptr && first->values.size() != bound.values.size()) {
            return fail(Code::invalid_argument,
                        fmt::format("{}: parameters {} and {} are used in parallel but have {} and {} values",
                                    rule.origin(), first->name, bound.name, first->values.size(), bound.values.size()));
        }
        first = &bound;
    }
    return bounds;
}

}  // namespace bascule::nwfilter
