// SPDX-License-Identifier: GPL-2.0-or-later
// Which permission on which object a procedure needs: the peer's published access control rules, as data. Objects and
// permissions are named as in polkit's actions, org.libvirt.api.OBJECT.PERMISSION.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rpc/procedure.h"

namespace bascule::daemon {

enum class ObjectClass {
    connect,
    domain,
    interface,
    network,
    network_port,
    node_device,
    nwfilter,
    nwfilter_binding,
    secret,
    storage_pool,
    storage_vol,
};
std::string_view name_of(ObjectClass object);  // "storage-vol"

struct AccessRule {
    ObjectClass object = ObjectClass::connect;
    std::string_view permission;
    // Only asked when the call's flags have one of these bits.
    std::uint32_t if_any = 0;
    // Only asked when the change is kept, that is unless the flags say "live" and nothing else: left to the object's
    // state (0), it may be.
    bool if_kept = false;

    bool applies(std::uint32_t flags) const {
        constexpr std::uint32_t kLive = 1, kConfig = 2;
        return (if_any == 0 || (flags & if_any) != 0) && (!if_kept || (flags & kLive) == 0 || (flags & kConfig) != 0);
    }
};

// All of them must be granted; none: everybody may who got in. Null for a procedure that the table does not have.
const std::vector<AccessRule>* access_rules(const rpc::ProcedureInfo& procedure);

}  // namespace bascule::daemon
