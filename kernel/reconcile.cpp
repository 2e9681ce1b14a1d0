// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/reconcile.h"

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
    std::vector<std::pair<std::string, std::optional<State>>> former;
    Scope scope;
    const auto put_all = [&]() -> Result<void> {
        for (auto& [owner, wish] : wishes) {
            const State* const known = ledger.wish(owner);
            std::optional<State> before = known == nullptr ? std::nullopt : std::optional(*known);
            TRY(const Scope touched, ledger.put(owner, std::move(wish)));
            former.emplace_back(owner, std::move(before));
            scope.add(touched);
        }
        return {};
    };
    auto done = put_all();
    if (done) {
        if (auto reconciled = reconcile(kernel, ledger, scope); !reconciled) {
            done = std::unexpected(std::move(reconciled).error());
        }
    }
    if (done) {
        return {};
    }
    Error first = std::move(done).error();
    for (auto& [owner, before] : former) {
        if (!before) {
            ledger.withdraw(owner);
        } else if (auto restored = ledger.put(owner, *std::move(before)); !restored) {
            first.message += "; " + restored.error().message;
        }
    }
    if (auto back = reconcile(kernel, ledger, scope); !back) {
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
