// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of nwfilter/
//
// A filter is a tree of rules with variables; a port gives them values. From the peer's language to the
// kernel it goes in four pure steps:
//
//   flatten   follows references and gives an ordered list of rules with the values of inner parameters;
//   compile   makes of it one policy (kernel/policy.h) a direction: root rules and chains interleaved by
//             priority, attributes as conditions, variables as look-ups in tables that each port fills;
//   fold      joins what provably is one check, and sets apart what holds one port's values;
//   render    writes policy and rows as chains, sets and elements of `table bridge bascule`.
//
// Classes. Two ports whose trees compile to the same policy get the same chains, since chains are named by
// their content; what differs are elements of sets keyed by interface name. Base chains, class's chains and sets are
// one wish in the ledger, which comes with the class's first port and goes with its last; a port's own wish are its
// elements. A rule whose variables cannot be a look-up (masks, ranges, one-octet fields) has the values in place, in a
// chain that only ports with the same values share. What makes a class is known without compiling each of its
// ports (classes.h), so that an edit costs what its classes cost, and for each port reading and writing its values.
//
// Worked example, `clean-traffic` for vnet0 with IP 10.0.0.5: base chain prerouting looks iifname up in map
// nwf_from and jumps to class chain nwf_out_HASH, whose rules ask `iifname . ether saddr @nwf_mac_MAC` and so
// on. The port itself is the elements `vnet0 : jump nwf_out_HASH`, `vnet0 . 52:54:…` and
// `vnet0 . 10.0.0.5`. A second port with clean-traffic is four more elements.
//
// Invariants, each with a test:
//  - verdicts of the class policy with a port's rows equal those of the policy with its values in place;
//  - a rule in force never means more than was written: what cannot be enforced is refused on attach;
//  - without a value for IP no address is allowed until one is learned (learning.h): the rules are there, the set
//  empty;
//  - a VLAN tag never helps: drops look behind one tag, accepts do not, a second tag is dropped where IP
//    or ARP is checked;
//  - every drop has a counter whose comment names filter and rule.
//
// Two layers. Each is a base chain of its own with its own map, since an accept ends its base chain only. The
// Ethernet layer's comes first.
//
// What a kernel cannot do: rules that track connections need nf_conntrack_bridge and are refused without it. Its
// `reject` works where frames come into a bridge (prerouting and input), and frames to the guest go out. So when a
// policy for frames to the guest rejects, all of it stands a second time where frames come in, for those that go to
// the guest's MAC address in its bridge: `meta ibrname . ether daddr` is then the port, in maps and in sets, and what
// is dropped or rejected is so before it is forwarded. Frames of the host itself, and what it routes, come in nowhere:
// they meet the rules where they go out. There a reject drops and marks the packet's connection, whose next packet is
// rejected in the host's IP layer before it gets that far (nwfilter/render).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/result.h"
#include "kernel/ruleset.h"
#include "nwfilter/learning.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter {

struct Port {
    IfName ifname;
    MacAddr mac;
    std::string filter;
    Parameters parameters;  // MAC is filled in from `mac` unless given
    // Where nobody else has the port's MAC address. None: who sends to the port is not told of rejects.
    std::optional<IfName> bridge{};
};

// The filter of that name, or null.
using Lookup = std::function<const Filter*(const std::string& name)>;

// A set that holds the port's addresses.
struct LearnedSet {
    std::string set;
    std::string key;  // of one element, with "$IP" where the address goes, or "$HEX" where it goes as a number
    IpFamily family = IpFamily::v4;
    bool operator==(const LearnedSet&) const = default;
};

// The addresses and nets of a named set, which rules ask for by `ipset`.
using NamedSet = std::set<Prefix>;
// What filters can rely on: what the host's bridges can do beyond looking at single frames, and its named sets.
struct Abilities {
    bool tracking = false;                                       // between bridge ports (nf_conntrack_bridge)
    bool reject = false;                                         // nft_reject_bridge; without it a reject is a drop
    bool bridge_name = false;                                    // nft_meta_bridge: which bridge a frame comes into
    bool reject_routed = false;                                  // marked connections, in the host's IP layer
    bool timeouts = false;                                       // connections can have their own
    std::set<std::string> helpers{};                             // of helpers(), those that the kernel has
    std::function<Result<NamedSet>(const std::string&)> sets{};  // none: there are no sets
};

struct Attachment {
    kernel::Ruleset rules;                       // base chains, class chains, sets, and this port's elements
    std::map<std::string, std::string> sysctls;  // what else of the kernel it relies on
    bool learns_ip = false;
    std::set<std::string> filters;     // all names in its tree: which ports does an edited filter reach
    std::set<std::string> sets;        // the named sets that it asks
    std::vector<LearnedSet> learned;   // where a learned address goes
    std::optional<Learning> learning;  // how it is learned; none: the port needs none
};

// What it takes to have the port filtered (of many at once: nwfilter/classes.h). Codes: no_nwfilter (a name in the tree
// is not defined), invalid_argument (a missing or malformed parameter), unsupported_config (also: needs what the host
// cannot do).
Result<Attachment> attach(const Port& port, const Lookup& lookup, const Abilities& abilities = {});

// The elements that allow one learned address (Attachment::learned): merge them into the port's wish. Empty when the
// filter does not depend on addresses of that family or they were given.
kernel::Ruleset learned(const std::vector<LearnedSet>& sets, const Ip& address,
                        std::optional<std::chrono::steady_clock::time_point> expires);
inline kernel::Ruleset learned(const Attachment& attachment, const Ip& address,
                               std::optional<std::chrono::steady_clock::time_point> expires) {
    return learned(attachment.learned, address, expires);
}

// All names in the filter's tree, its own included. Names that are not defined are left out; a loop is
// Code::invalid_argument with its path. For define: a new filter must not close a loop.
Result<std::set<std::string>> reach(const Filter& filter, const Lookup& lookup);

// The rule that a counter stands for, from the comment that `nft list` shows with it.
struct RuleOrigin {
    std::string filter;
    unsigned rule = 0;  // from 1, in the filter's own order; 0: none of a filter
    bool operator==(const RuleOrigin&) const = default;
};
std::optional<RuleOrigin> origin_of(std::string_view comment);

}  // namespace bascule::nwfilter
