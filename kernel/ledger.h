// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "kernel/state.h"

namespace bascule::kernel {

// Who wants what. Things that several owners wish alike (a class's chains, a sysctl, the base chains) are
// held once and stay until the last of them lets go. Owners that contradict each other are refused.
class Ledger {
public:
    // What every wish goes through first: a wish for what this kernel has not, said in what it has.
    using Adapt = std::function<void(State& wish)>;
    void adapt(Adapt adapt) { adapt_ = std::move(adapt); }

    // Replaces the owner's wish. Code::conflict names the thing and the other owner; the ledger is then
    // unchanged. Returns the scope of everything the owner had or has now. A wish brings the definitions of the
    // sets that its elements are in. Costs what the owner has, not what the others have.
    Result<Scope> put(const std::string& owner, State wish);
    // The scope of all that the owner had; empty when it had nothing.
    Scope withdraw(const std::string& owner);

    bool has(const std::string& owner) const { return wishes_.contains(owner); }
    const State* wish(const std::string& owner) const;
    // What everybody together wants of that scope.
    State wanted(const Scope& scope) const;
    const State& wanted() const { return united_; }
    const std::map<std::string, State>& wishes() const { return wishes_; }

private:
    Result<void> check_conflicts(const std::string& owner, const State& wish) const;
    void unite(const State& wish);
    void divide(const State& wish);  // the owner is already out of wishes_

    Adapt adapt_;
    std::map<std::string, State> wishes_;
    State united_;
    // How many owners hold a thing, and how many of them an element that expires. Keys are readable
    // ("link virbr0", "chain bridge class_…").
    struct Holders {
        unsigned all = 0, timed = 0;
    };
    std::map<std::string, Holders> holders_;
};

}  // namespace bascule::kernel
