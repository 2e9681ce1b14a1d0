// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/defaults.h"

#include <fmt/format.h>

#include "network/extras.h"
#include "network/subnets.h"

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

// Which families the definition lacks and should have.
std::vector<IpFamily> wanting(const Spec& spec) {
    std::vector<IpFamily> out;
    if (!spec.has_own_bridge()) {
        return out;
    }
    const Extras extras = extras_of(spec.metadata);
    const bool unreachable = (spec.mode == Mode::nat || spec.mode == Mode::route) && spec.addresses.empty();
    if (!spec.has_family(IpFamily::v4) && (extras.subnet_v4 || (unreachable && !extras.subnet_v6))) {
        out.push_back(IpFamily::v4);
    }
    if (!spec.has_family(IpFamily::v6) && extras.subnet_v6) {
        out.push_back(IpFamily::v6);
    }
    return out;
}

IpAddress first_address(const Prefix& subnet) {
    IpAddress out{.address = {subnet.network.plus(1), subnet.length}};
    if (subnet.network.is_v4()) {
        out.length_written = PrefixWritten::netmask;
        const Ip last = Ip::v4(subnet.last().v4_value() - 1);
        out.ranges.push_back({.addresses = {subnet.network.plus(2), last}, .lease = std::nullopt});
    } else {
        out.length_written = PrefixWritten::prefix;
        out.family_written = true;
    }
    return out;
}

}  // namespace

bool needs_subnet(const Spec& spec) { return !wanting(spec).empty(); }

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
    for (const IpFamily family : wanting(spec)) {
        const auto subnet = free_subnet(family, taken.subnets);
        if (!subnet) {
            return fail(Code::conflict, fmt::format("network '{}': no private subnet is free on this host; give it an "
                                                    "<ip> element",
                                                    spec.name.str()));
        }
        spec.addresses.push_back(first_address(*subnet));
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
