// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
    // unchanged. Returns the scope of everything the owner had or has now. The sets that its elements are in are
    // defined in the wish or in another one. Costs what the owner has, not what the others have.
    Result<Scope> put(const std::string& owner, State wish);
    // Wishes by owner, each of them once; none: the owner wants nothing any more.
    using Changes = std::vector<std::pair<std::string, std::optional<State>>>;
    // The same for all of these owners at once, which get their former wishes in return: doing it again goes back.
    // Returns the scope of what differs, and costs what differs besides a comparison. Refused, nothing has changed.
    Result<Scope> exchange(Changes& changes);
    // The scope of all that the owner had; empty when it had nothing.
    Scope withdraw(const std::string& owner);

    bool has(const std::string& owner) const { return wishes_.contains(owner); }
    const State* wish(const std::string& owner) const;
    // What everybody together wants of that scope.
    State wanted(const Scope& scope) const;
    const State& wanted() const { return united_; }
    const std::map<std::string, State>& wishes() const { return wishes_; }

private:
    struct Step {
        std::string_view owner;
        const State *former, *next;
    };
    void swap(Changes& changes);
    std::vector<Step> steps_of(const Changes& changes) const;
    // What the wish has and the other one has not comes, or goes, and is noted. `placed` counts what came until
    // something stood against it, `most` what may go.
    Result<void> unite(std::string_view owner, const State& wish, const State& than, std::size_t& placed, State& come);
    void divide(const State& wish, const State& than, std::size_t& most, State& gone);
    Result<void> check_sets(const State& wish) const;
    void prune(const State& wish);

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
