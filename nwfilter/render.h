// SPDX-License-Identifier: GPL-2.0-or-later
// Policies as nftables: chains of `table bridge bascule`, and the port's elements.
//
//   chain nwf_prerouting_H   { hook; iifname vmap @nwf_from }
//   chain nwf_prerouting_ip_H  the same for the IP layer, with map nwf_from_ip
//   chain nwf_out_H          the class's root section
//   chain nwf_out_arp-mac_H  its other sections
//   chain nwf_output_H       marks what rejecting makes, for the postrouting chains to accept
//   chain nwf_ahead_H        { hook; meta ibrname . ether daddr vmap @nwf_ahead }: see port.h on rejecting
//   set   nwf_ahead_…        what nwf_… has, by bridge and MAC instead of the port's name
//   map   nwf_own_out/rarp   ports whose section of that name has values in place
//
// The evaluator of kernel/policy and these rules agree on every frame; what nft would guess (`ip saddr`
// implies a type) is written out, since its guess sees behind VLAN tags.
#pragma once

#include "kernel/ruleset.h"
#include "nwfilter/compile.h"
#include "nwfilter/port.h"

namespace bascule::nwfilter {

kernel::Ruleset render(const Compiled& compiled, const Port& port, const Abilities& abilities);
// 16 octets as nft writes a number: without zeros in front.
std::string number_text(const kernel::policy::Value& value);

std::vector<LearnedSet> learned_sets(const Compiled& compiled, const Port& port, const Abilities& abilities);

}  // namespace bascule::nwfilter
