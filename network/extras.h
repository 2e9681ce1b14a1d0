// SPDX-License-Identifier: GPL-2.0-or-later
// What a definition says in our own namespace, below <metadata>, where the peer's schema has no word for it:
//
//   <bascule:network xmlns:bascule='urn:bascule:1'>
//     <bascule:admit network='lab'/>                      guests of lab may open connections to this one's
//     <bascule:host protocol='tcp' port='22' end='23'/>   guests may reach that of the host, beside what is served
//     <bascule:host access='all'/>                        or all of it
//     <bascule:subnet family='ipv4'/>                     choose a free subnet where the definition has none
//     <bascule:guest-address ip='203.0.113.7' proxy='yes'/>   a single address, routed to this network; the host
//                                                         answers for it on the forward device (ARP, ND)
//   </bascule:network>
//
// and what services.h has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/net.h"
#include "base/result.h"
#include "base/xml.h"
#include "nat/spec.h"
#include "network/services.h"

namespace bascule::network {

inline constexpr std::string_view kOwnNamespace = "urn:bascule:1";

struct GuestAddress {
    Ip ip;
    bool proxy = false;
    bool operator==(const GuestAddress&) const = default;
};

struct Extras {
    std::vector<std::string> admits;  // names of networks
    bool host_all = false;
    std::vector<nat::HostService> host;
    bool subnet_v4 = false, subnet_v6 = false;
    std::vector<GuestAddress> guest_addresses;
    ServiceExtras services;
    bool operator==(const Extras&) const = default;
};

// Of our element; an element of another namespace or name is refused with its line.
Result<Extras> parse_extras(const xml::Node& node);
// Whether what a client set as metadata is right as far as it is ours.
Result<void> check_extras(const std::vector<std::string>& metadata);
// Of a definition's metadata, which parse() has seen to be right; without our element: nothing.
Extras extras_of(const std::vector<std::string>& metadata);

}  // namespace bascule::network
