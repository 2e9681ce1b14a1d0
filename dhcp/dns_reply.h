// SPDX-License-Identifier: GPL-2.0-or-later
// What an upstream name server sends back: hostile until it has been read whole. A reply is not taken apart and put
// together again, so that DNSSEC data pass bit by bit: it is checked, cut behind its last section of use, and kept as
// one piece, which answers the one question it was sent for and no other (RFC 5452 section 6, RFC 2181 section 5.4.1).
//
//   decode_reply    bytes -> Reply: every name followed, with a bound on all work
//   tidy            what is out of bailiwick goes; none when the answer itself is
//   render          Reply -> bytes for one client: its id, its spelling, its size, TTLs less by their age; where an
//   alias
//                   of our own led there, behind that, record by record
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "dhcp/dns_message.h"

namespace bascule::dhcp {

struct ReplyRecord {
    DnsName owner;
    std::uint16_t type = 0, klass = 0;
    std::uint32_t ttl = 0;
    std::size_t ttl_at = 0, data_at = 0, data_size = 0, end = 0;  // offsets in the message
};

struct Reply {
    Bytes message;  // header and question, answers, authorities; no additional records
    std::uint16_t flags = 0;
    Rcode rcode = Rcode::no_error;
    bool truncated = false, authentic = false;
    bool bad_version = false;  // an extended code that is the server's own trouble
    std::size_t question_size = 0;
    std::vector<ReplyRecord> answers, authorities;

    // The smallest TTL; of negative answers by RFC 2308, where none means that it is not to be kept.
    std::optional<std::uint32_t> keep_for() const;
    // Holds an address that only the host or its neighbours can reach.
    bool is_private() const;
};

// `question`: as it was sent. None for what is not a whole reply to it in exactly that spelling (other_spelling tells
// whether it is one but for letters' case).
std::optional<Reply> decode_reply(ByteView datagram, ByteView question);
bool other_spelling(ByteView datagram, ByteView question);

// False when the answer section has records of other names than the question leads to.
bool tidy(Reply& reply, const DnsName& name);

// For a client that asked `query`, `age` seconds after the reply came in.
Bytes render(const Reply& reply, const Query& query, std::uint32_t age);

}  // namespace bascule::dhcp
