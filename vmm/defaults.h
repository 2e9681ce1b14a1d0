// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// Where fresh identities come from; tests give their own.
struct Fresh {
    std::function<Uuid()> uuid = Uuid::random;
    std::function<MacAddr()> mac = random_mac;
};

// Fills in what the user left out: uuid, MACs, controllers that devices need, places on them, PCI addresses. What is
// there stays. Fails when two devices want one place, or there is none left, or two NICs of one network one MAC.
//   TRY(auto spec, vmm::parse(text));
//   if (spec.uuid.is_nil() && known) { spec.uuid = known->uuid; }   // redefinition by name
//   TRY_OK(vmm::complete(spec));
Result<void> complete(Spec& spec, const Fresh& fresh = {});

}  // namespace bascule::vmm
