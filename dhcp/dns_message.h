// SPDX-License-Identifier: GPL-2.0-or-later
// DNS messages (RFC 1035, RFC 6891) as far as we must understand them: a query whole, a reply's head and question.
// Nothing follows compression pointers: a query's question has no name before it to point at, and of an upstream's
// reply only the question is compared, which is not compressed either.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::dhcp {

enum class Rcode : std::uint8_t {
    no_error = 0,
    form_err = 1,
    serv_fail = 2,
    nx_domain = 3,
    not_imp = 4,
    refused = 5,
};

inline constexpr std::uint16_t kTypeA = 1, kTypePtr = 12, kTypeAaaa = 28, kTypeOpt = 41, kTypeAny = 255;
inline constexpr std::uint16_t kClassIn = 1;

// RFC 9715 (and DNS flag day 2020): what travels without fragments.
inline constexpr std::uint16_t kUdpSize = 1232;

// A name in wire form without the root's empty label, letters in lower case: labels may hold any byte, so text would
// be ambiguous. Equal names are equal strings. "\3vm1\4test".
using DnsName = std::string;
DnsName dns_name(std::string_view text);  // of a name for which is_dns_name() holds; "" is the root
std::size_t label_count(const DnsName& name);
// The name without its first label; of the root, the root.
DnsName parent(const DnsName& name);
bool is_below(const DnsName& name, const DnsName& domain);  // or the same
std::string first_label(const DnsName& name);

// An address's name below in-addr.arpa or ip6.arpa, and the network that such a name stands for (whole octets or
// nibbles; the host's own name gives a full length). None for a name elsewhere or misspelt.
DnsName reverse_name(const Ip& address);
std::optional<Prefix> reverse_prefix(const DnsName& name);

struct DnsHeader {
    std::uint16_t id = 0;
    bool response = false;
    std::uint8_t opcode = 0;
    bool truncated = false, recursion_desired = false;
    Rcode rcode = Rcode::no_error;
    std::uint16_t questions = 0, answers = 0, authorities = 0, additionals = 0;
};
std::optional<DnsHeader> decode_header(ByteView datagram);

struct Edns {
    std::uint16_t size = 512;
    std::uint8_t version = 0;
    bool dnssec_ok = false;
    std::size_t size_at = 0;  // where the size stands in the datagram
    bool operator==(const Edns&) const = default;
};

struct Query {
    DnsHeader header;
    DnsName name;
    std::uint16_t type = 0, klass = 0;
    Bytes question;  // as it was asked: spelling kept
    std::optional<Edns> edns;

    // What the client takes in one datagram.
    std::size_t size_limit() const;
};

// Code::unsupported for an opcode other than QUERY, Code::malformed for what is not exactly one question with at most
// a few additional records.
Result<Query> decode_query(ByteView datagram);

// Is this the question of that reply? Letters in either case.
bool answers_question(ByteView reply, ByteView question);

// One datum of an answer to the question itself: an address (A or AAAA), or a name (PTR).
struct Answer {
    Rcode rcode = Rcode::no_error;
    std::vector<Ip> addresses;
    std::optional<DnsName> target;
    bool operator==(const Answer&) const = default;
};

// An authoritative reply; `recursion` says whether we would have asked others. Truncated when it does not fit.
Bytes encode_answer(const Query& query, const Answer& answer, bool recursion);
// A reply without data to anything with a header; empty for less than that.
Bytes encode_error(ByteView query, Rcode rcode);
// The reply cut down to its question with TC set, for a client that takes no more.
Bytes truncated(ByteView reply, std::size_t question_size);

}  // namespace bascule::dhcp
