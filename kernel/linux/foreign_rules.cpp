// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/foreign_rules.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <ranges>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace bascule::kernel::os {

namespace {

using Json = nlohmann::json;

constexpr int kDeepestJump = 16;  // the kernel's own limit (NFT_JUMP_STACK_SIZE)

enum class Match { no, yes, maybe };

Match both(Match a, Match b) {
    return a == Match::no || b == Match::no         ? Match::no
           : a == Match::maybe || b == Match::maybe ? Match::maybe
                                                    : Match::yes;
}
Match either(Match a, Match b) {
    return a == Match::yes || b == Match::yes       ? Match::yes
           : a == Match::maybe || b == Match::maybe ? Match::maybe
                                                    : Match::no;
}
Match negated(Match a) { return a == Match::maybe ? a : a == Match::yes ? Match::no : Match::yes; }
Match of(bool b) { return b ? Match::yes : Match::no; }

std::string text_at(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
std::int64_t number_at(const Json& object, const char* key, std::int64_t otherwise) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : otherwise;
}

Match match_name(const std::string& name, const Json& right) {
    if (!right.is_string() || name.empty()) {
        return Match::maybe;
    }
    const auto wanted = right.get<std::string>();
    if (wanted.starts_with("@")) {
        return Match::maybe;
    }
    return of(wanted.ends_with("*") ? name.starts_with(wanted.substr(0, wanted.size() - 1)) : name == wanted);
}

Match match_ip(const Ip& ip, bool known, const Json& right) {
    if (right.is_object() && right.contains("prefix")) {
        const auto address = parse_ip(text_at(right["prefix"], "addr"));
        const auto length = number_at(right["prefix"], "len", -1);
        if (!address || length < 0 || length > address->bits()) {
            return Match::maybe;
        }
        if (length == 0) {
            return of(address->family() == ip.family());
        }
        return known ? of(Prefix::of(*address, static_cast<unsigned>(length)).contains(ip)) : Match::maybe;
    }
    if (!right.is_string() || !known) {
        return Match::maybe;
    }
    const auto address = parse_ip(right.get<std::string>());
    return address ? of(*address == ip) : Match::maybe;
}

Match match_number(std::uint32_t number, const Json& right) {
    if (number == 0) {
        return Match::maybe;
    }
    if (right.is_number_integer()) {
        return of(right.get<std::int64_t>() == number);
    }
    if (right.is_object() && right.contains("range") && right["range"].is_array() && right["range"].size() == 2 &&
        right["range"][0].is_number_integer() && right["range"][1].is_number_integer()) {
        return of(right["range"][0].get<std::int64_t>() <= number && number <= right["range"][1].get<std::int64_t>());
    }
    return Match::maybe;
}

Match match_word(std::string_view word, const Json& right) {
    return right.is_string() && !right.get<std::string>().starts_with("@") ? of(right.get<std::string>() == word)
                                                                           : Match::maybe;
}

std::string_view protocol_word(std::uint8_t protocol) {
    return protocol == 6 ? "tcp" : protocol == 17 ? "udp" : protocol == 1 ? "icmp" : "other";
}

// The right side may be one value or several of which one must fit.
template <class One>
Match any_of_right(const Json& right, One one) {
    const Json* list = right.is_array() ? &right : nullptr;
    if (right.is_object() && right.contains("set") && right["set"].is_array()) {
        list = &right["set"];
    }
    if (list == nullptr) {
        return one(right);
    }
    Match out = Match::no;
    for (const Json& value : *list) {
        out = either(out, one(value));
    }
    return out;
}

Match match_meta(const std::string& key, const ProbePacket& p, const Json& right) {
    if (key == "iifname" || key == "iif" || key == "oifname" || key == "oif") {
        const std::string& name = key.starts_with("i") ? p.iif : p.oif;
        return any_of_right(right, [&](const Json& one) { return match_name(name, one); });
    }
    if (key == "l4proto") {
        return any_of_right(right, [&](const Json& one) { return match_word(protocol_word(p.protocol), one); });
    }
    if (key == "nfproto") {
        return any_of_right(right,
                            [&](const Json& one) { return match_word(p.source.is_v4() ? "ipv4" : "ipv6", one); });
    }
    return Match::maybe;
}

Match match_payload(const Json& payload, const ProbePacket& p, const Json& right) {
    const std::string protocol = text_at(payload, "protocol"), field = text_at(payload, "field");
    if (protocol == "ip" || protocol == "ip6") {
        if ((protocol == "ip") != p.source.is_v4()) {
            return Match::no;
        }
        if (field == "saddr" || field == "daddr") {
            const bool source = field == "saddr";
            return any_of_right(right, [&](const Json& one) {
                return match_ip(source ? p.source : p.destination, source ? p.source_known : p.destination_known, one);
            });
        }
        if (field == "protocol" || field == "nexthdr") {
            return any_of_right(right, [&](const Json& one) { return match_word(protocol_word(p.protocol), one); });
        }
        return Match::maybe;
    }
    if (protocol == "tcp" || protocol == "udp" || protocol == "th") {
        if (protocol != "th" && protocol != protocol_word(p.protocol)) {
            return Match::no;
        }
        return field == "dport" ? any_of_right(right, [&](const Json& one) { return match_number(p.port, one); })
                                : Match::maybe;
    }
    return protocol.starts_with("icmp") && p.protocol != 1 ? Match::no : Match::maybe;
}

Match match_expression(const Json& match, const ProbePacket& p) {
    if (!match.is_object()) {
        return Match::maybe;
    }
    const Json left = match.value("left", Json()), right = match.value("right", Json());
    const std::string op = text_at(match, "op");
    if (!left.is_object() || (op != "==" && op != "!=" && op != "in")) {
        return Match::maybe;
    }
    Match out = Match::maybe;
    if (left.contains("meta")) {
        out = match_meta(text_at(left["meta"], "key"), p, right);
    } else if (left.contains("payload")) {
        out = match_payload(left["payload"], p, right);
    } else if (left.contains("ct") && text_at(left["ct"], "key") == "state") {
        out = any_of_right(right,
                           [&](const Json& one) { return match_word(p.established ? "established" : "new", one); });
    }
    return op == "!=" ? negated(out) : out;
}

struct Rule {
    int handle = -1;
    Json expressions;
};
struct Chain {
    std::string hook, policy, type;
    int priority = 0;
    std::vector<Rule> rules;
};
using TableKey = std::pair<std::string, std::string>;  // family, name

}  // namespace

struct ForeignRules::Tables {
    std::map<TableKey, std::map<std::string, Chain>> by_name;
};

namespace {

using Chains = std::map<std::string, Chain>;

struct Walk {
    const Chains& chains;
    const ProbePacket& packet;
    ForeignDrop found;
};
enum class End { on, accepted, dropped };

End walk(Walk& w, const std::string& name, int depth);

struct Verdict {
    enum class Kind { none, accept, drop, jump, go, back } kind = Kind::none;
    std::string target;
};

// What the rule is about and does: all matches in it must fit, the verdict is its last word.
std::pair<Match, Verdict> read_rule(const Rule& rule, const ProbePacket& packet) {
    Match fits = Match::yes;
    Verdict verdict;
    for (const Json& expression : rule.expressions) {
        if (!expression.is_object() || expression.empty()) {
            continue;
        }
        const std::string& kind = expression.begin().key();
        const Json& value = expression.begin().value();
        if (kind == "match") {
            fits = both(fits, match_expression(value, packet));
        } else if (kind == "accept") {
            verdict.kind = Verdict::Kind::accept;
        } else if (kind == "drop" || kind == "reject") {
            verdict.kind = Verdict::Kind::drop;
        } else if (kind == "jump" || kind == "goto") {
            verdict = {kind == "jump" ? Verdict::Kind::jump : Verdict::Kind::go, text_at(value, "target")};
        } else if (kind == "return") {
            verdict.kind = Verdict::Kind::back;
        } else if (kind != "counter" && kind != "log" && kind != "comment") {
            fits = both(fits, Match::maybe);
        }
    }
    return {fits, verdict};
}

End take(Walk& w, const std::string& chain, const Rule& rule, const Verdict& verdict, int depth) {
    switch (verdict.kind) {
        case Verdict::Kind::accept: return End::accepted;
        case Verdict::Kind::drop:
            w.found.chain = chain;
            w.found.handle = rule.handle;
            return End::dropped;
        case Verdict::Kind::jump:
        case Verdict::Kind::go: return walk(w, verdict.target, depth + 1);
        default: return End::on;
    }
}

End walk(Walk& w, const std::string& name, int depth) {
    const auto chain = w.chains.find(name);
    if (chain == w.chains.end() || depth > kDeepestJump) {
        return End::on;
    }
    for (const Rule& rule : chain->second.rules) {
        const auto [fits, verdict] = read_rule(rule, w.packet);
        if (fits == Match::no || verdict.kind == Verdict::Kind::none) {
            continue;
        }
        if (fits == Match::maybe) {
            Walk aside{w.chains, w.packet, {}};
            const End end =
                verdict.kind == Verdict::Kind::back ? End::accepted : take(aside, name, rule, verdict, depth);
            w.found.unread += end == End::accepted || aside.found.unread > 0 ? 1 : 0;
            continue;
        }
        if (verdict.kind == Verdict::Kind::back) {
            return End::on;
        }
        const End end = take(w, name, rule, verdict, depth);
        if (end != End::on || verdict.kind == Verdict::Kind::go) {
            return end;
        }
    }
    return End::on;
}

bool sees(const std::string& family, const ProbePacket& packet) {
    return family == "inet" || family == (packet.source.is_v4() ? "ip" : "ip6");
}

int take_name(const nlattr* attribute, void* out) {
    if (mnl_attr_get_type(attribute) == NFTA_TABLE_NAME && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
        *static_cast<std::string*>(out) = mnl_attr_get_str(attribute);
    }
    return MNL_CB_OK;
}

int take_table(const nlmsghdr* header, void* out) {
    const auto* const family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
    std::string name;
    mnl_attr_parse(header, sizeof(nfgenmsg), take_name, &name);
    const char* const word = family->nfgen_family == NFPROTO_INET   ? "inet"
                             : family->nfgen_family == NFPROTO_IPV4 ? "ip"
                             : family->nfgen_family == NFPROTO_IPV6 ? "ip6"
                                                                    : nullptr;
    if (word != nullptr && !name.empty() && name != "bascule") {
        static_cast<std::vector<TableKey>*>(out)->emplace_back(word, name);
    }
    return MNL_CB_OK;
}

// The tables of other programs that IP packets pass. Not through libnftables, which reads all rules to list tables.
Result<std::vector<TableKey>> foreign_tables() {
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("nftables: opening a netlink socket");
    }
    std::vector<char> buffer(std::size_t{1} << 15);
    nlmsghdr* const header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header->nlmsg_seq = 1;
    mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg));
    if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0) {
        return fail_errno("nftables: listing tables");
    }
    std::vector<TableKey> out;
    for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
        const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        more = size < 0 ? -1
                        : mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), 1,
                                     mnl_socket_get_portid(socket.get()), take_table, &out);
        if (more < 0 && errno != EINTR) {
            return fail_errno("nftables: listing tables");
        }
    }
    return out;
}

struct FreeContext {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};
using Context = std::unique_ptr<nft_ctx, FreeContext>;

Result<std::string> ask(nft_ctx* context, const std::string& what) {
    if (nft_run_cmd_from_buffer(context, what.c_str()) != 0) {
        nft_ctx_get_output_buffer(context);
        return fail(Code::system, fmt::format("nft {}: {}", what, nft_ctx_get_error_buffer(context)));
    }
    return std::string(nft_ctx_get_output_buffer(context));
}

Context make_context(unsigned flags) {
    Context context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (context) {
        nft_ctx_buffer_output(context.get());
        nft_ctx_buffer_error(context.get());
        nft_ctx_output_set_flags(context.get(), flags);
    }
    return context;
}

// The list in what nft prints; a document that is not one has none.
Json listed(std::string_view text) {
    const Json document = Json::parse(text, nullptr, false);
    return document.is_object() ? document.value("nftables", Json::array()) : Json::array();
}

}  // namespace

ForeignRules::ForeignRules() : tables_(std::make_unique<Tables>()) {}
ForeignRules::~ForeignRules() = default;
ForeignRules::ForeignRules(ForeignRules&&) noexcept = default;
ForeignRules& ForeignRules::operator=(ForeignRules&&) noexcept = default;

Result<void> ForeignRules::add(std::string_view json) {
    for (const Json& entry : listed(json)) {
        if (!entry.is_object() || entry.empty()) {
            continue;
        }
        const std::string& kind = entry.begin().key();
        const Json& value = entry.begin().value();
        if (!value.is_object()) {
            continue;
        }
        const TableKey key{text_at(value, "family"), text_at(value, "table")};
        if (kind == "chain") {
            Chain& chain = tables_->by_name[key][text_at(value, "name")];
            chain.hook = text_at(value, "hook");
            chain.policy = text_at(value, "policy");
            chain.type = text_at(value, "type");
            chain.priority = static_cast<int>(number_at(value, "prio", 0));
        } else if (kind == "rule") {
            tables_->by_name[key][text_at(value, "chain")].rules.push_back(
                {static_cast<int>(number_at(value, "handle", -1)), value.value("expr", Json::array())});
        }
    }
    return {};
}

Result<ForeignRules> ForeignRules::parse(std::string_view json) {
    ForeignRules out;
    TRY_OK(out.add(json));
    return out;
}

Result<ForeignRules> ForeignRules::read() {
    const Context context = make_context(NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE | NFT_CTX_OUTPUT_HANDLE);
    if (!context) {
        return fail(Code::system, "nftables: no memory");
    }
    ForeignRules out;
    TRY(const auto tables, foreign_tables());
    for (const auto& [family, name] : tables) {
        // A table that vanishes meanwhile, or that nft cannot print, drops nothing that we could name.
        if (const auto text = ask(context.get(), fmt::format("list table {} {}", family, name))) {
            TRY_OK(out.add(*text));
        }
    }
    return out;
}

std::vector<ForeignDrop> ForeignRules::drops(const ProbePacket& packet) const {
    std::vector<std::pair<int, ForeignDrop>> found;
    for (const auto& [key, chains] : tables_->by_name) {
        if (!sees(key.first, packet)) {
            continue;
        }
        for (const auto& [name, chain] : chains) {
            if (chain.hook != packet.hook || chain.type != "filter") {
                continue;
            }
            Walk w{chains, packet, {.family = key.first, .table = key.second, .chain = name, .rule = {}}};
            const End end = walk(w, name, 0);
            if (end == End::dropped || (end == End::on && chain.policy == "drop")) {
                found.emplace_back(chain.priority, std::move(w.found));
            }
        }
    }
    std::ranges::stable_sort(found, {}, &std::pair<int, ForeignDrop>::first);
    std::vector<ForeignDrop> out;
    for (auto& [priority, drop] : found) {
        out.push_back(std::move(drop));
    }
    return out;
}

bool ForeignRules::forwards() const {
    return std::ranges::any_of(tables_->by_name, [](const auto& table) {
        return std::ranges::any_of(table.second, [](const auto& chain) { return chain.second.hook == "forward"; });
    });
}

bool ForeignRules::empty() const { return tables_->by_name.empty(); }

namespace {

// The lines that `nft list chain` prints, without what is before the first word.
std::vector<std::string> chain_lines(std::string_view family, std::string_view table, std::string_view chain) {
    const Context context = make_context(NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_TERSE);
    const auto text = context ? ask(context.get(), fmt::format("list chain {} {} {}", family, table, chain))
                              : Result<std::string>(std::string());
    std::vector<std::string> out;
    for (const auto line : std::views::split(text.value_or(std::string()), '\n')) {
        std::string_view words(line.begin(), line.end());
        words.remove_prefix(std::min(words.find_first_not_of(" \t"), words.size()));
        out.emplace_back(words);
    }
    return out;
}

constexpr std::string_view kHandle = " # handle ";

}  // namespace

std::string rule_text(const ForeignDrop& drop) {
    const std::string end = drop.handle < 0 ? "policy drop;" : fmt::format("{}{}", kHandle, drop.handle);
    for (const std::string& line : chain_lines(drop.family, drop.table, drop.chain)) {
        if (line.ends_with(end)) {
            return line.substr(0, line.size() - (drop.handle < 0 ? 0 : end.size()));
        }
    }
    return {};
}

std::map<std::uint64_t, std::string> rule_texts(std::string_view family, std::string_view table,
                                                std::string_view chain) {
    std::map<std::uint64_t, std::string> out;
    for (const std::string& line : chain_lines(family, table, chain)) {
        const auto at = line.rfind(kHandle);
        std::uint64_t handle = 0;
        if (at == std::string::npos) {
            continue;
        }
        const char* const digits = line.data() + at + kHandle.size();
        const char* const end = line.data() + line.size();
        if (const auto [last, error] = std::from_chars(digits, end, handle); error == std::errc{} && last == end) {
            out.emplace(handle, line.substr(0, at));
        }
    }
    return out;
}

}  // namespace bascule::kernel::os
