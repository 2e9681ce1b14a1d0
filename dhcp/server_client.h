// SPDX-License-Identifier: GPL-2.0-or-later
// Between server.cpp and server_messages.cpp; nobody else includes this.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dhcp/server.h"

namespace bascule::dhcp {

// A request with what is known of who sent it.
struct Server::Client {
    const Message& request;
    ClientKey key;                             // whose its leases are
    std::string hostname;                      // asked for, clean; may be empty
    const Reservation* reservation = nullptr;  // may be null
    const Binding* binding = nullptr;          // may be null; only valid until the table changes
    const Subnet* link = nullptr;              // behind a relay: the subnet that it is in; null: on the bridge
    Ip server_id;                              // what we are called towards it

    const MacAddr& port() const { return request.chaddr; }
    bool relayed() const { return !request.giaddr.is_unspecified(); }
};

// A suboption of the relay agent's option (RFC 3046); empty when it is not there, or the option is nonsense.
inline constexpr std::uint8_t kCircuitId = 1, kRemoteId = 2;
ByteView relay_value(const Options& options, std::uint8_t wanted);

// Whether that is the line that the relay names; what is empty may be anything.
inline bool is_from_line(const Message& request, const std::vector<std::uint8_t>& circuit_id,
                         const std::vector<std::uint8_t>& remote_id) {
    const auto said = [&](std::uint8_t code, const std::vector<std::uint8_t>& wanted) {
        return wanted.empty() ||
               std::ranges::equal(relay_value(request.options, code), std::as_bytes(std::span(wanted)));
    };
    return said(kCircuitId, circuit_id) && said(kRemoteId, remote_id);
}

}  // namespace bascule::dhcp
