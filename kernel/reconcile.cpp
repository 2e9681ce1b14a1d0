// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/reconcile.h"

#include <optional>
#include <utility>

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
    Scope scope = Scope::of(wish);
    if (const State* const former = ledger.wish(owner); former != nullptr) {
        scope.add(*former);
    }
    Ledger::Changes changes;
    changes.emplace_back(owner, std::move(wish));
    return commit_all(kernel, ledger, std::move(changes), std::move(scope));
}

Result<void> commit_all(Kernel& kernel, Ledger& ledger, Ledger::Changes changes, Scope also) {
    TRY(Scope scope, ledger.exchange(changes));
    scope.add(also);
    const auto done = reconcile(kernel, ledger, scope);
    if (done) {
        return {};
    }
    // What was before did not contradict itself.
    [[maybe_unused]] const auto back = ledger.exchange(changes);
    Error first = done.error();
    if (const auto restored = reconcile(kernel, ledger, scope); !restored) {
        first.message += "; going back failed as well: " + restored.error().message;
    }
    return std::unexpected(std::move(first));
}

Result<void> withdraw(Kernel& kernel, Ledger& ledger, const std::vector<std::string>& owners) {
    Ledger::Changes changes;
    for (const std::string& owner : owners) {
        changes.emplace_back(owner, std::nullopt);
    }
    TRY(const Scope scope, ledger.exchange(changes));
    TRY([[maybe_unused]] const std::size_t applied, reconcile(kernel, ledger, scope));
    return {};
}

Result<void> withdraw(Kernel& kernel, Ledger& ledger, const std::string& owner) {
    return withdraw(kernel, ledger, std::vector{owner});
}

}  // namespace bascule::kernel
