// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft_elements.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/net.h"

namespace bascule::kernel::os {

namespace {

// An element takes some 350 bytes at most (two keys of 64, a chain's name of 127), a message 65535.
constexpr std::size_t kElementsPerMessage = 64;
constexpr std::size_t kMessage = std::size_t{32} << 10;
constexpr std::size_t kLongestKey = 64;  // NFT_DATA_VALUE_MAXLEN

template <class Octets>
void append(Bytes& out, const Octets& octets, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(static_cast<std::byte>(octets[i]));
    }
    out.resize((out.size() + 3) & ~std::size_t{3});  // registers are of four bytes
}

bool append_ip(IpFamily family, std::string_view text, Bytes& first, Bytes& last) {
    const auto slash = text.find('/');
    const auto address = parse_ip(text.substr(0, slash));
    if (!address || address->family() != family) {
        return false;
    }
    unsigned length = address->bits();
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
        if (error != std::errc{} || end != digits.data() + digits.size() || length > address->bits()) {
            return false;
        }
    }
    const Prefix prefix = Prefix::of(*address, length);
    append(first, prefix.first().octets(), address->bits() / 8);
    append(last, prefix.last().octets(), address->bits() / 8);
    return slash == std::string_view::npos || prefix.network == *address;
}

// "0x525400123456" or decimal digits as the bytes that a column like "@nh,64,48" holds.
bool append_number(std::string_view type, std::string_view text, Bytes& first, Bytes& last) {
    const auto comma = type.rfind(',');
    unsigned bits = 0;
    if (comma == std::string_view::npos ||
        std::from_chars(type.data() + comma + 1, type.data() + type.size(), bits).ec != std::errc{} || bits % 8 != 0 ||
        bits == 0 || bits > 128) {
        return false;
    }
    std::array<std::uint8_t, 16> octets{};
    const bool hex = text.starts_with("0x");
    if (hex) {
        text.remove_prefix(2);
    }
    if (text.empty()) {
        return false;
    }
    for (const char c : text) {
        const auto digit = std::string_view("0123456789abcdef").find(c);
        unsigned carry = static_cast<unsigned>(digit);
        const unsigned base = hex ? 16 : 10;
        if (digit == std::string_view::npos || carry >= base) {
            return false;
        }
        for (std::size_t i = octets.size(); i-- > 0;) {
            carry += octets[i] * base;
            octets[i] = static_cast<std::uint8_t>(carry);
            carry >>= 8;
        }
        if (carry != 0) {
            return false;
        }
    }
    const std::size_t count = bits / 8;
    const auto begin = octets.end() - static_cast<std::ptrdiff_t>(count);
    if (std::any_of(octets.begin(), begin, [](std::uint8_t octet) { return octet != 0; })) {
        return false;
    }
    append(first, begin, count);
    append(last, begin, count);
    return true;
}

bool append_field(std::string_view type, std::string_view text, Bytes& first, Bytes& last) {
    if (type == "ifname") {
        std::array<char, IF_NAMESIZE> name{};
        if (text.empty() || text.size() >= name.size() || text.contains('*')) {
            return false;  // a pattern is of its own length
        }
        std::ranges::copy(text, name.begin());
        append(first, name, name.size());
        append(last, name, name.size());
        return true;
    }
    if (type == "ether_addr") {
        const auto mac = parse_mac(text);
        if (mac) {
            append(first, mac->octets, mac->octets.size());
            append(last, mac->octets, mac->octets.size());
        }
        return mac.has_value();
    }
    if (type == "iface_index" || type == "mark") {
        std::uint32_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), &number, octets.size());  // in the host's order, as the kernel has them
        append(first, octets, octets.size());
        append(last, octets, octets.size());
        return error == std::errc{} && end == text.data() + text.size();
    }
    if (type.starts_with('@')) {
        return append_number(type, text, first, last);
    }
    return (type == "ipv4_addr" && append_ip(IpFamily::v4, text, first, last)) ||
           (type == "ipv6_addr" && append_ip(IpFamily::v6, text, first, last));
}

struct Verdict {
    std::int32_t code = 0;
    std::string chain{};
};

std::optional<Verdict> verdict_of(std::string_view text) {
    static constexpr std::array<std::pair<std::string_view, std::int32_t>, 4> kPlain{
        {{"accept", NF_ACCEPT}, {"drop", NF_DROP}, {"return", NFT_RETURN}, {"continue", NFT_CONTINUE}}};
    for (const auto& [word, code] : kPlain) {
        if (text == word) {
            return Verdict{code};
        }
    }
    for (const auto& [word, code] :
         {std::pair<std::string_view, std::int32_t>{"jump ", NFT_JUMP}, {"goto ", NFT_GOTO}}) {
        if (text.starts_with(word) && text.size() > word.size() && text.size() - word.size() < NFT_NAME_MAXLEN) {
            return Verdict{code, std::string(text.substr(word.size()))};
        }
    }
    return std::nullopt;
}

void put_value(nlmsghdr* header, std::uint16_t type, const Bytes& value) {
    nlattr* const nest = mnl_attr_nest_start(header, type);
    mnl_attr_put(header, NFTA_DATA_VALUE, value.size(), value.data());
    mnl_attr_nest_end(header, nest);
}

void put_verdict(nlmsghdr* header, const Verdict& verdict) {
    nlattr* const data = mnl_attr_nest_start(header, NFTA_SET_ELEM_DATA);
    nlattr* const nest = mnl_attr_nest_start(header, NFTA_DATA_VERDICT);
    mnl_attr_put_u32(header, NFTA_VERDICT_CODE, htonl(static_cast<std::uint32_t>(verdict.code)));
    if (!verdict.chain.empty()) {
        mnl_attr_put_strz(header, NFTA_VERDICT_CHAIN, verdict.chain.c_str());
    }
    mnl_attr_nest_end(header, nest);
    mnl_attr_nest_end(header, data);
}

// What one element is to the kernel.
struct Encoded {
    ElementKey key;
    std::optional<Verdict> verdict{};
    std::uint64_t timeout_ms = 0;
};

std::uint8_t number_of(Family family) {
    switch (family) {
        case Family::inet: return NFPROTO_INET;
        case Family::bridge: return NFPROTO_BRIDGE;
        case Family::netdev: return NFPROTO_NETDEV;
    }
    return NFPROTO_UNSPEC;
}

// Writes the messages of one batch.
class Writer {
public:
    explicit Writer(std::uint32_t sequence) { out_.first_sequence = out_.last_sequence = sequence; }

    void begin(std::uint32_t generation) {
        nlmsghdr* const header = open(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
        mnl_attr_put_u32(header, NFNL_BATCH_GENID, htonl(generation));
        close(header);
    }

    void change(Family family, const std::string& set, const std::vector<Encoded>& elements, bool add) {
        for (std::size_t at = 0; at < elements.size(); at += kElementsPerMessage) {
            const int kind = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
            nlmsghdr* const header = open(static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | kind),
                                          add ? NLM_F_CREATE : 0, number_of(family), 0);
            mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, "bascule");
            mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET, set.c_str());
            nlattr* const list = mnl_attr_nest_start(header, NFTA_SET_ELEM_LIST_ELEMENTS);
            for (std::size_t i = at; i < std::min(at + kElementsPerMessage, elements.size()); ++i) {
                put(header, elements[i]);
            }
            mnl_attr_nest_end(header, list);
            last_ = out_.bytes.size();
            close(header);
        }
    }

    // The last change is acknowledged: the end of a batch is only since Linux 6.10.
    std::optional<ElementBatch> end() {
        if (!last_) {
            return std::nullopt;
        }
        nlmsghdr header{};
        std::memcpy(&header, &out_.bytes[*last_], sizeof header);
        header.nlmsg_flags |= NLM_F_ACK;
        std::memcpy(&out_.bytes[*last_], &header, sizeof header);
        out_.last_sequence = header.nlmsg_seq;
        close(open(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
        return std::move(out_);
    }

private:
    nlmsghdr* open(std::uint16_t type, int flags, std::uint8_t family, std::uint16_t resource) {
        nlmsghdr* const header = mnl_nlmsg_put_header(buffer_.data());
        header->nlmsg_type = type;
        header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        header->nlmsg_seq = next_++ + out_.first_sequence;
        auto* const fixed = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
        fixed->nfgen_family = family;
        fixed->version = NFNETLINK_V0;
        fixed->res_id = htons(resource);
        return header;
    }

    void close(const nlmsghdr* header) {
        const auto* const bytes = reinterpret_cast<const std::byte*>(header);
        out_.bytes.insert(out_.bytes.end(), bytes, bytes + MNL_ALIGN(header->nlmsg_len));
    }

    static void put(nlmsghdr* header, const Encoded& element) {
        nlattr* const nest = mnl_attr_nest_start(header, NFTA_LIST_ELEM);
        put_value(header, NFTA_SET_ELEM_KEY, element.key.first);
        if (!element.key.last.empty()) {
            put_value(header, NFTA_SET_ELEM_KEY_END, element.key.last);
        }
        if (element.timeout_ms != 0) {
            mnl_attr_put_u64(header, NFTA_SET_ELEM_TIMEOUT, htobe64(element.timeout_ms));
        }
        if (element.verdict) {
            put_verdict(header, *element.verdict);
        }
        mnl_attr_nest_end(header, nest);
    }

    alignas(nlmsghdr) std::array<char, kMessage> buffer_{};
    ElementBatch out_;
    std::uint32_t next_ = 0;
    std::optional<std::size_t> last_;  // where the last change begins
};

// All changes of one batch, in the order that render() has.
class Encoder {
public:
    Encoder(const RuleBatch& batch, Time now, Writer& writer) : batch_(batch), now_(now), writer_(writer) {}

    bool remove(Family family, const RuleBatch::Removal& removal) {
        for (const auto& [set, keys] : removal.elements) {
            const SetDef* const def = definition(family, set);
            std::vector<Encoded> elements;
            for (const std::string& key : keys) {
                auto encoded = def == nullptr ? std::nullopt : encode_key(*def, key);
                if (!encoded) {
                    return false;
                }
                elements.push_back({*std::move(encoded)});
            }
            if (def != nullptr && def->timeouts && def->data.empty()) {
                writer_.change(family, set, elements, true);  // removing what has expired would fail
            }
            writer_.change(family, set, elements, false);
        }
        return true;
    }

    bool add(Family family, const Table& table) {
        for (const auto& [set, all] : table.elements) {
            const SetDef* const def = definition(family, set);
            std::vector<Encoded> elements;
            for (const auto& [key, element] : all) {
                if (element.expires && *element.expires <= now_) {
                    continue;
                }
                auto encoded = def == nullptr ? std::nullopt : encode(*def, key, element);
                if (!encoded) {
                    return false;
                }
                elements.push_back(*std::move(encoded));
            }
            writer_.change(family, set, elements, true);
        }
        return true;
    }

private:
    const SetDef* definition(Family family, const std::string& set) const {
        const auto types = batch_.types.find(family);
        if (types == batch_.types.end()) {
            return nullptr;
        }
        const auto found = types->second.find(set);
        return found == types->second.end() ? nullptr : &found->second;
    }

    std::optional<Encoded> encode(const SetDef& def, const std::string& key, const Element& element) const {
        auto encoded = encode_key(def, key);
        const auto verdict = verdict_of(element.data);
        if (!encoded || def.data.empty() != element.data.empty() ||
            (!def.data.empty() && (def.data != "verdict" || !verdict))) {
            return std::nullopt;
        }
        Encoded out{*std::move(encoded), verdict};
        if (element.expires) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*element.expires - now_);
            out.timeout_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(left.count(), 1));
        }
        return out;
    }

    const RuleBatch& batch_;
    Time now_;
    Writer& writer_;
};

bool only_elements(const RuleBatch& batch) {
    return std::ranges::all_of(
               batch.add, [](const auto& entry) { return entry.second.chains.empty() && entry.second.sets.empty(); }) &&
           std::ranges::all_of(batch.remove, [](const auto& entry) {
               const RuleBatch::Removal& removal = entry.second;
               return removal.chains.empty() && removal.sets.empty() && !removal.whole_table;
           });
}

}  // namespace

std::optional<ElementKey> encode_key(const SetDef& set, std::string_view key) {
    const auto types = fields_of_element(set.key), fields = fields_of_element(key);
    if (types.size() != fields.size() || (set.intervals && types.size() < 2)) {
        return std::nullopt;  // one field's intervals are written as ends of their own
    }
    ElementKey out;
    for (std::size_t i = 0; i < types.size(); ++i) {
        if (!append_field(types[i], fields[i], out.first, out.last)) {
            return std::nullopt;
        }
    }
    if (out.first.size() > kLongestKey || (!set.intervals && out.first != out.last)) {
        return std::nullopt;
    }
    if (!set.intervals) {
        out.last.clear();
    }
    return out;
}

std::optional<ElementBatch> encode_elements(const RuleBatch& batch, const RuleBatch& revived, Time now,
                                            std::uint32_t generation, std::uint32_t first_sequence) {
    if (!only_elements(batch) || !only_elements(revived)) {
        return std::nullopt;
    }
    Writer writer(first_sequence);
    writer.begin(generation);
    Encoder encoder(batch, now, writer);
    for (const auto& [family, table] : revived.add) {
        if (!encoder.add(family, table)) {
            return std::nullopt;
        }
    }
    for (const auto& [family, removal] : batch.remove) {
        if (!encoder.remove(family, removal)) {
            return std::nullopt;
        }
    }
    for (const auto& [family, table] : batch.add) {
        if (!encoder.add(family, table)) {
            return std::nullopt;
        }
    }
    return writer.end();
}

}  // namespace bascule::kernel::os
