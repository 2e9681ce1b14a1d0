// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "kernel/state.h"

namespace bascule::kernel {

// Makes the link or brings it to these settings, owner alias included, but never sets it up: that is
// LinkUp, which comes after the rules. A link that exists, is not ours and is wanted as bridge or tap is
// Code::conflict. A foreign link must exist; nothing but its master is touched, and without one it is
// taken out of its bridge or bond. One that goes into a bond is set down for it, as the kernel
// wants it, and comes up with it.
struct PutLink {
    IfName name;
    Link link;
    bool operator==(const PutLink&) const = default;
};
struct LinkUp {
    IfName name;
    bool up = true;
    bool operator==(const LinkUp&) const = default;
};
struct DropLink {  // one that is already gone is fine
    IfName name;
    bool operator==(const DropLink&) const = default;
};
// How much passes a link: in place where it can be, so that what waits there is not lost. Code::conflict where a
// foreign link has a queueing discipline that somebody chose.
struct PutShaping {
    IfName name;
    Shaping shaping;
    Floors floors{};  // those of that link
    bool operator==(const PutShaping&) const = default;
};
struct DropShaping {  // one whose link is gone is fine
    IfName name;
    bool operator==(const DropShaping&) const = default;
};
struct PutAddress {  // one that is already there is fine; so are gone ones below
    Address address;
    bool operator==(const PutAddress&) const = default;
};
struct DropAddress {
    Address address;
    bool operator==(const DropAddress&) const = default;
};
struct PutRoute {  // likewise
    Route route;
    bool operator==(const PutRoute&) const = default;
};
struct DropRoute {
    Route route;
    bool operator==(const DropRoute&) const = default;
};
struct SetSysctl {
    std::string key, value;
    bool operator==(const SetSysctl&) const = default;
};

using Op = std::variant<PutLink, LinkUp, DropLink, PutShaping, DropShaping, PutAddress, DropAddress, PutRoute,
                        DropRoute, SetSysctl, RuleBatch>;
std::string format(const Op& op);  // one line, for errors and `status`

// The whole waist between us and Linux. Two implementations: kernel/linux and tests/support/fake_kernel,
// held to the same conformance suite (tests/kernel/conformance.h).
class Kernel {
public:
    virtual ~Kernel() = default;
    virtual Result<State> observe(const Scope& scope) = 0;
    virtual Result<void> apply(const Op& op) = 0;
};

}  // namespace bascule::kernel
