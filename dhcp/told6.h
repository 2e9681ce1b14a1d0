// SPDX-License-Identifier: GPL-2.0-or-later
// What a DHCPv6 client is told beyond its addresses.
#pragma once

#include <string>

#include "dhcp/message6.h"
#include "dhcp/options.h"
#include "dhcp/spec.h"
#include "dhcp/told.h"

namespace bascule::dhcp {

// The host name that a client says in option 39 (RFC 4704), as a label; empty for names that mean trouble.
std::string wanted_hostname6(const Message6& message);
ClientFacts facts_of(const Message6& message);
// `us`: our address in the client's subnet.
void tell6(const Spec& spec, const Ip& us, const Message6& request, Message6& reply);

}  // namespace bascule::dhcp
