// SPDX-License-Identifier: GPL-2.0-or-later
#include "switch/shaping.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::vswitch {

namespace {

constexpr std::uint64_t kKib = 1024;
// What may pass at once when nobody says: a tenth of a second, and at least what a host sends in one piece (GSO).
constexpr std::uint64_t kLeastBurst = 128 * kKib;

std::uint64_t burst_of(const Rate& rate) {
    return rate.burst != 0 ? rate.burst * kKib : std::max(bytes_a_second(rate.average) / 10, kLeastBurst);
}

// What nft lets pass at once is a second of the rate and the burst (net/netfilter/nft_limit.c, nft_limit_init), which
// it counts in 32 bits.
std::string limit_rule(std::uint64_t rate, std::uint64_t burst) {
    const std::uint64_t more = burst > rate ? std::min<std::uint64_t>(burst - rate, 0xffffffffU) : 1;
    return fmt::format("limit rate over {} bytes/second burst {} bytes drop", rate, more);
}

}  // namespace

std::uint64_t bytes_a_second(std::uint64_t kilobytes) { return kilobytes * 1000; }

std::optional<kernel::Shaping> shaping_of(const Bandwidth& bandwidth, bool shared) {
    kernel::Shaping out;
    out.shared = shared;
    if (bandwidth.inbound && bandwidth.inbound->average != 0) {
        const Rate& rate = *bandwidth.inbound;
        out.out = kernel::Shaping::Out{.rate = bytes_a_second(rate.average),
                                       .ceil = bytes_a_second(std::max(rate.peak, rate.average)),
                                       .burst = burst_of(rate)};
    }
    if (bandwidth.outbound && bandwidth.outbound->average != 0) {
        const Rate& rate = *bandwidth.outbound;
        out.in = kernel::Shaping::In{.rate = bytes_a_second(rate.average),
                                     .burst = burst_of(rate),
                                     .peak = rate.peak > rate.average ? bytes_a_second(rate.peak) : 0};
        if (rate.peak != 0 && rate.peak == rate.average) {  // it is never faster, so nothing comes in a burst
            out.in->burst = std::min(out.in->burst, kernel::at_once({.peak = bytes_a_second(rate.peak)}));
        }
    }
    out.shared = shared && out.out;
    return out.out || out.in ? std::optional(out) : std::nullopt;
}

void limit_by_rules(kernel::State& wish) {
    for (auto it = wish.shapings.begin(); it != wish.shapings.end();) {
        auto& [link, shaping] = *it;
        if (shaping.in) {
            kernel::Chain chain;
            chain.hook = kernel::Hook{"filter", "ingress", 0, link.str(), "accept"};
            if (shaping.in->peak != 0) {
                chain.rules = {limit_rule(shaping.in->peak, kernel::at_once(*shaping.in))};
            }
            chain.rules.push_back(limit_rule(shaping.in->rate, shaping.in->burst));
            wish.rules[kernel::Family::netdev].add_chain("limit", std::move(chain));
            shaping.in.reset();
        }
        it = shaping.out ? std::next(it) : wish.shapings.erase(it);
    }
}

}  // namespace bascule::vswitch
