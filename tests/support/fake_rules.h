// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>

#include "base/names.h"
#include "base/result.h"
#include "kernel/ruleset.h"

namespace bascule::test {

// What our tables hold after the batch; an error, and nothing changed, where nf_tables would refuse it: a
// chain or set that is referred to and not there, or removed while still referred to, a set with another
// definition, an element with another value, removal of what is absent, a netdev chain without its device.
Result<kernel::Ruleset> transact(kernel::Ruleset rules, const kernel::RuleBatch& batch,
                                 const std::function<bool(const std::string&)>& has_device);

// The netdev chains of a vanished device vanish.
void forget_device(kernel::Ruleset& rules, const IfName& device);

}  // namespace bascule::test
