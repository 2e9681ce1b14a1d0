// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of router advertisements (RFC 4861 section 6.2)
// ====================================================================
//
// encode_advertisement() is what one says, from the Spec alone: prefixes (addresses to be made up by the guest where
// nothing is handed out by DHCPv6), MTU, name servers and search list (RFC 8106), routes (RFC 4191), PREF64 (RFC 8781),
// captive portal (RFC 8910), our MAC. On an isolated network, and as the last one of a network that stops, the lifetime
// as a default router is 0.
//
// Advertiser says when: three at once when the network starts (and some more, since the bridge's link-local address is
// usable only when its first port is up), then at random between a third of the interval and the whole; one who
// solicits is answered directly, by unicast, so a guest that floods hears only itself. Each MAC has a budget, and so
// have all together; what is beyond is dropped.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"
#include "dhcp/leases.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

// Whether there is anything to advertise.
bool advertises(const Spec& spec);
// ICMPv6, checksum left 0: the kernel fills it in. `router`: our MAC, or zeros not to tell it. `last`: the network
// stops. `withdrawn`: prefixes that were advertised once and are no longer the network's (RFC 9096): addresses of them
// are deprecated at once.
Bytes encode_advertisement(const Spec& spec, const MacAddr& router, bool last = false,
                           std::span<const Prefix> withdrawn = {});
std::vector<Prefix> advertised_prefixes(const Spec& spec);

// A router solicitation (type 133), as RFC 4861 section 6.1.1 has it checked. Code::malformed says what was wrong.
struct Solicitation {
    std::optional<MacAddr> link{};  // source link-layer address
    bool operator==(const Solicitation&) const = default;
};
Result<Solicitation> decode_solicitation(ByteView icmp, unsigned hop_limit, const Ip& from);

class Advertiser {
public:
    // `random`: 32 bits.
    explicit Advertiser(std::function<std::uint32_t()> random) : random_(std::move(random)) {}

    // Starts over: there is something new to say.
    void start(const Spec& spec, Time now);
    void stop() { next_ = kEndOfTime; }
    // Whether the solicitation of that port is to be answered, or is beyond the budgets. `known`: it is a guest's NIC,
    // which does not depend on what made-up addresses have used up.
    bool solicited(const MacAddr& port, bool known, Time now);
    // Whether everybody is to be told now.
    bool due(Time now);
    Time next() const { return next_; }

private:
    struct Budget {
        Time since{};
        unsigned used = 0;
    };
    static bool take(Budget& budget, unsigned most, Time now);

    std::function<std::uint32_t()> random_;
    std::chrono::milliseconds interval_{0};
    unsigned initial_ = 0;
    Time next_ = kEndOfTime;
    Budget all_;
    std::unordered_map<MacAddr, Budget> ports_;
};

}  // namespace bascule::dhcp
