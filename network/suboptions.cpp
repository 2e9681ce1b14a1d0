// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/suboptions.h"

#include <algorithm>

namespace bascule::network {

namespace {

constexpr std::uint8_t kVendorIdentifying = 125, kVendor6 = 17;

void put_number(std::vector<std::uint8_t>& to, std::uint32_t number, std::size_t width) {
    while (width-- > 0) {
        to.push_back(static_cast<std::uint8_t>(number >> (8 * width)));
    }
}

bool same_place(const SubOption& a, const SubOption& b) {
    return a.code == b.code && a.enterprise == b.enterprise && a.force == b.force && a.when == b.when;
}

// Those of one place, in their order.
std::vector<std::uint8_t> packed(const std::vector<SubOption>& all, const SubOption& first) {
    std::vector<std::uint8_t> inner;
    for (const SubOption& one : all) {
        if (same_place(one, first)) {
            put_number(inner, one.number, one.ipv6 ? 2 : 1);
            put_number(inner, static_cast<std::uint32_t>(one.value.size()), one.ipv6 ? 2 : 1);
            inner.insert(inner.end(), one.value.begin(), one.value.end());
        }
    }
    if (!first.enterprise) {
        return inner;
    }
    std::vector<std::uint8_t> out;
    put_number(out, *first.enterprise, 4);
    if (!first.ipv6) {
        put_number(out, static_cast<std::uint32_t>(std::min<std::size_t>(inner.size(), 255)), 1);
    }
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
}

}  // namespace

std::string what_is_wrong(const SubOption& option) {
    const bool of_enterprise = option.code == (option.ipv6 ? kVendor6 : kVendorIdentifying);
    if (of_enterprise && !option.enterprise) {
        return "needs the enterprise whose option it is";
    }
    if (!of_enterprise && option.enterprise) {
        return option.ipv6 ? "an enterprise goes with option 17 only" : "an enterprise goes with option 125 only";
    }
    if (option.ipv6 && !of_enterprise) {
        return "of IPv6's options only the vendor's (17) holds others";
    }
    if (option.number == 0 || (!option.ipv6 && option.number > 254)) {
        return "an option in an option has a number of 1 to 254";
    }
    return option.value.size() > 240 ? "an option in an option has at most 240 bytes" : "";
}

std::vector<dhcp::ExtraOption> joined(const std::vector<SubOption>& all) {
    std::vector<dhcp::ExtraOption> out;
    for (auto at = all.begin(); at != all.end(); ++at) {
        if (std::any_of(all.begin(), at, [&](const SubOption& before) { return same_place(before, *at); })) {
            continue;  // is in there already
        }
        const auto value = packed(all, *at);
        // Of several enterprises each has its part of the one option (RFC 3925 section 4).
        const auto same = std::ranges::find_if(out, [&](const dhcp::ExtraOption& other) {
            return at->enterprise && other.code == at->code && other.force == at->force && other.when == at->when;
        });
        if (same != out.end() && !at->ipv6) {
            same->value.insert(same->value.end(), value.begin(), value.end());
        } else {
            out.push_back({.code = at->code, .value = value, .force = at->force, .when = at->when});
        }
    }
    return out;
}

}  // namespace bascule::network
