// SPDX-License-Identifier: GPL-2.0-or-later
// DNS messages (RFC 1035, RFC 6891): queries of clients, and the answers that we make ourselves. What comes back from
// an upstream is dns_reply.h's. Nothing here follows compression pointers: a query's question has no name before it to
// point at.
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

inline constexpr std::uint16_t kTypeA = 1, kTypeNs = 2, kTypeCname = 5, kTypeSoa = 6, kTypePtr = 12, kTypeMx = 15,
                               kTypeTxt = 16, kTypeAaaa = 28, kTypeSrv = 33, kTypeDname = 39, kTypeOpt = 41,
                               kTypeDs = 43, kTypeRrsig = 46, kTypeNsec = 47, kTypeNsec3 = 50, kTypeTkey = 249,
                               kTypeAxfr = 252, kTypeAny = 255;
inline constexpr std::uint16_t kClassIn = 1;

// RFC 9715 (and DNS flag day 2020): what travels without fragments.
inline constexpr std::uint16_t kUdpSize = 1232;

// A name in wire form without the root's empty label, letters in lower case: labels may hold any byte, so text would
// be ambiguous. Equal names are equal strings. "\3vm1\4test".
using DnsName = std::string;
DnsName dns_name(std::string_view text);  // of a name for which is_record_name() holds; "" and "." are the root
// What a record may be called: labels of 1 to 63 printable characters, which is more than host names have
// ("_sip._tcp.example.com"), and at most 253 in all. A closing dot may be there.
bool is_record_name(std::string_view text);
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
    bool authentic = false, checking_disabled = false;  // AD, CD (RFC 4035)
    Rcode rcode = Rcode::no_error;
    std::uint16_t questions = 0, answers = 0, authorities = 0, additionals = 0;
};
std::optional<DnsHeader> decode_header(ByteView datagram);

struct Edns {
    std::uint16_t size = 512;
    std::uint8_t version = 0;
    bool dnssec_ok = false;
    bool operator==(const Edns&) const = default;
};

struct Record {
    DnsName owner;  // "": the name that was asked for, as it was spelt
    std::uint16_t type = 0;
    Bytes data;
    bool operator==(const Record&) const = default;
};
struct Query {
    DnsHeader header;
    DnsName name;
    std::uint16_t type = 0, klass = 0;
    Bytes question;  // as it was asked: spelling kept
    std::optional<Edns> edns;
    bool stream = false;  // came by TCP
    // Our own CNAME records that lead from the question to `name`, which is asked for elsewhere; none as a rule.
    std::vector<Record> aliases{};

    // What the client takes in one message.
    std::size_t size_limit() const;
};

// Code::unsupported for an opcode other than QUERY, Code::malformed for what is not exactly one question with at most
// a few additional records.
Result<Query> decode_query(ByteView datagram);

Record address_record(const Ip& address, DnsName owner = {});
Record name_record(std::uint16_t type, const DnsName& target, DnsName owner = {});

struct Answer {
    Rcode rcode = Rcode::no_error;
    std::vector<Record> records{};
    // Of an answer without records, the zone that says so: its SOA goes with it (RFC 2308).
    std::optional<DnsName> zone{};
    // The records are aliases that lead to this name, which is not ours: others have to be asked for it.
    DnsName elsewhere{};
    bool operator==(const Answer&) const = default;
};

// An authoritative reply; `recursion` says whether we would have asked others. Truncated when it does not fit.
Bytes encode_answer(const Query& query, const Answer& answer, bool recursion);
// Our own OPT record (RFC 6891), as it closes each reply to a client that sent one.
void write_opt(ByteWriter& out, const Edns& edns);
inline constexpr std::size_t kOptSize = 11;
// A reply without data to anything with a header; empty for less than that.
Bytes encode_error(ByteView query, Rcode rcode);

}  // namespace bascule::dhcp
