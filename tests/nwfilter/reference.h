// SPDX-License-Identifier: GPL-2.0-or-later
// What a filter means, a second time: an interpreter written from the peer's behaviour (the order of its ebtables and
// iptables rules, one instance of a rule for each combination of its variables' values), which shares the parsed
// filter and the parser of values with the program and nothing else. It walks the instances of all rules for each
// frame. Slow, and easy to compare with the peer's manual.
//
// It knows nothing of what stands behind VLAN tags: to it, as to the peer, a tagged frame is one of type 0x8100.
//
// Where the two drivers of the peer differ, the newer counts: a drop stands for its own direction only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "nwfilter/port.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter::reference {

enum class Direction { from_guest, to_guest };

// What connection tracking would say.
struct Tracked {
    enum State { invalid, established, related, fresh } state = fresh;
    bool reply = false;
    std::uint32_t connections = 1;
};

// A rule with values in the place of its variables.
struct Instance {
    const Rule* rule = nullptr;
    std::string chain;
    int chain_priority = 0;
    std::vector<Attribute> attributes;  // none of them a variable
};

// How often each attribute was met and missed by a frame, for tests that ask how much they have seen.
struct Seen {
    std::uint64_t met = 0, missed = 0;
};
using Coverage = std::map<std::string, Seen>;  // "tcp srcportstart"

class Interpreter {
public:
    // None when a list has no value, lists that go together differ in length, or a filter is missing.
    static std::optional<Interpreter> of(const Port& port, const Lookup& lookup);

    bool passes(ByteView frame, Direction direction, const Tracked& tracked, Coverage* coverage = nullptr) const;

private:
    std::vector<Instance> instances_;  // depth first, in document order
};

}  // namespace bascule::nwfilter::reference
