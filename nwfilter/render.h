// SPDX-License-Identifier: GPL-2.0-or-later
// Policies as nftables: chains of `table bridge bascule`, and the port's elements.
//
//   chain nwf_prerouting_H   { hook; iifname . ether saddr . ip saddr @nwf_own_address accept; iifname vmap @nwf_from }
//   chain nwf_prerouting_ip_H  the same for the IP layer, with map nwf_from_ip
//   chain nwf_out_H          the class's root section
//   chain nwf_out_arp-mac_H  its other sections
//   chain nwf_output_H       marks what rejecting makes, for the chains of frames to the guest to accept
//   chain nwf_ahead_H        { hook; meta ibrname . ether daddr vmap @nwf_ahead }: see port.h on rejecting
//   chain nwf_related_H      { hook; iifname @nwf_related ct state new jump nwf_helpers_H }: connections of ports with
//                            a rule for RELATED are given the kernel's helpers, by which it knows what is related
//   chain nwf_limited_H      the same for ports that count connections: those that ended uncleanly are forgotten sooner
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

// Protocols that say in one connection where the next will be, as "ftp tcp": what they are asked of the host by.
std::set<std::string> helpers();

kernel::Ruleset render(const Compiled& compiled, const Port& port, const Abilities& abilities);
// 16 octets as nft writes a number: without zeros in front.
std::string number_text(const kernel::policy::Value& value);

// A table's rows are in the set of that name and, where the port rejects ahead, in another one. What they begin with is
// element_of().
struct RowSet {
    std::string table, set;
    bool ahead = false;
};
std::vector<RowSet> row_sets(const Compiled& compiled, const Port& port, const Abilities& abilities);
// The port as maps and sets have it: its name or, ahead, its bridge and MAC.
std::string element_of(const Port& port, bool ahead);
void add_rows(const TableDef& def, const std::set<kernel::policy::Row>& rows, const std::string& begin,
              std::map<std::string, kernel::Element>& to);
std::vector<LearnedSet> learned_sets(const std::vector<RowSet>& sets, const std::map<std::string, TableDef>& tables,
                                     const std::map<std::string, std::set<AwaitingRow>>& awaiting, const Port& port);

}  // namespace bascule::nwfilter
