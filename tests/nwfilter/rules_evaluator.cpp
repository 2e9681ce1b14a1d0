// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/nwfilter/rules_evaluator.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "base/net.h"

namespace bascule::nwfilter {

namespace {

using Word = std::array<std::uint8_t, 16>;

Word word(std::uint64_t number) {
    Word out{};
    for (std::size_t i = 16; i-- > 8;) {
        out[i] = static_cast<std::uint8_t>(number);
        number >>= 8;
    }
    return out;
}

template <class Octets>
Word word_of(const Octets& octets, std::size_t size) {
    Word out{};
    std::copy_n(octets.begin(), size, out.end() - static_cast<std::ptrdiff_t>(size));
    return out;
}

constexpr std::array<std::pair<std::string_view, unsigned>, 6> kNames{
    {{"ip", 0x0800}, {"arp", 0x0806}, {"ip6", 0x86dd}, {"8021q", 0x8100}, {"8021ad", 0x88a8}, {"tcp", 6}}};

std::optional<Word> parse_word(std::string_view text) {
    for (const auto& [name, number] : kNames) {
        if (text == name) {
            return word(number);
        }
    }
    if (text.starts_with("0x")) {
        Word out{};
        std::size_t at = 32;
        for (std::size_t i = text.size(); i-- > 2;) {
            const std::string_view digits = "0123456789abcdef";
            const auto digit = digits.find(text[i]);
            if (digit == std::string_view::npos || at == 0) {
                return std::nullopt;
            }
            --at;
            out[at / 2] = static_cast<std::uint8_t>(out[at / 2] | digit << (at % 2 == 0 ? 4 : 0));
        }
        return out;
    }
    if (const auto mac = parse_mac(text)) {
        return word_of(mac->octets, 6);
    }
    if (const auto ip = parse_ip(text)) {
        return word_of(ip->octets(), ip->bits() / 8);
    }
    std::uint64_t number = 0;
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    return ec == std::errc() && stop == text.data() + text.size() ? std::optional(word(number)) : std::nullopt;
}

// "5", "5-9", "10.0.0.0/8".
std::optional<std::pair<Word, Word>> parse_span(std::string_view text) {
    if (const auto slash = text.find('/'); slash != std::string_view::npos) {
        const auto ip = parse_ip(text.substr(0, slash));
        unsigned length = 0;
        std::from_chars(text.data() + slash + 1, text.data() + text.size(), length);
        if (!ip) {
            return std::nullopt;
        }
        Word first = word_of(ip->octets(), ip->bits() / 8), last = first;
        for (std::size_t bit = length; bit < ip->bits(); ++bit) {
            const std::size_t at = 128 - ip->bits() + bit;
            const auto mask = static_cast<std::uint8_t>(0x80U >> at % 8);
            first[at / 8] = static_cast<std::uint8_t>(first[at / 8] & ~mask);
            last[at / 8] = static_cast<std::uint8_t>(last[at / 8] | mask);
        }
        return std::pair(first, last);
    }
    if (const auto one = parse_word(text)) {
        return std::pair(*one, *one);
    }
    const auto dash = text.find('-');
    const auto first = parse_word(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? std::nullopt : parse_word(text.substr(dash + 1));
    return first && last ? std::optional(std::pair(*first, *last)) : std::nullopt;
}

}  // namespace

// ---- what a packet is ----------------------------------------------------------------------------------

struct RulesEvaluator::Frame {
    ByteView bytes;
    const reference::Tracked& tracked;
    std::size_t network = 14, transport = 0;
    unsigned protocol = 0;
    unsigned l4 = 0x1000;            // none
    std::optional<unsigned> offset;  // of an IPv6 fragment

    Frame(ByteView frame, const reference::Tracked& ct) : bytes(frame), tracked(ct) {
        protocol = static_cast<unsigned>(number(12, 2).value_or(0));
        if (protocol == 0x8100 || protocol == 0x88a8) {
            network = 18;
            protocol = static_cast<unsigned>(number(16, 2).value_or(0));
        }
        if (protocol < 0x600) {
            protocol = number(network, 2) == 0xffffU ? 1 : 4;
        }
        if (protocol == 0x0800 && number(network + 19, 1)) {
            const std::uint64_t first = *number(network, 1), total = *number(network + 2, 2);
            if (first / 16 == 4 && first % 16 >= 5 && total >= first % 16 * 4 && network + total <= bytes.size()) {
                l4 = static_cast<unsigned>(*number(network + 9, 1));
                transport = network + first % 16 * 4;
            }
        } else if (protocol == 0x86dd && number(network + 39, 1) && *number(network, 1) / 16 == 6 &&
                   network + 40 + *number(network + 4, 2) <= bytes.size()) {
            extensions();
        }
    }

    std::optional<std::uint64_t> number(std::size_t at, std::size_t size) const {
        if (at + size > bytes.size()) {
            return {};
        }
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < size; ++i) {
            out = out << 8 | static_cast<std::uint64_t>(bytes[at + i]);
        }
        return out;
    }
    std::optional<Word> octets(std::size_t at, std::size_t size) const {
        if (at + size > bytes.size()) {
            return {};
        }
        Word out{};
        for (std::size_t i = 0; i < size; ++i) {
            out[16 - size + i] = static_cast<std::uint8_t>(bytes[at + i]);
        }
        return out;
    }

    void extensions() {
        unsigned next = static_cast<unsigned>(*number(network + 6, 1));
        std::size_t at = network + 40;
        while (next == 0 || next == 43 || next == 44 || next == 60) {
            const auto following = number(at, 1), length = number(at + 1, 1);
            if (!following || !length || (next == 44 && !number(at + 7, 1))) {
                return;
            }
            if (next == 44) {
                offset = static_cast<unsigned>(*number(at + 2, 2) / 8);
            }
            at += next == 44 ? 8 : (*length + 1) * 8;
            if (at > bytes.size()) {
                return;
            }
            next = static_cast<unsigned>(*following);
        }
        l4 = next;
        transport = at;
    }
};

std::optional<RulesEvaluator::Word> RulesEvaluator::load(const Column& column, const Frame& frame) {
    const std::string& name = column.name;
    const auto number = [](std::optional<std::uint64_t> n) { return n ? std::optional(word(*n)) : std::nullopt; };
    if (name == "@nh" || name == "@th") {
        const std::size_t base = name == "@nh" ? frame.network : frame.transport;
        return base == 0 ? std::nullopt : frame.octets(base + column.offset / 8, column.bits / 8);
    }
    if (name == "meta protocol") {
        return word(frame.protocol);
    }
    if (name == "meta mark") {
        return word(0);
    }
    if (name == "meta l4proto") {
        return frame.l4 > 255 ? std::nullopt : std::optional(word(frame.l4));
    }
    if (name == "exthdr frag") {
        return word(frame.offset ? 1 : 0);
    }
    if (name == "frag frag-off") {
        return frame.offset ? std::optional(word(*frame.offset)) : std::nullopt;
    }
    if (name == "ct state") {
        constexpr std::array<unsigned, 4> kBits{1, 2, 4, 8};
        return word(kBits[frame.tracked.state]);
    }
    if (name == "ct direction") {
        return word(frame.tracked.reply ? 1 : 0);
    }
    if (name == "ct count") {
        return word(frame.tracked.connections);
    }
    const std::string_view family = std::string_view(name).substr(0, name.find(' '));
    const bool tcp = frame.l4 == 6 && frame.transport != 0;
    if (name == "tcp option") {
        const auto fixed = tcp ? frame.number(frame.transport + 12, 1) : std::nullopt;
        const std::size_t size = fixed ? static_cast<std::size_t>(*fixed / 16 * 4) : 0;
        if (size < 20 || frame.transport + size > frame.bytes.size()) {
            return word(0);
        }
        for (std::size_t at = frame.transport + 20; at + 1 < frame.transport + size;) {
            const std::uint64_t kind = *frame.number(at, 1), length = *frame.number(at + 1, 1);
            const std::size_t step = kind < 2 || length == 0 ? 1 : static_cast<std::size_t>(length);
            if (at + step > frame.transport + size) {
                break;
            }
            if (kind == column.offset) {
                return word(1);
            }
            at += step;
        }
        return word(0);
    }
    // Fields of a header are there in packets that have it.
    if ((family == "arp" && frame.protocol != 0x0806) || (family == "ip" && frame.protocol != 0x0800) ||
        (family == "ip6" && frame.protocol != 0x86dd) || (family == "icmp" && frame.l4 != 1) ||
        (family == "icmpv6" && frame.l4 != 58) || (family == "tcp" && !tcp)) {
        return {};
    }
    struct Place {
        std::string_view name;
        char base;
        std::size_t offset, octets;
        unsigned shift = 0, keep = 0;  // bits
    };
    constexpr std::array<Place, 29> kPlaces{
        {{"ether saddr", 'l', 6, 6},      {"ether daddr", 'l', 0, 6},     {"ether type", 'l', 12, 2},
         {"vlan id", 'l', 14, 2, 0, 12},  {"vlan type", 'l', 16, 2},      {"arp htype", 'n', 0, 2},
         {"arp ptype", 'n', 2, 2},        {"arp hlen", 'n', 4, 1},        {"arp plen", 'n', 5, 1},
         {"arp operation", 'n', 6, 2},    {"arp saddr ether", 'n', 8, 6}, {"arp saddr ip", 'n', 14, 4},
         {"arp daddr ether", 'n', 18, 6}, {"arp daddr ip", 'n', 24, 4},   {"ip saddr", 'n', 12, 4},
         {"ip daddr", 'n', 16, 4},        {"ip protocol", 'n', 9, 1},     {"ip dscp", 'n', 1, 1, 2, 6},
         {"ip frag-off", 'n', 6, 2},      {"ip6 saddr", 'n', 8, 16},      {"ip6 daddr", 'n', 24, 16},
         {"ip6 nexthdr", 'n', 6, 1},      {"ip6 dscp", 'n', 0, 2, 6, 6},  {"th sport", 't', 0, 2},
         {"th dport", 't', 2, 2},         {"tcp flags", 't', 13, 1},      {"icmp type", 't', 0, 1},
         {"icmp code", 't', 1, 1},        {"icmpv6 type", 't', 0, 1}}};
    if (name == "icmpv6 code") {
        return frame.transport == 0 ? std::nullopt : frame.octets(frame.transport + 1, 1);
    }
    const auto place = std::ranges::find(kPlaces, std::string_view(name), &Place::name);
    if (place == kPlaces.end() || (place->base == 't' && frame.transport == 0)) {
        return {};
    }
    const std::size_t base = place->base == 'l' ? 0 : place->base == 'n' ? frame.network : frame.transport;
    if (place->keep == 0) {
        return frame.octets(base + place->offset, place->octets);
    }
    const auto whole = frame.number(base + place->offset, place->octets);
    return number(whole ? std::optional(*whole >> place->shift & ((1U << place->keep) - 1)) : std::nullopt);
}

// ---- rules ---------------------------------------------------------------------------------------------

class RulesEvaluator::Parser {
public:
    Parser(const std::string& text, const std::string& port, std::string& problem)
        : text_(text), port_(port), problem_(problem) {
        std::istringstream in(text);
        for (std::string token; in >> token;) {
            if (token == "ibrname" && !tokens_.empty()) {
                tokens_.back() += " " + token;
            } else {
                tokens_.push_back(token);
            }
        }
    }

    Rule rule() {
        Rule out;
        while (at_ < tokens_.size() && problem_.empty()) {
            step(out);
        }
        return out;
    }

private:
    std::string next() { return at_ < tokens_.size() ? tokens_[at_++] : ""; }
    bool take(std::string_view token) {
        const bool is = at_ < tokens_.size() && tokens_[at_] == token;
        at_ += is ? 1 : 0;
        return is;
    }
    void complain(const std::string& what) { problem_ = what + " in: " + text_; }

    void step(Rule& out) {
        if (take("counter")) {
            return;
        }
        if (at_ + 2 < tokens_.size() && tokens_[at_] == "meta" && tokens_[at_ + 2] == "set") {
            at_ += 4;  // meta mark set 0x80000001
            return;
        }
        if (at_ + 2 < tokens_.size() && tokens_[at_] == "ct" && tokens_[at_ + 2] == "set") {
            at_ += 7;  // ct mark set ct mark | 0x40000000
            return;
        }
        if (take("comment") || take("update")) {
            at_ = tokens_.size();
        } else if (take("accept")) {
            out.verdict = Verdict::accept;
        } else if (take("drop")) {
            out.verdict = Verdict::drop;
        } else if (take("reject")) {
            out.verdict = Verdict::drop;
            at_ += at_ < tokens_.size() && tokens_[at_] == "with" ? 3 : 0;
        } else if (take("return")) {
            out.verdict = Verdict::leave;
        } else if (take("jump") || take("goto")) {
            out.jump = next();
        } else {
            match(out);
        }
    }

    void match(Rule& out) {
        Match match;
        match.mask.fill(0xff);
        do {
            if (take("meta ibrname")) {
                // The port by its bridge and MAC address.
                if (at_ < tokens_.size() && tokens_[at_].starts_with('"')) {
                    at_ += 4;  // "br0" ether daddr 52:54:00:00:00:01
                    return;
                }
                at_ += 3;  // . ether daddr
                if (take("vmap")) {
                    out.map = next().substr(1);
                    return;
                }
                continue;
            }
            if (take("iifname") || take("oifname")) {
                if (take("vmap")) {
                    out.map = next().substr(1);
                    return;
                }
                if (at_ < tokens_.size() && tokens_[at_].starts_with('"')) {
                    if (next() != "\"" + port_ + "\"") {
                        complain("a rule of another port");
                    }
                    return;
                }
                continue;  // sets are kept by port
            }
            match.columns.push_back(column());
        } while (take("."));
        if (take("&")) {
            const auto mask = parse_word(next());
            mask ? void(match.mask = *mask) : complain("mask");
        }
        match.negated = take("!=") || match.negated;
        take("==");
        values(match);
        out.matches.push_back(std::move(match));
    }

    Column column() {
        const std::string first = next();
        if (first.starts_with('@')) {
            Column out{first.substr(0, 3)};
            std::istringstream in(first.substr(4));
            char comma = 0;
            in >> out.offset >> comma >> out.bits;
            return out;
        }
        Column out{first + " " + next()};
        if (out.name == "arp saddr" || out.name == "arp daddr") {
            out.name += " " + next();
        } else if (out.name == "tcp option") {
            out.offset = static_cast<std::size_t>(std::stoul(next()));
        }
        return out;
    }

    void values(Match& match) {
        const std::string& name = match.columns.front().name;
        const auto one = [&](std::uint64_t first, std::uint64_t last) {
            match.values.push_back({{word(first), word(last)}});
        };
        if (take("exists") || take("missing")) {
            const std::uint64_t is = tokens_[at_ - 1] == "exists" ? 1 : 0;
            one(is, is);
        } else if (name == "ct state") {
            const std::string states = "," + next() + ",";
            constexpr std::array<std::pair<std::string_view, unsigned>, 4> kStates{
                {{",invalid,", 1}, {",established,", 2}, {",related,", 4}, {",new,", 8}}};
            for (const auto& [state, bit] : kStates) {
                if (states.find(state) != std::string::npos) {
                    one(bit, bit);
                }
            }
        } else if (name == "ct direction") {
            const std::uint64_t reply = next() == "reply" ? 1 : 0;
            one(reply, reply);
        } else if (name == "ct count") {
            const bool over = take("over");
            const std::uint64_t limit = std::stoul(next());
            over ? one(limit + 1, 0xffffffff) : one(0, limit);
        } else if (at_ < tokens_.size() && tokens_[at_].starts_with('@')) {
            match.set = next().substr(1);
        } else if (take("{")) {
            while (!take("}") && problem_.empty()) {
                row(match);
            }
        } else {
            row(match);
        }
    }

    // "5" or "5 . 6", and a comma that belongs to the list.
    void row(Match& match) {
        std::vector<Span> spans;
        do {
            std::string token = next();
            if (token.ends_with(',')) {
                token.pop_back();
            }
            const auto span = parse_span(token);
            if (!span) {
                complain("'" + token + "'");
                return;
            }
            spans.push_back(*span);
        } while (take("."));
        match.values.push_back(std::move(spans));
    }

    const std::string& text_;
    const std::string& port_;
    std::string& problem_;
    std::vector<std::string> tokens_;
    std::size_t at_ = 0;
};

RulesEvaluator::RulesEvaluator(const kernel::Ruleset& rules, std::string_view port) : port_(port) {
    const auto found = rules.find(kernel::Family::bridge);
    if (found == rules.end()) {
        return;
    }
    const kernel::Table& table = found->second;
    for (const auto& [name, chain] : table.chains) {
        if (chain.hook && chain.hook->hook == "output") {
            continue;  // about what the host itself sends
        }
        if (name.starts_with("nwf_related") || name.starts_with("nwf_helpers") || name.starts_with("nwf_limited") ||
            name.starts_with("nwf_timeouts")) {
            continue;  // decides nothing
        }
        for (const std::string& text : chain.rules) {
            chains_[name].push_back(Parser(text, port_, problem_).rule());
        }
        if (chain.hook) {
            auto& bases = name.starts_with("nwf_ahead") ? ahead_ : chain.hook->hook == "prerouting" ? before_ : behind_;
            bases.emplace_back(chain.hook->priority, name);
        }
    }
    std::ranges::sort(before_);
    std::ranges::sort(ahead_);
    std::ranges::sort(behind_);
    for (const auto& [name, elements] : table.elements) {
        for (const auto& [key, element] : elements) {
            if (!element.data.empty()) {
                jumps_[name] = element.data.substr(std::string_view("jump ").size());
                continue;
            }
            std::vector<Word> row;
            std::istringstream in(key);
            std::string part;
            if (name.starts_with("nwf_ahead")) {
                in >> part >> part >> part;  // bridge and MAC address
            }
            while (in >> part) {
                const auto span = part == "." || part == port_ ? std::nullopt : parse_span(part);
                if (span && table.sets.at(name).intervals) {
                    shared_[name].push_back(*span);
                } else if (span) {
                    row.push_back(span->first);
                }
            }
            rows_[name].insert(std::move(row));
        }
    }
}

bool RulesEvaluator::holds(const Match& match, const Frame& frame) const {
    std::vector<Word> loaded;
    for (const Column& column : match.columns) {
        auto value = load(column, frame);
        if (!value) {
            return false;
        }
        for (std::size_t i = 0; i < value->size(); ++i) {
            (*value)[i] &= match.mask[i];
        }
        loaded.push_back(*value);
    }
    const auto within = [](const Span& span, const Word& value) { return span.first <= value && value <= span.second; };
    bool found = false;
    if (match.set.empty()) {
        found = std::ranges::any_of(
            match.values, [&](const std::vector<Span>& spans) { return std::ranges::equal(spans, loaded, within); });
    } else if (const auto shared = shared_.find(match.set); shared != shared_.end()) {
        found = std::ranges::any_of(shared->second, [&](const Span& span) { return within(span, loaded.front()); });
    } else if (const auto rows = rows_.find(match.set); rows != rows_.end()) {
        found = rows->second.contains(loaded);
    }
    return found != match.negated;
}

RulesEvaluator::Verdict RulesEvaluator::run(const std::string& chain, const Frame& frame) const {
    const auto rules = chains_.find(chain);
    if (rules == chains_.end()) {
        return Verdict::none;
    }
    for (const Rule& rule : rules->second) {
        if (!std::ranges::all_of(rule.matches, [&](const Match& match) { return holds(match, frame); })) {
            continue;
        }
        std::string to = rule.jump;
        if (!rule.map.empty()) {
            const auto jump = jumps_.find(rule.map);
            to = jump == jumps_.end() ? "" : jump->second;
        }
        const Verdict verdict = to.empty() ? rule.verdict : run(to, frame);
        if (!to.empty() && verdict == Verdict::leave) {
            continue;
        }
        if (verdict != Verdict::none) {
            return verdict;
        }
    }
    return Verdict::none;
}

bool RulesEvaluator::passes(ByteView bytes, bool out, const reference::Tracked& tracked) const {
    const Frame frame(bytes, tracked);
    const auto drops = [&](const auto& base) { return run(base.second, frame) == Verdict::drop; };
    return std::ranges::none_of(out ? before_ : behind_, drops);
}

bool RulesEvaluator::passes_ahead(ByteView bytes, const reference::Tracked& tracked) const {
    const Frame frame(bytes, tracked);
    return std::ranges::none_of(ahead_, [&](const auto& base) { return run(base.second, frame) == Verdict::drop; });
}

}  // namespace bascule::nwfilter
