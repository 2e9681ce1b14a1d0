// SPDX-License-Identifier: GPL-2.0-or-later
// Addresses that the host answers for on a link though another one has them: proxy entries of the neighbour tables
// (ARP, IPv6 neighbour discovery). Ours carry the number that our routes have (NDA_PROTOCOL), so those that an
// administrator made stay, and what is ours is observed, never remembered.
#pragma once

#include <compare>
#include <set>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel::os {

struct ProxyEntry {
    IfName link;
    Ip address;
    auto operator<=>(const ProxyEntry&) const = default;
};

// Ours become these, and no others. A link that is not there has none until the next time; the names of such links
// are returned.
Result<std::set<IfName>> put_proxies(const std::set<ProxyEntry>& wanted);

}  // namespace bascule::kernel::os
