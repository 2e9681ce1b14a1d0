// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/dns_reply.h"

#include <algorithm>
#include <array>

#include "base/net.h"

namespace bascule::dhcp {

namespace {

constexpr std::size_t kHead = 12;
constexpr std::uint16_t kAuthentic = 0x0020, kCheckingDisabled = 0x0010, kRecursionAvailable = 0x0080,
                        kRecursionDesired = 0x0100, kTruncated = 0x0200, kResponse = 0x8000;
// More than anybody's answer has; what a forged one may cost.
constexpr std::size_t kMostRecords = 1024;
constexpr int kMostLabels = 128;
constexpr std::uint32_t kLongestTtl = 86400, kLongestNegativeTtl = 3600;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// A name at `at`, which moves behind it. Pointers lead backwards only, so they end; labels are counted besides.
std::optional<DnsName> read_name(ByteView all, std::size_t& at) {
    DnsName name;
    std::size_t here = at, floor = at;
    bool jumped = false;
    for (int labels = 0; labels < kMostLabels; ++labels) {
        if (here >= all.size()) {
            return std::nullopt;
        }
        const auto length = std::to_integer<std::size_t>(all[here]);
        if (length >= 0xc0) {
            if (here + 1 >= all.size()) {
                return std::nullopt;
            }
            const std::size_t target = (length & 0x3f) << 8 | std::to_integer<std::size_t>(all[here + 1]);
            at = jumped ? at : here + 2;
            jumped = true;
            if (target >= floor || target < kHead) {
                return std::nullopt;
            }
            here = floor = target;
            continue;
        }
        if (length > 63 || here + 1 + length > all.size() || name.size() + length + 2 > 255) {
            return std::nullopt;
        }
        if (length == 0) {
            at = jumped ? at : here + 1;
            return name;
        }
        name += static_cast<char>(length);
        for (const char c : as_text(all.subspan(here + 1, length))) {
            name += lower(c);
        }
        here += 1 + length;
    }
    return std::nullopt;
}

std::optional<ReplyRecord> read_record(ByteView all, std::size_t& at) {
    auto owner = read_name(all, at);
    if (!owner) {
        return std::nullopt;
    }
    ByteReader in(all.subspan(at));
    ReplyRecord out{.owner = *std::move(owner)};
    out.type = in.u16();
    out.klass = in.u16();
    out.ttl_at = at + 4;
    out.ttl = in.u32();
    out.data_size = in.u16();
    out.data_at = at + 10;
    in.skip(out.data_size);
    if (!in.ok()) {
        return std::nullopt;
    }
    // RFC 2181 section 8: a TTL with the top bit set is 0.
    out.ttl = (out.ttl >> 31) != 0 && out.type != kTypeOpt ? 0 : out.ttl;
    at = out.end = out.data_at + out.data_size;
    return out;
}

bool read_section(ByteView all, std::size_t& at, std::uint16_t count, std::vector<ReplyRecord>& out) {
    for (std::uint16_t i = 0; i < count; ++i) {
        auto record = out.size() < kMostRecords ? read_record(all, at) : std::nullopt;
        if (!record) {
            return false;
        }
        out.push_back(*std::move(record));
    }
    return true;
}

bool same_question(ByteView datagram, ByteView question, bool exactly) {
    const auto header = decode_header(datagram);
    if (!header || !header->response || header->questions != 1 || datagram.size() < kHead + question.size()) {
        return false;
    }
    const ByteView theirs = datagram.subspan(kHead, question.size());
    return exactly ? std::ranges::equal(theirs, question)
                   : std::ranges::equal(as_text(theirs), as_text(question), {}, lower, lower);
}

std::uint32_t minimum_of(const Reply& reply, const ReplyRecord& soa) {
    ByteReader in(ByteView(reply.message).subspan(soa.data_at, soa.data_size));
    in.skip(soa.data_size < 4 ? 0 : soa.data_size - 4);
    return std::min(in.u32(), soa.ttl);
}

bool is_private_address(const Ip& address) {
    if (address.is_v4()) {
        const std::uint32_t value = address.v4_value();
        const std::uint32_t first = value >> 24;
        return first == 0 || first == 10 || first == 127 || value >> 16 == 0xa9fe || value >> 20 == 0xac1 ||
               value >> 16 == 0xc0a8 || value == 0xffffffff;
    }
    const auto& octets = address.octets();
    const bool zeros = std::all_of(octets.begin(), octets.begin() + 10, [](std::uint8_t o) { return o == 0; });
    if (zeros && (octets[10] == 0xff && octets[11] == 0xff)) {  // ::ffff:a.b.c.d
        return is_private_address(Ip::v4({octets[12], octets[13], octets[14], octets[15]}));
    }
    const bool loopback_or_none =
        zeros && std::all_of(octets.begin() + 10, octets.begin() + 15, [](std::uint8_t o) { return o == 0; }) &&
        octets[15] <= 1;
    return loopback_or_none || (octets[0] & 0xfe) == 0xfc || address.is_link_local();
}

std::optional<Ip> address_in(const Reply& reply, const ReplyRecord& record) {
    ByteReader in(ByteView(reply.message).subspan(record.data_at, record.data_size));
    if (record.type == kTypeA && record.data_size == 4) {
        return Ip::v4(in.u32());
    }
    return record.type == kTypeAaaa && record.data_size == 16 ? std::optional(Ip::v6(in.array<16>())) : std::nullopt;
}

// Records about the zone that a name is in, and proofs that something is not there.
bool may_stand_in_authority(const ReplyRecord& record, const std::vector<DnsName>& chain) {
    switch (record.type) {
        case kTypeNsec:
        case kTypeNsec3:
        case kTypeRrsig:
        case kTypeDs: return true;
        case kTypeSoa:
        case kTypeNs: {
            return std::ranges::any_of(chain, [&](const DnsName& name) { return is_below(name, record.owner); });
        }
        default: return false;
    }
}

void cut(Reply& reply, std::size_t answers, std::size_t authorities) {
    reply.answers.resize(answers);
    reply.authorities.resize(authorities);
    const std::size_t end = authorities > 0 ? reply.authorities.back().end
                            : answers > 0   ? reply.answers.back().end
                                            : kHead + reply.question_size;
    reply.message.resize(end);
}

}  // namespace

std::optional<Reply> decode_reply(ByteView datagram, ByteView question) {
    if (!same_question(datagram, question, true)) {
        return std::nullopt;
    }
    const auto header = decode_header(datagram);
    Reply out;
    out.flags = static_cast<std::uint16_t>(std::to_integer<unsigned>(datagram[2]) << 8 |
                                           std::to_integer<unsigned>(datagram[3]));
    out.rcode = header->rcode;
    out.truncated = header->truncated;
    out.authentic = header->authentic;
    out.question_size = question.size();
    std::size_t at = kHead + question.size();
    std::vector<ReplyRecord> additionals;
    const bool whole = read_section(datagram, at, header->answers, out.answers) &&
                       read_section(datagram, at, header->authorities, out.authorities) &&
                       read_section(datagram, at, header->additionals, additionals);
    if (!whole && !out.truncated) {
        return std::nullopt;
    }
    for (const ReplyRecord& record : additionals) {
        out.bad_version = out.bad_version || (record.type == kTypeOpt && record.ttl >> 24 != 0);
    }
    out.message.assign(datagram.begin(), datagram.end());
    if (out.truncated) {  // what there is of it is of no use
        out.answers.clear();
        out.authorities.clear();
    }
    cut(out, out.answers.size(), out.authorities.size());
    return out;
}

bool other_spelling(ByteView datagram, ByteView question) {
    return same_question(datagram, question, false) && !same_question(datagram, question, true);
}

bool tidy(Reply& reply, const DnsName& name) {
    std::vector<DnsName> chain{name};
    const auto leads = [&](const ReplyRecord& r) {
        return std::ranges::any_of(chain, [&](const DnsName& link) {
            return r.owner == link || (r.type == kTypeDname && is_below(link, r.owner));
        });
    };
    // In any order, though a sane server puts each alias before its target.
    for (bool grown = true; grown && chain.size() < kMostLabels;) {
        grown = false;
        for (const ReplyRecord& r : reply.answers) {
            std::size_t at = r.data_at;
            const auto target = r.type == kTypeCname && leads(r) ? read_name(reply.message, at) : std::nullopt;
            if (target && at != r.end) {
                return false;
            }
            if (target && std::ranges::find(chain, *target) == chain.end()) {
                chain.push_back(*target);
                grown = true;
            }
        }
    }
    for (const ReplyRecord& r : reply.answers) {
        const bool signature_above = r.type == kTypeRrsig && std::ranges::any_of(chain, [&](const DnsName& link) {
                                         return is_below(link, r.owner);
                                     });
        if (r.klass != kClassIn || !(leads(r) || signature_above)) {
            return false;
        }
    }
    if (!std::ranges::all_of(reply.authorities,
                             [&](const ReplyRecord& r) { return may_stand_in_authority(r, chain); })) {
        cut(reply, reply.answers.size(), 0);
    }
    return true;
}

std::optional<std::uint32_t> Reply::keep_for() const {
    const bool negative = answers.empty() || rcode == Rcode::nx_domain;
    if (truncated || (rcode != Rcode::no_error && rcode != Rcode::nx_domain)) {
        return std::nullopt;
    }
    std::uint32_t least = kLongestTtl;
    for (const ReplyRecord& r : answers) {
        least = std::min(least, r.ttl);
    }
    if (!negative) {
        return least;
    }
    const auto soa = std::ranges::find(authorities, kTypeSoa, &ReplyRecord::type);
    return soa == authorities.end() ? std::nullopt
                                    : std::optional(std::min({minimum_of(*this, *soa), least, kLongestNegativeTtl}));
}

bool Reply::is_private() const {
    return std::ranges::any_of(answers, [&](const ReplyRecord& r) {
        const auto address = address_in(*this, r);
        return address && is_private_address(*address);
    });
}

namespace {

// A record's data without compression, so that it can stand in another message; none for types that nobody asks for.
std::optional<Bytes> plain_data(const Reply& reply, const ReplyRecord& record) {
    const ByteView data = ByteView(reply.message).subspan(record.data_at, record.data_size);
    std::size_t fixed = 0;
    switch (record.type) {
        case kTypeCname:
        case kTypeNs:
        case kTypePtr:
        case kTypeDname: break;
        case kTypeMx: fixed = 2; break;
        case kTypeSrv: fixed = 6; break;
        case kTypeSoa: return std::nullopt;
        default:
            // RFC 3597 section 4: only types of RFC 1035 may be compressed.
            return record.type <= kTypeMx && record.type != kTypeA ? std::nullopt
                                                                   : std::optional(Bytes(data.begin(), data.end()));
    }
    std::size_t at = record.data_at + fixed;
    const auto name = data.size() > fixed ? read_name(reply.message, at) : std::nullopt;
    if (!name || at != record.end) {
        return std::nullopt;
    }
    Bytes out(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(fixed));
    const ByteView text = as_bytes(*name);
    out.insert(out.end(), text.begin(), text.end());
    out.push_back(std::byte{0});
    return out;
}

// Our aliases, then what the reply has for the name that they lead to.
Bytes render_behind_aliases(const Reply& reply, const Query& query, std::uint32_t age) {
    const std::size_t limit = query.size_limit() - (query.edns ? kOptSize : 0);
    ByteWriter out;
    out.u16(query.header.id);
    std::uint16_t flags = static_cast<std::uint16_t>(
        kResponse | kRecursionAvailable | (query.header.recursion_desired ? kRecursionDesired : 0U) |
        (query.header.checking_disabled ? kCheckingDisabled : 0U) | (reply.truncated ? kTruncated : 0U) |
        static_cast<unsigned>(reply.rcode));
    out.u16(flags);
    out.u16(1);
    out.u32(0);
    out.u16(query.edns ? 1 : 0);
    out.bytes(query.question);
    std::uint16_t records = 0;
    const auto put = [&](const DnsName& owner, std::uint16_t type, std::uint32_t ttl, ByteView data) {
        if (out.size() + owner.size() + 12 + data.size() > limit) {
            flags |= kTruncated;
            return;
        }
        if (owner.empty()) {
            out.u16(0xc00c);  // the question's name
        } else {
            out.text(owner);
            out.u8(0);
        }
        out.u16(type);
        out.u16(kClassIn);
        out.u32(ttl);
        out.u16(static_cast<std::uint16_t>(data.size()));
        out.bytes(data);
        ++records;
    };
    if (reply.rcode == Rcode::no_error || reply.rcode == Rcode::nx_domain) {
        for (const Record& alias : query.aliases) {
            put(alias.owner, alias.type, 0, alias.data);
        }
        for (const ReplyRecord& r : reply.answers) {
            if (const auto data = plain_data(reply, r)) {
                put(r.owner, r.type, r.ttl > age ? r.ttl - age : 0, *data);
            }
        }
    }
    out.put_u16(2, flags);
    out.put_u16(6, records);
    if (query.edns) {
        write_opt(out, *query.edns);
    }
    return out.take();
}

}  // namespace

Bytes render(const Reply& reply, const Query& query, std::uint32_t age) {
    if (!query.aliases.empty()) {
        return render_behind_aliases(reply, query, age);
    }
    const bool wants_security = query.header.authentic || (query.edns && query.edns->dnssec_ok);
    std::uint16_t flags = static_cast<std::uint16_t>(
        kResponse | kRecursionAvailable | (query.header.recursion_desired ? kRecursionDesired : 0U) |
        (query.header.checking_disabled ? kCheckingDisabled : 0U) |
        (reply.authentic && wants_security ? kAuthentic : 0U) | static_cast<unsigned>(reply.rcode));
    const bool fits = !reply.truncated && reply.message.size() + (query.edns ? kOptSize : 0) <= query.size_limit();
    flags = fits ? flags : flags | kTruncated;
    ByteWriter out;
    out.reserve(reply.message.size() + query.question.size() + kOptSize);
    out.u16(query.header.id);
    out.u16(flags);
    out.u16(1);
    out.u16(fits ? static_cast<std::uint16_t>(reply.answers.size()) : 0);
    out.u16(fits ? static_cast<std::uint16_t>(reply.authorities.size()) : 0);
    out.u16(query.edns ? 1 : 0);
    out.bytes(query.question);
    if (fits) {
        out.bytes(ByteView(reply.message).subspan(kHead + reply.question_size));
        for (const auto* section : {&reply.answers, &reply.authorities}) {
            for (const ReplyRecord& r : *section) {
                out.put_u32(r.ttl_at, r.ttl > age ? r.ttl - age : 0);
            }
        }
    }
    if (query.edns) {
        write_opt(out, *query.edns);
    }
    return out.take();
}

}  // namespace bascule::dhcp
