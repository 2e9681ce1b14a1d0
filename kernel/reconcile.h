// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/ledger.h"

namespace bascule::kernel {

// Observes the scope, plans, applies. Stops at the first op that fails; the next pass starts from a fresh
// observation, so a half-done plan needs no bookkeeping. Returns the number of ops applied.
Result<std::size_t> reconcile(Kernel& kernel, const Ledger& ledger, const Scope& scope);

// Puts the owner's wish and makes it so. On failure the owner's former wish is restored (withdrawn when it
// had none), the kernel is brought back to it, and the first error is returned.
Result<void> commit(Kernel& kernel, Ledger& ledger, const std::string& owner, State wish);
// The same for several owners at once: one observation, one plan and so one transaction of rules, all or none. Looked
// at is what differs between former wishes and new ones, and that scope besides.
Result<void> commit_all(Kernel& kernel, Ledger& ledger, Ledger::Changes changes, Scope also = {});
// Takes the owner's wish back. The ledger forgets it even when the kernel refuses something.
Result<void> withdraw(Kernel& kernel, Ledger& ledger, const std::string& owner);
Result<void> withdraw(Kernel& kernel, Ledger& ledger, const std::vector<std::string>& owners);

}  // namespace bascule::kernel
