// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/dns_message.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace bascule::dhcp {

namespace {

constexpr std::size_t kHead = 12;
constexpr std::uint16_t kResponse = 0x8000, kAuthoritative = 0x0400, kTruncated = 0x0200, kRecursionDesired = 0x0100,
                        kRecursionAvailable = 0x0080, kAuthentic = 0x0020, kCheckingDisabled = 0x0010;
constexpr std::uint16_t kQuestionPointer = 0xc00c;  // the name at offset 12
constexpr std::uint32_t kDnssecOk = 0x8000;
constexpr std::uint8_t kBadVersion = 16;  // extended: upper bits in OPT
// EDNS, and TSIG or a cookie's company; nobody sends more.
constexpr std::uint16_t kMostAdditionals = 4;
// Our answers change at any moment: nobody is to keep them.
constexpr std::uint32_t kTtl = 0;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// A name without pointers, in lower case. The reader fails for one that is not.
DnsName read_name(ByteReader& in) {
    DnsName name;
    name.reserve(std::min<std::size_t>(in.left(), 255));
    for (;;) {
        const std::uint8_t length = in.u8();
        if (!in.ok() || length == 0) {
            return name;
        }
        if (length > 63 || name.size() + length + 2 > 255) {
            in.set_failed();
            return {};
        }
        name += static_cast<char>(length);
        for (const char c : as_text(in.take(length))) {
            name += lower(c);
        }
    }
}

// The name of an additional record: may end in a pointer, which nobody follows.
void skip_name(ByteReader& in, bool& root) {
    root = true;
    for (std::size_t labels = 0; labels < 128; ++labels) {
        const std::uint8_t length = in.u8();
        if (!in.ok() || length == 0) {
            return;
        }
        root = false;
        if (length >= 0xc0) {
            in.skip(1);
            return;
        }
        if (length > 63) {
            break;
        }
        in.skip(length);
    }
    in.set_failed();
}

void read_additional(ByteReader& in, std::optional<Edns>& edns) {
    bool root = false;
    skip_name(in, root);
    const std::uint16_t type = in.u16();
    const std::uint16_t size = in.u16();
    const std::uint32_t ttl = in.u32();
    in.skip(in.u16());
    if (type != kTypeOpt) {
        return;
    }
    if (!root || edns) {  // RFC 6891 section 6.1.1: one, at the root
        in.set_failed();
        return;
    }
    edns = Edns{std::max<std::uint16_t>(size, 512), static_cast<std::uint8_t>(ttl >> 16), (ttl & kDnssecOk) != 0};
}

template <class Number>
std::optional<Number> whole_number(std::string_view text, int base) {
    Number value{};
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    const bool plain = text.size() == 1 || !text.starts_with('0');
    return ec == std::errc() && stop == text.data() + text.size() && plain ? std::optional(value) : std::nullopt;
}

std::vector<std::string> labels(const DnsName& name) {
    std::vector<std::string> out;
    for (DnsName rest = name; !rest.empty(); rest = parent(rest)) {
        out.push_back(first_label(rest));
    }
    return out;
}

// The zone's SOA. Whoever asks again may get another answer: nothing of it is to be kept.
void write_soa(ByteWriter& out, const DnsName& zone) {
    ByteWriter data;
    data.text(zone);
    data.u8(0);
    data.text(dns_name("hostmaster"));
    data.text(zone);
    data.u8(0);
    for (const std::uint32_t value : {1U, 3600U, 1200U, 604800U, kTtl}) {
        data.u32(value);
    }
    out.text(zone);
    out.u8(0);
    out.u16(kTypeSoa);
    out.u16(kClassIn);
    out.u32(kTtl);
    out.u16(static_cast<std::uint16_t>(data.size()));
    out.bytes(data.view());
}

}  // namespace

void write_opt(ByteWriter& out, const Edns& edns) {
    const bool known = edns.version == 0;
    out.u8(0);
    out.u16(kTypeOpt);
    out.u16(kUdpSize);
    out.u32((known ? 0U : std::uint32_t{kBadVersion >> 4} << 24) | (edns.dnssec_ok ? kDnssecOk : 0U));
    out.u16(0);
}

DnsName dns_name(std::string_view text) {
    DnsName out;
    while (!text.empty() && text != ".") {
        const std::string_view label = text.substr(0, text.find('.'));
        out += static_cast<char>(std::min<std::size_t>(label.size(), 63));
        for (const char c : label.substr(0, 63)) {
            out += lower(c);
        }
        text.remove_prefix(std::min(label.size() + 1, text.size()));
    }
    return out;
}

bool is_record_name(std::string_view text) {
    if (text.ends_with('.') && text.size() > 1) {
        text.remove_suffix(1);
    }
    std::size_t label = 0;
    for (const char c : text) {
        if (c == '.' ? label == 0 : (c <= ' ' || c > '~' || c == ',' || ++label > 63)) {
            return false;
        }
        label = c == '.' ? 0 : label;
    }
    return label > 0 && text.size() <= 253;
}

DnsName parent(const DnsName& name) {
    return name.empty() ? name : name.substr(std::min(name.size(), 1 + static_cast<std::size_t>(name[0])));
}

std::string first_label(const DnsName& name) {
    return name.empty() ? std::string() : name.substr(1, static_cast<std::size_t>(name[0]));
}

std::size_t label_count(const DnsName& name) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < name.size(); at += 1 + static_cast<std::size_t>(name[at])) {
        ++count;
    }
    return count;
}

bool is_below(const DnsName& name, const DnsName& domain) {
    std::size_t at = 0;
    while (name.size() - at > domain.size()) {
        at += 1 + static_cast<std::size_t>(name[at]);
        if (at > name.size()) {
            return false;
        }
    }
    return std::string_view(name).substr(at) == domain;
}

DnsName reverse_name(const Ip& address) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    for (unsigned i = address.bits() / 8; i-- > 0;) {
        const std::uint8_t octet = address.octets()[i];
        if (address.is_v4()) {
            text += std::to_string(octet) + ".";
        } else {
            text += {kHex[octet & 15U], '.', kHex[octet >> 4U], '.'};
        }
    }
    return dns_name(text + (address.is_v4() ? "in-addr.arpa" : "ip6.arpa"));
}

std::optional<Prefix> reverse_prefix(const DnsName& name) {
    static const DnsName v4 = dns_name("in-addr.arpa"), v6 = dns_name("ip6.arpa");
    const bool is_v4 = is_below(name, v4);
    if (!is_v4 && !is_below(name, v6)) {
        return std::nullopt;
    }
    std::vector<std::string> parts = labels(name);
    parts.resize(parts.size() - 2);
    std::ranges::reverse(parts);
    if (parts.size() > (is_v4 ? 4U : 32U)) {
        return std::nullopt;
    }
    std::array<std::uint8_t, 16> octets{};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto value = whole_number<std::uint8_t>(parts[i], is_v4 ? 10 : 16);
        if (!value || (!is_v4 && parts[i].size() != 1)) {
            return std::nullopt;
        }
        octets[is_v4 ? i : i / 2] |= static_cast<std::uint8_t>(is_v4 || i % 2 == 1 ? *value : *value << 4U);
    }
    const Ip address = is_v4 ? Ip::v4({octets[0], octets[1], octets[2], octets[3]}) : Ip::v6(octets);
    return Prefix::of(address, static_cast<unsigned>(parts.size() * (is_v4 ? 8 : 4)));
}

std::optional<DnsHeader> decode_header(ByteView datagram) {
    ByteReader in(datagram);
    DnsHeader h;
    h.id = in.u16();
    const std::uint16_t flags = in.u16();
    h.questions = in.u16();
    h.answers = in.u16();
    h.authorities = in.u16();
    h.additionals = in.u16();
    h.response = (flags & kResponse) != 0;
    h.opcode = static_cast<std::uint8_t>(flags >> 11 & 15U);
    h.truncated = (flags & kTruncated) != 0;
    h.recursion_desired = (flags & kRecursionDesired) != 0;
    h.authentic = (flags & kAuthentic) != 0;
    h.checking_disabled = (flags & kCheckingDisabled) != 0;
    h.rcode = static_cast<Rcode>(flags & 15U);
    return in.ok() ? std::optional(h) : std::nullopt;
}

std::size_t Query::size_limit() const {
    if (stream) {
        return 65535;
    }
    return edns ? std::min(edns->size, kUdpSize) : 512;
}

Result<Query> decode_query(ByteView datagram) {
    const auto header = decode_header(datagram);
    if (!header || header->response) {
        return fail(Code::malformed, "not a DNS query");
    }
    if (header->opcode != 0) {
        return fail(Code::unsupported, "DNS opcode is not QUERY");
    }
    if (header->questions != 1 || header->answers != 0 || header->authorities != 0 ||
        header->additionals > kMostAdditionals) {
        return fail(Code::malformed, "not one question, or more than a query has");
    }
    ByteReader in(datagram);
    in.skip(kHead);
    Query query;
    query.header = *header;
    query.name = read_name(in);
    query.type = in.u16();
    query.klass = in.u16();
    const std::size_t question_end = in.position();
    for (std::uint16_t i = 0; i < header->additionals && in.ok(); ++i) {
        read_additional(in, query.edns);
    }
    if (!in.ok() || in.left() != 0) {
        return fail(Code::malformed, "question or additional records do not fit the datagram");
    }
    const ByteView question = datagram.subspan(kHead, question_end - kHead);
    query.question.assign(question.begin(), question.end());
    return query;
}

Record address_record(const Ip& address, DnsName owner) {
    const auto octets = std::as_bytes(std::span(address.octets()).first(address.bits() / 8));
    return {std::move(owner), address.is_v4() ? kTypeA : kTypeAaaa, Bytes(octets.begin(), octets.end())};
}

Record name_record(std::uint16_t type, const DnsName& target, DnsName owner) {
    const ByteView name = as_bytes(target);
    Record out{std::move(owner), type, Bytes(name.begin(), name.end())};
    out.data.push_back(std::byte{0});
    return out;
}

Bytes encode_answer(const Query& query, const Answer& answer, bool recursion) {
    const bool bad_version = query.edns && query.edns->version != 0;
    const std::size_t limit = query.size_limit() - (query.edns ? kOptSize : 0);
    ByteWriter out;
    out.reserve(std::min<std::size_t>(limit, 512) + kOptSize);
    out.u16(query.header.id);
    const auto rcode =
        static_cast<std::uint16_t>(bad_version ? kBadVersion & 15U : static_cast<unsigned>(answer.rcode));
    const bool authoritative = answer.rcode == Rcode::no_error || answer.rcode == Rcode::nx_domain;
    const std::uint16_t flags = static_cast<std::uint16_t>(
        kResponse | (authoritative && !bad_version ? kAuthoritative : 0U) |
        (query.header.recursion_desired ? kRecursionDesired : 0U) | (recursion ? kRecursionAvailable : 0U) |
        (query.header.checking_disabled ? kCheckingDisabled : 0U) | rcode);
    out.u16(flags);
    out.u16(1);
    out.u16(0);
    out.u16(0);
    out.u16(query.edns ? 1 : 0);
    out.bytes(query.question);
    std::uint16_t records = 0;
    for (const Record& record : answer.records) {
        if (bad_version || out.size() + 12 + record.owner.size() + record.data.size() > limit) {
            out.put_u16(2, bad_version ? flags : flags | kTruncated);
            break;
        }
        if (record.owner.empty()) {
            out.u16(kQuestionPointer);
        } else {
            out.text(record.owner);
            out.u8(0);
        }
        out.u16(record.type);
        out.u16(kClassIn);
        out.u32(kTtl);
        out.u16(static_cast<std::uint16_t>(record.data.size()));
        out.bytes(record.data);
        ++records;
    }
    out.put_u16(6, records);
    if (answer.zone && !bad_version && out.size() + 3 * answer.zone->size() + 45 <= limit) {
        // Behind a denial, as a rule; who asks for the SOA itself gets it as his answer.
        const bool asked = query.type == kTypeSoa && query.name == *answer.zone && answer.rcode == Rcode::no_error;
        write_soa(out, *answer.zone);
        out.put_u16(asked ? 6 : 8, 1);
    }
    if (query.edns) {
        write_opt(out, *query.edns);
    }
    return out.take();
}

Bytes encode_error(ByteView query, Rcode rcode) {
    if (query.size() < kHead) {
        return {};
    }
    ByteReader in(query);
    ByteWriter out;
    out.u16(in.u16());
    const std::uint16_t kept = in.u16() & (0x7800 | kRecursionDesired | kCheckingDisabled);
    out.u16(static_cast<std::uint16_t>(kResponse | kept | static_cast<unsigned>(rcode)));
    // The question comes back when it is one; a client matches by it.
    const auto decoded = decode_query(query);
    out.u16(decoded ? 1 : 0);
    out.fill(6);
    if (decoded) {
        out.bytes(decoded->question);
    }
    return out.take();
}

}  // namespace bascule::dhcp
