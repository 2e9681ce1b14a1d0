// SPDX-License-Identifier: GPL-2.0-or-later
// Watching live packets of a port on their way through all tables: rules in front of everybody else's that mark its
// packets for the kernel's tracing (`meta nftrace`), a few a second, and what becomes of each as text.
//
// A packet from the guest is marked where it comes in. One to the guest is marked there, too, when it goes to the
// guest's MAC address, else where it is known which port it leaves by; one that is routed to the guest, or that the
// host itself sends, where its IP address is seen first. The mark stays with it through all families.
#pragma once

#include <string>
#include <vector>

#include "kernel/packet_trace.h"
#include "kernel/ruleset.h"
#include "nwfilter/port.h"

namespace bascule::nwfilter {

// The port's packets are marked as long as these chains are there. `addresses` are the guest's.
kernel::Ruleset tracing(const Port& port, const std::vector<Ip>& addresses);

// One step for people, without the packet's number: where, by which rule, what. `rule` is its text as nft lists it,
// empty where it is not known. Nothing for steps that only serve others: how a drop is counted.
struct Told {
    std::string where, rule, verdict;
    bool operator==(const Told&) const = default;
};
std::optional<Told> told(const kernel::TraceStep& step, std::string_view rule);

}  // namespace bascule::nwfilter
