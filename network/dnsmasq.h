// SPDX-License-Identifier: GPL-2.0-or-later
// <dnsmasq:options>: lines for the peer's own server. Those that say something that our service has, too, are done:
//
//   cname=ALIAS[,ALIAS…],TARGET     txt-record=NAME,TEXT     host-record=NAME[,NAME…],ADDRESS[,ADDRESS]
//   address=/DOMAIN[/DOMAIN…]/ADDRESS                        local=/DOMAIN/ with the network's own
//   srv-host=_SERVICE._PROTOCOL.DOMAIN[,TARGET[,PORT[,PRIORITY[,WEIGHT]]]]
//   server=[/DOMAIN[/DOMAIN…]/]ADDRESS[#PORT]                server=/DOMAIN/#
//   dhcp-match=set:TAG,option:client-arch,N   dhcp-match=set:TAG,175   dhcp-userclass=set:TAG,CLASS
//   dhcp-vendorclass=set:TAG,CLASS            tags for the lines below, which begin with tag:TAG then
//   dhcp-option=CODE[,VALUE…] dhcp-option-force=…   CODE a number or option:NAME; without a value it is not sent
//   dhcp-option=vendor:CLASS,CODE,…   encap:CODE,CODE,…   vi-encap:ENTERPRISE,CODE,…   an option in 43, CODE or 125
//   dhcp-host=MAC,id:ID,ADDRESS,NAME,LEASE TIME     a reservation; in any order
//   dhcp-boot=FILE[,SERVER NAME[,SERVER ADDRESS]]   dhcp-rapid-commit
//
// Lines about how dnsmasq logs and caches, and about what is so here anyway, mean nothing and are taken. All others are
// refused by name, before the definition is kept.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "dhcp/spec.h"

namespace bascule::network {

Result<void> add_dnsmasq(const std::vector<std::string>& lines, dhcp::Spec& service);

}  // namespace bascule::network
