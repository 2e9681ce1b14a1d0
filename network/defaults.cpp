// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/defaults.h"

#include <fmt/format.h>

namespace bascule::network {

namespace {

constexpr unsigned kMostBridges = 257;  // virbr0 … virbr256, as the peer numbers them

Result<IfName> free_bridge_name(const Spec& spec, const Taken& taken) {
    const std::string pattern = spec.bridge ? spec.bridge->str() : "virbr%d";
    const std::size_t number_at = pattern.find("%d");
    for (unsigned n = 0; n < kMostBridges; ++n) {
        std::string text = pattern;
        text.replace(number_at, 2, std::to_string(n));
        const auto name = IfName::parse(text);
        if (!name) {
            break;  // no longer a device name: too long
        }
        if (!taken.links.contains(*name)) {
            return *name;
        }
    }
    return fail(Code::conflict, fmt::format("network '{}': no free bridge name of the form '{}' is left; write <bridge "
                                            "name='…'/> with one that is not in use",
                                            spec.name.str(), pattern));
}

// Routes that mean "everything else". VPNs halve the default route so as not to touch the one that is
// there; IPv6 has 2000::/3 as another spelling. They overlap all subnets and clash with none.
bool is_default_like(const Prefix& route) { return route.length <= (route.network.is_v4() ? 1U : 3U); }

Result<void> check_identity(const Spec& spec, const Spec& other) {
    if (other.uuid == spec.uuid && other.name != spec.name) {
        return fail(Code::exists,
                    fmt::format("network '{}' is already defined with uuid {}", other.name.str(), format(other.uuid)));
    }
    if (other.name == spec.name && other.uuid != spec.uuid) {
        return fail(Code::exists,
                    fmt::format("network '{}' already exists with uuid {}", other.name.str(), format(other.uuid)));
    }
    return {};
}

Result<void> check_other(const Spec& spec, const Spec& other) {
    // Several networks may give out ports of one bridge that is not ours.
    const bool shared = !spec.has_own_bridge() && !other.has_own_bridge();
    if (spec.bridge && spec.bridge == other.bridge && !shared) {
        return fail(
            Code::conflict,
            fmt::format("network '{}': the bridge name '{}' is already used by network '{}'; choose another one "
                        "or leave <bridge name=> out",
                        spec.name.str(), spec.bridge->str(), other.name.str()));
    }
    for (const IpAddress& mine : spec.addresses) {
        for (const IpAddress& theirs : other.addresses) {
            if (mine.address.prefix().overlaps(theirs.address.prefix())) {
                return fail(
                    Code::conflict,
                    fmt::format("network '{}': its subnet {} overlaps {} of network '{}'; choose another subnet",
                                spec.name.str(), format(mine.address.prefix()), format(theirs.address.prefix()),
                                other.name.str()));
            }
        }
    }
    return {};
}

}  // namespace

Result<void> complete(Spec& spec, const Taken& taken) {
    const bool own = spec.has_own_bridge();
    if (own && (!spec.bridge || spec.bridge->str().contains("%d"))) {
        TRY(spec.bridge, free_bridge_name(spec, taken));
    }
    if (spec.uuid.is_nil()) {
        spec.uuid = Uuid::random();
    }
    if (own && !spec.mac) {
        spec.mac = random_mac();
    }
    return {};
}

Result<void> check_clashes(const Spec& spec, std::span<const Spec* const> others, std::span<const HostRoute> routes) {
    for (const Spec* const other : others) {
        TRY_OK(check_identity(spec, *other));
    }
    for (const Spec* const other : others) {
        if (other->uuid != spec.uuid) {
            TRY_OK(check_other(spec, *other));
        }
    }
    for (const HostRoute& route : routes) {
        if (is_default_like(route.destination) || (spec.bridge && route.device == spec.bridge->str())) {
            continue;
        }
        for (const IpAddress& mine : spec.addresses) {
            if (mine.address.prefix().overlaps(route.destination)) {
                return fail(Code::conflict,
                            fmt::format("network '{}': its subnet {} overlaps the host's route to {} by {}; choose "
                                        "another subnet",
                                        spec.name.str(), format(mine.address.prefix()), format(route.destination),
                                        route.device.empty() ? "an unnamed device" : route.device));
            }
        }
    }
    return {};
}

// A literal and not a file that is read at run time, so that it cannot be missing.
std::string_view default_definition() {
    return R"(<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
)";
}

}  // namespace bascule::network
