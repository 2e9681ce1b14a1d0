// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
// ===================
//
// A filter that uses IP or IPV6 without a value for it waits for the port to learn one. Its sets are empty until then,
// so nothing that depends on an address passes: learning fails closed. What is learned are elements of those sets, with
// the lease's time, so that the kernel itself cuts off an address whose lease ran out.
//
// Frames that can teach are copied to user space by NFLOG, where an unprivileged process reads them (dhcp/learner.h).
// Copies of what comes from a guest are taken before its filter, which would drop them; of what goes to it behind its
// filter, so that a filter which believes only some DHCP servers decides here, too. The parameters DHCPSERVER and
// DHCPSERVERV6 do the same without a rule.
//
//   dhcp   DHCPv4 and DHCPv6, both ways
//   any    that, the first ARP or IPv4 frame as long as the port has no IPv4 address, neighbour discovery, and the
//          router advertisements that say which IPv6 prefixes there are
//
// Only untagged frames with the port's own MAC address count. Each port has a bucket of its own for either direction
// (elements of a set with a limit), so that a flood costs the port alone; what is beyond it is counted in another set,
// and told once a minute by a copy whose prefix says so.
//
// Like the classes of filters all of it is shared: a port is seven elements.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"
#include "kernel/ruleset.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter {

// Where the copies go, and how the one begins that says there were too many.
inline constexpr std::uint16_t kCopyGroup = 0x6263;
inline constexpr std::string_view kTooMany = "too many";

// How a port learns what.
struct Learning {
    bool any = false;  // else: by DHCP only
    bool v4 = false, v6 = false;
    std::vector<Ip> servers{};  // whose DHCP replies count; of a family without any: everybody's
    bool operator==(const Learning&) const = default;
};

// Reads CTRL_IP_LEARNING (any, which is the default, dhcp or none), DHCPSERVER and DHCPSERVERV6; none: the port learns
// nothing. Which families is left to the caller.
Result<std::optional<Learning>> learning_of(const Parameters& parameters);

// Chains and sets for the copies, which are the same for all ports that learn so, and what entries of the ports lead
// to.
struct Copies {
    kernel::Table table;
    std::string from, to;  // chains of what comes from the port, and goes to it
};
Copies copies(const Learning& learning);
// The port's elements in these.
kernel::Ruleset copied(const Copies& copies, const Learning& learning, const IfName& port, const MacAddr& mac);
// The element that has ordinary frames copied, too: for a port without an IPv4 address that learns from any.
kernel::Ruleset first_frame(const Learning& learning, const IfName& port);

}  // namespace bascule::nwfilter
