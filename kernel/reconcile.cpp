// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/reconcile.h"

#include <map>
#include <optional>

#include "kernel/plan.h"

namespace bascule::kernel {

Result<std::size_t> reconcile(Kernel& kernel, const Ledger& ledger, const Scope& scope) {
    TRY(const State actual, kernel.observe(scope));
    std::size_t applied = 0;
    for (const Op& op : plan(actual, ledger.wanted(scope))) {
        if (auto done = kernel.apply(op); !done) {
            return std::unexpected(std::move(done).error().in(format(op)));
        }
        ++applied;
    }
    return applied;
}

Result<void> commit(Kernel& kernel, Ledger& ledger, const std::string& owner, State wish) {
    std::vector<std::pair<std::string, State>> wishes;
    wishes.emplace_back(owner, std::move(wish));
    return commit_all(kernel, ledger, std::move(wishes));
}

Result<void> commit_all(Kernel& kernel, Ledger& ledger, std::vector<std::pair<std::string, State>> wishes) {
    // All former wishes go before the first new one comes: what several of the owners share may change for all of
    // them at once, and must not look like a contradiction half-way.
    std::map<std::string, std::optional<State>> former;
    Scope scope;
    for (const auto& [owner, wish] : wishes) {
        const State* const known = ledger.wish(owner);
        former.try_emplace(owner, known == nullptr ? std::nullopt : std::optional(*known));
        scope.add(ledger.withdraw(owner));
    }
    const auto restore = [&] {
        for (const auto& [owner, before] : former) {
            ledger.withdraw(owner);
        }
        for (auto& [owner, before] : former) {
            if (before) {
                // These did not contradict each other, nor the others' wishes, which are as they were.
                [[maybe_unused]] const auto put = ledger.put(owner, *std::move(before));
            }
        }
    };
    for (auto& [owner, wish] : wishes) {
        const auto touched = ledger.put(owner, std::move(wish));
        if (!touched) {
            restore();
            return std::unexpected(touched.error());
        }
        scope.add(*touched);
    }
    const auto done = reconcile(kernel, ledger, scope);
    if (done) {
        return {};
    }
    restore();
    Error first = done.error();
    if (const auto back = reconcile(kernel, ledger, scope); !back) {
        first.message += "; going back failed as well: " + back.error().message;
    }
    return std::unexpected(std::move(first));
}

Result<void> withdraw(Kernel& kernel, Ledger& ledger, const std::string& owner) {
    const Scope scope = ledger.withdraw(owner);
    TRY([[maybe_unused]] const std::size_t applied, reconcile(kernel, ledger, scope));
    return {};
}

}  // namespace bascule::kernel
