// SPDX-License-Identifier: GPL-2.0-or-later
// Which rule of which filter decides about a packet, and what a filter comes to for a port: for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/policy.h"
#include "nwfilter/port.h"

namespace bascule::nwfilter {

// A packet in words: "out tcp src=10.0.0.5 dst=10.0.0.1 dport=22". First its direction ("out" is from the guest), then
// what it is (tcp, icmpv6, arp, …) and fields: src, dst, srcmac, dstmac, sport, dport, type, code, operation, vlan,
// state (new, established, related, invalid), reply, connections, or any field's own name ("ip4.dscp=46"); or
// "out frame=OCTETS", in hexadecimal. MAC addresses that are not given are the port's own and one that nobody has.
struct Question {
    bool out = true;
    kernel::policy::Packet packet;
};
Result<Question> parse_question(std::string_view words, const MacAddr& own);

// The verdict, and every rule that had a part in it. `learned` are the addresses that the port has learned.
Result<std::string> explain(const Port& port, const Lookup& lookup, const std::vector<Ip>& learned,
                            std::string_view packet);

// Both directions of the port's policy, in lines.
Result<std::string> describe(const Port& port, const Lookup& lookup);

// Lines that are only in one of the two, with "-" and "+" before them, and the headings they stand under. Empty: none.
std::string difference(std::string_view before, std::string_view after);

}  // namespace bascule::nwfilter
