// SPDX-License-Identifier: GPL-2.0-or-later
// <dnsmasq:options>: lines for the peer's own server. Those that say something that our service has, too, are done:
//
//   cname=ALIAS[,ALIAS…],TARGET     txt-record=NAME,TEXT
//   dhcp-option=CODE,VALUE[,VALUE…] dhcp-option-force=…   CODE a number or option:NAME, values IPv4 addresses or one
//   text
//
// All others are refused by name, before the definition is kept.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "dhcp/spec.h"

namespace bascule::network {

Result<void> add_dnsmasq(const std::vector<std::string>& lines, dhcp::Spec& service);

}  // namespace bascule::network
