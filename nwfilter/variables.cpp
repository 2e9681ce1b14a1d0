// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/variables.h"

#include <algorithm>

#include <fmt/format.h>

#include "nwfilter/learning.h"

namespace bascule::nwfilter {

namespace {

constexpr unsigned kFirstElement = 1001;
constexpr std::string_view kIp = "IP", kIp6 = "IPV6", kMac = "MAC", kLearning = "CTRL_IP_LEARNING";

constexpr std::size_t kMaxTuples = 4096;
constexpr std::string_view kLinkLocal = "LINKLOCAL";

// RFC 4291, appendix A: what a guest calls itself that has nothing but its MAC address.
Ip link_local(const MacAddr& mac) {
    std::array<std::uint8_t, 16> octets{0xfe, 0x80};
    for (std::size_t i = 0; i < 3; ++i) {
        octets[8 + i] = mac.octets[i];
        octets[13 + i] = mac.octets[3 + i];
    }
    octets[8] ^= 2;
    octets[11] = 0xff;
    octets[12] = 0xfe;
    return Ip::v6(octets);
}

// That the lists of one group fit together, seen from one of them.
Result<void> check_group(const std::vector<Bound>& bounds, const Bound& bound, const FlatRule& rule) {
    for (const Bound& other : bounds) {
        if (other.group != bound.group || bound.learned) {
            continue;
        }
        if (other.learned && bound.values.size() != 1) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: parameter {} has {} values beside an address that is to be learned; give IP",
                                    rule.origin(), bound.name, bound.values.size()));
        }
        if (!other.learned && other.values.size() != bound.values.size()) {
            return fail(Code::invalid_argument,
                        fmt::format("{}: parameters {} and {} are used in parallel but have {} and {} values",
                                    rule.origin(), bound.name, other.name, bound.values.size(), other.values.size()));
        }
    }
    return {};
}

}  // namespace

bool is_learned(std::string_view name) { return name == kIp || name == kIp6; }

std::string Bound::key() const {
    const auto& variable = std::get<Variable>(attribute->value);
    return variable.element ? fmt::format("{}/{}", name, *variable.element) : name;
}

std::size_t tuples_of(const std::vector<Bound>& bounds, unsigned group) {
    const auto first =
        std::ranges::find_if(bounds, [&](const Bound& bound) { return bound.group == group && !bound.learned; });
    return first == bounds.end() ? 1 : first->values.size();
}

Result<PortValues> PortValues::of(const Port& port) {
    PortValues values;
    values.parameters_ = port.parameters;
    values.parameters_.try_emplace(std::string(kMac), std::vector{format(port.mac)});
    values.parameters_.try_emplace(std::string(kLinkLocal), std::vector{format(link_local(port.mac))});
    for (const auto& [name, list] : values.parameters_) {
        if (list.empty()) {
            return fail(Code::invalid_argument, fmt::format("parameter {} has no value", name));
        }
    }
    TRY(const auto learning, learning_of(values.parameters_));
    values.learning_ = learning.has_value();
    return values;
}

Result<Bound> PortValues::bind(const Attribute& attribute, const FlatRule& rule, const Parameters& scope) const {
    const AttributeRow& at = row(attribute.row);
    Bound bound;
    const auto& variable = std::get<Variable>(attribute.value);
    bound.attribute = &attribute;
    bound.name = variable.name;
    // Each element stands alone: behind all iterators, by the attribute that it belongs to.
    bound.group = variable.element ? kFirstElement + attribute.row : variable.iterator;
    const std::vector<std::string>* texts = nullptr;
    if (const auto own = parameters_.find(bound.name); own != parameters_.end()) {
        texts = &own->second;
        bound.from_port = true;
    } else if (const auto inherited = scope.find(bound.name); inherited != scope.end()) {
        texts = &inherited->second;
    } else if (is_learned(bound.name) && learning_ && variable.element.value_or(0) == 0) {
        bound.from_port = bound.learned = true;
        return bound;
    } else {
        const std::string hint =
            is_learned(bound.name) ? fmt::format(" (learning is switched off by {})", kLearning) : std::string();
        return fail(Code::invalid_argument, fmt::format("{}: parameter {} is missing: {} needs {}{}", rule.origin(),
                                                        bound.name, at.name, expected(at), hint));
    }
    if (variable.element && *variable.element >= texts->size()) {
        return fail(Code::invalid_argument,
                    fmt::format("{}: {}: there is no {} (it has {} values, counted from 0)", rule.origin(), at.name,
                                format_value(at, attribute.value), texts->size()));
    }
    for (std::size_t i = 0; i < texts->size(); ++i) {
        if (i != variable.element.value_or(static_cast<unsigned>(i))) {
            continue;
        }
        const std::string& text = (*texts)[i];
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
    bounds.reserve(rule.rule->attributes.size());
    for (const Attribute& attribute : rule.rule->attributes) {
        if (!std::holds_alternative<Variable>(attribute.value)) {
            continue;
        }
        TRY(Bound bound, bind(attribute, rule, flat.scopes[rule.scope]));
        bounds.push_back(std::move(bound));
    }
    std::size_t tuples = 1;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        TRY_OK(check_group(bounds, bounds[i], rule));
        const auto same = [&](const Bound& earlier) { return earlier.group == bounds[i].group; };
        if (std::none_of(bounds.begin(), bounds.begin() + static_cast<std::ptrdiff_t>(i), same)) {
            tuples *= tuples_of(bounds, bounds[i].group);
        }
        if (tuples > kMaxTuples) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: its lists combine to more than {} rules", rule.origin(), kMaxTuples));
        }
    }
    return bounds;
}

}  // namespace bascule::nwfilter
