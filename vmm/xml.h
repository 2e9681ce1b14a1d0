// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "vmm/spec.h"

namespace bascule::vmm {

// A <domain> document as written. What a running guest's description has on top (id, tty, aliases that are
// not the user's own, generated target names, portid) is passed over, so that it can be defined again.
// Errors name line, element and what to do instead.
Result<Spec> parse(std::string_view text);

// In libvirt's element order. With an id: the running guest, with the live members of the spec.
//   format(spec)              inactive: what is stored, `dumpxml --inactive`
//   format(guest.spec(), 3)   running as id 3: `dumpxml`
// Without `secrets`, passwords are left out.
std::string format(const Spec& spec, std::optional<int> id = std::nullopt, bool secrets = false);

}  // namespace bascule::vmm
