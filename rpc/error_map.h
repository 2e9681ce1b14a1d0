// SPDX-License-Identifier: GPL-2.0-or-later
// Our errors and the protocol's, both ways, in one table (error_map.cpp).
//
// On the wire an error is {code, domain, message, level 2, …}. Clients print only `message` and branch on `code`.
// The peer's library puts a phrase of the code's in front ("Requested operation is not valid: network is already
// active"), so to_wire does, unless the message has it already. str1 is the format, str2 the detail, as the peer
// fills them; str3, which the peer leaves empty, carries our own Code's name, for `bascule` to branch on exactly.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "rpc/proto_types.h"

namespace bascule::rpc {

// `domain`: who speaks (error_domain of rpc/constants.h), e.g. 19 for networks. XML that is not even well-formed or
// has the wrong shape keeps it, too, as the peer does.
proto::Error to_wire(const Error& error, std::int32_t domain);

// What the protocol itself has to say: code 39, domain 7, the text as it is.
proto::Error rpc_error(std::string message);

// Code::internal for numbers that none of ours stands for; the message stays.
Error from_wire(const proto::Error& wire);

}  // namespace bascule::rpc
