// SPDX-License-Identifier: GPL-2.0-or-later
// Between server.cpp and server_messages.cpp; nobody else includes this.
#pragma once

#include <string>

#include "dhcp/server.h"

namespace bascule::dhcp {

// A request with what is known of who sent it.
struct Server::Client {
    const Message& request;
    std::string hostname;                      // asked for, clean; may be empty
    const Reservation* reservation = nullptr;  // may be null
    const Binding* binding = nullptr;          // may be null; only valid until the table changes
    const Subnet* link = nullptr;              // behind a relay: the subnet that it is in; null: on the bridge
    Ip server_id;                              // what we are called towards it

    const MacAddr& port() const { return request.chaddr; }
    bool relayed() const { return !request.giaddr.is_unspecified(); }
};

}  // namespace bascule::dhcp
