// SPDX-License-Identifier: GPL-2.0-or-later
// From an ordered list of rules to the policy of each direction.
//
// Order, as the peer has it: the root chain's rules by priority, equal ones in document order; a chain
// stands before the first root rule whose priority is not below its own; chains of one priority by name.
// Inside a chain rules go by priority too, where one below the chain's own counts as the chain's.
//
// The IP layer (tcp, udp-ipv6, all …) is a second layer, whatever chain a rule's filter names: rules by priority. An
// accept of the Ethernet layer does not end it. An accept that tracks connections lets the connection's first packets
// go its own way and the answers the other; where states are written out, or with statematch off, what is written
// holds. Drops and rejects hold for their own direction.
//
// Ethernet types. An accept is for frames as they stand on the wire; a drop, and a chain of IP or ARP, also
// sees behind one VLAN tag. So a tag can only ever add a reason to drop.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kernel/policy.h"
#include "nwfilter/flatten.h"
#include "nwfilter/port.h"

namespace bascule::nwfilter {

// What a table's rows hold; nwfilter/render makes an nft set of it. Follows from the table's name alone, so
// that all ports mean the same by it.
struct TableDef {
    std::vector<kernel::policy::Field> fields;  // of one of its uses: only their types count
    bool timed = false;                         // has a column of IP or IPV6: elements may expire
    bool rarp = false;                          // has MAC addresses of RARP, which are bytes without a type
    bool operator==(const TableDef&) const = default;
};

// Where a column of a port's rows comes from: the values of a parameter, or one of them, read as that attribute's type.
struct Column {
    std::uint8_t row = 0;  // of the table in protocols.h
    kernel::policy::Field field{};
    std::string name;
    std::optional<unsigned> element;
    auto operator<=>(const Column&) const = default;
};

// A row that is still without the learned address, which goes where there is no value.
using AwaitingRow = std::vector<std::optional<kernel::policy::Value>>;

struct Directed {
    kernel::policy::Policy policy;
    // Sections that hold this port's own values, since a look-up cannot.
    std::set<std::size_t> own;
};

struct Compiled {
    Directed out, in;  // frames from the guest, frames to it
    std::map<std::string, TableDef> tables;
    kernel::policy::Tables rows;  // this port's
    std::map<std::string, std::set<AwaitingRow>> awaiting;
    // How another port that gets this same policy has its rows: each list of columns gives a row for each value.
    std::map<std::string, std::set<std::vector<Column>>> columns;
    std::set<std::string> in_place;  // the parameters whose values stand in the policy
    // The tables of MAC and IPv4 addresses that make up the one that fold() asks first.
    std::optional<std::pair<std::string, std::string>> own_address;
    bool learns_ip = false;
    std::map<std::string, std::string> sets;   // the named sets that it asks, with a rule that does
    std::string tracked_by;                    // a rule that asks connection tracking; empty: none does
    bool related = false;                      // a rule lets pass what belongs to another connection
    bool limits = false, limits_icmp = false;  // a rule counts connections, also those of ICMP
};

enum class Values {
    tables,    // variables are look-ups wherever they can be
    in_place,  // every value stands in the policy: what the first form is judged by
};

Result<Compiled> compile(const Flat& flat, const Port& port, Values values);

}  // namespace bascule::nwfilter
