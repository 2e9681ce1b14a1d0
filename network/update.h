// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "network/spec.h"

namespace bascule::network {

// The peer's numbers (virNetworkUpdateSection, virNetworkUpdateCommand).
enum class Section {
    bridge = 1,
    domain,
    ip,
    ip_dhcp_host,
    ip_dhcp_range,
    forward,
    forward_interface,
    forward_pf,
    portgroup,
    dns_host,
    dns_txt,
    dns_srv
};
enum class Command { modify = 1, remove, add_last, add_first };

struct Update {
    Section section{};
    Command command{};
    int parent = -1;       // which <ip>, counted from 0; -1: the one that fits
    std::string_view xml;  // one element: the new one, or as much of the old one as is needed to find it
};

// The two numbers of a call. Clients before libvirt 7.2 send them in each other's place: where only the other order
// fits the element, that is what is meant. Code::invalid_argument when neither does.
struct Order {
    Section section{};
    Command command{};
    bool operator==(const Order&) const = default;
};
Result<Order> order_of(std::uint32_t section, std::uint32_t command, std::string_view xml);

// Changes one section of a definition; on an error nothing. Each refusal says in the peer's words what was not found,
// or is there already. The result is to be checked as a whole (check.h).
Result<void> update(Spec& spec, const Update& update);

}  // namespace bascule::network
