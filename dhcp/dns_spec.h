// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/net.h"

namespace bascule::dhcp {

// The part of a network's Spec that is about names.

// Names as text: any case, a closing dot is fine (is_record_name() of dns_message.h).
struct DnsText {
    std::string name, value;
    bool operator==(const DnsText&) const = default;
};

// RFC 2782: _service._protocol.domain. Without a target the service is decidedly not available.
struct DnsService {
    std::string service, protocol;
    std::string domain{};  // empty: the network's
    std::string target{};
    std::uint16_t port = 1, priority = 0, weight = 0;
    bool operator==(const DnsService&) const = default;
};

struct DnsAlias {
    std::string name, target;
    bool operator==(const DnsAlias&) const = default;
};

// Where names that are not ours are asked for. Without a domain: all of them, instead of the host's own resolvers.
// Without an address: the domain goes to the host's resolvers whatever the others say.
struct DnsForwarder {
    std::string domain{};
    std::optional<Ip> address{};
    std::uint16_t port = 53;
    bool operator==(const DnsForwarder&) const = default;
};

// A NIC of a guest, whether it runs or not: whatever address that MAC has, this is its name.
struct DnsGuest {
    MacAddr mac;
    std::string name;
    bool off = false;  // the guest does not run
    bool operator==(const DnsGuest&) const = default;
};

struct DnsSettings {
    std::vector<DnsText> texts{};
    std::vector<DnsService> services{};
    std::vector<DnsAlias> aliases{};
    std::vector<DnsForwarder> forwarders{};
    std::vector<DnsGuest> guests{};
    // Names of one label. none: addresses are not asked for elsewhere, other types are. true: all are, false: none.
    std::optional<bool> forward_plain_names{};
    // Whether names of the outside may have addresses that only we or the host's own network can reach (DNS rebinding).
    bool private_answers = false;
    bool operator==(const DnsSettings&) const = default;
};

}  // namespace bascule::dhcp
