// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/ruleset.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

namespace bascule::kernel {

namespace {

using TimePoint = std::chrono::steady_clock::time_point;

// The kernel takes names of up to 127 bytes (NFT_NAME_MAXLEN); people have to read them.
constexpr std::size_t kMaxStem = 48;
// nft 1.0.6 takes at most 8 digits for each unit of a time (src/datatype.c, time_parse).
constexpr std::int64_t kMaxSeconds = 99'999'999;

// FNV-1a. Names need not withstand forgery: whoever can choose the content of our rules owns the host.
class Hash {
public:
    void add(std::string_view text) {
        for (const char c : text) {
            byte(static_cast<unsigned char>(c));
        }
        byte(0);  // so that {"ab", "c"} is not {"a", "bc"}
    }
    std::uint64_t value() const { return hash_; }

private:
    void byte(unsigned char b) { hash_ = (hash_ ^ b) * 0x100000001b3U; }

    std::uint64_t hash_ = 0xcbf29ce484222325U;
};

std::string hook_text(const Hook& hook) {
    const std::string device = hook.device.empty() ? std::string() : fmt::format(" device \"{}\"", hook.device);
    return fmt::format("type {} hook {}{} priority {}; policy {};", hook.type, hook.hook, device, hook.priority,
                       hook.policy);
}

// Objects that rules call by name are sets here, without elements: their key says what they are, their statement what
// they do, and their name begins so that it can be told when they go.
struct ObjectKind {
    std::string_view kind, names;
};
constexpr std::array<ObjectKind, 2> kObjects{{{"ct helper", "helper_"}, {"ct timeout", "timeout_"}}};
bool is_object(const SetDef& set) { return std::ranges::find(kObjects, set.key, &ObjectKind::kind) != kObjects.end(); }
std::string_view kind_named(std::string_view name) {
    const auto kind =
        std::ranges::find_if(kObjects, [name](const ObjectKind& object) { return name.starts_with(object.names); });
    return kind == kObjects.end() ? "set" : kind->kind;  // maps, too
}

std::string_view kind_of(const SetDef& set) {
    return is_object(set) ? std::string_view(set.key) : set.data.empty() ? "set" : "map";
}

// With bytes among the columns nft wants every column as an expression of that type.
std::string columns_text(const std::string& key) {
    if (!key.contains('@')) {
        return "type " + key;
    }
    static const std::map<std::string_view, std::string_view> kOfType{{"ifname", "iifname"},
                                                                      {"ether_addr", "ether saddr"},
                                                                      {"ipv4_addr", "ip saddr"},
                                                                      {"ipv6_addr", "ip6 saddr"},
                                                                      {"inet_service", "th dport"}};
    std::string out;
    for (const std::string_view column : fields_of_element(key)) {
        const auto found = kOfType.find(column);
        out += fmt::format("{}{}", out.empty() ? "typeof " : " . ", found == kOfType.end() ? column : found->second);
    }
    return out;
}

std::string type_text(const SetDef& set) {
    if (is_object(set)) {
        return set.statement;
    }
    std::string out =
        set.data.empty() ? columns_text(set.key) : fmt::format("{} : {}", columns_text(set.key), set.data);
    return set.statement.empty() ? out : fmt::format("{}; {}", out, set.statement);
}

std::string flags_text(const SetDef& set) {
    if (!set.timeouts && !set.intervals) {
        return {};
    }
    return fmt::format("flags {}{}{}", set.intervals ? "interval" : "", set.timeouts && set.intervals ? "," : "",
                       set.timeouts ? "timeout" : "");
}

// Both definitions of a set's types, empty when the batch does not know the set.
SetDef definition(const RuleBatch& batch, Family family, const std::string& set) {
    const auto in = [&set](const std::map<std::string, SetDef>& sets) -> const SetDef* {
        const auto found = sets.find(set);
        return found == sets.end() ? nullptr : &found->second;
    };
    const SetDef* def = nullptr;
    if (const auto table = batch.add.find(family); table != batch.add.end()) {
        def = in(table->second.sets);
    }
    if (const auto types = batch.types.find(family); def == nullptr && types != batch.types.end()) {
        def = in(types->second);
    }
    return def == nullptr ? SetDef{} : *def;
}

// Writes the commands of one batch.
class Script {
public:
    Script(const RuleBatch& batch, TimePoint now) : batch_(batch), now_(now) {}

    std::string text() {
        for (const auto& [family, removal] : batch_.remove) {
            if (removal.whole_table) {
                line("add table {} bascule", family);  // deleting an absent one would be an error
                line("delete table {} bascule", family);
            }
        }
        for (const Family family : {Family::inet, Family::bridge, Family::netdev}) {
            const auto add = batch_.add.find(family);
            const auto remove = batch_.remove.find(family);
            if (add == batch_.add.end() && remove == batch_.remove.end()) {
                continue;
            }
            if (add != batch_.add.end() || !remove->second.whole_table) {
                line("add table {} bascule", family);
            }
            if (add != batch_.add.end()) {
                make(family, add->second);
            }
            if (remove != batch_.remove.end()) {
                remove_elements(family, remove->second);
            }
            if (add != batch_.add.end()) {
                add_elements(family, add->second);
            }
            if (remove != batch_.remove.end()) {
                drop(family, remove->second);
            }
        }
        return std::move(out_);
    }

private:
    template <class... Args>
    void line(fmt::format_string<std::string_view, const Args&...> format, Family family, const Args&... args) {
        fmt::format_to(std::back_inserter(out_), format, name_of(family), args...);
        out_ += '\n';
    }

    // Chains before their rules, so that they may refer to each other.
    void make(Family family, const Table& table) {
        for (const auto& [name, chain] : table.chains) {
            if (chain.hook) {
                line("add chain {} bascule {} {{ {} }}", family, name, hook_text(*chain.hook));
            } else {
                line("add chain {} bascule {}", family, name);
            }
            line("flush chain {} bascule {}", family, name);
        }
        for (const auto& [name, set] : table.sets) {
            const std::string flags = flags_text(set);
            line("add {1} {0} bascule {2} {{ {3};{4} }}", family, kind_of(set), name, type_text(set),
                 flags.empty() ? flags : " " + flags + ";");
        }
        for (const auto& [name, chain] : table.chains) {
            for (const std::string& rule : chain.rules) {
                line("add rule {} bascule {} {}", family, name, rule);
            }
        }
    }

    // A timed element may expire between observation and transaction, and deleting an absent one fails: it
    // is added first, which is nothing when it is there. (Maps would need the value for that.)
    void remove_elements(Family family, const RuleBatch::Removal& removal) {
        for (const auto& [set, keys] : removal.elements) {
            if (keys.empty() || removal.whole_table) {
                continue;
            }
            const SetDef def = definition(batch_, family, set);
            std::string list;
            for (const std::string& key : keys) {
                list += (list.empty() ? "" : ", ") + quoted(def.key, key);
            }
            if (def.timeouts && def.data.empty()) {
                line("add element {} bascule {} {{ {} }}", family, set, list);
            }
            line("delete element {} bascule {} {{ {} }}", family, set, list);
        }
    }

    void add_elements(Family family, const Table& table) {
        for (const auto& [set, elements] : table.elements) {
            const SetDef def = definition(batch_, family, set);
            std::string list;
            for (const auto& [key, element] : elements) {
                if (element.expires && *element.expires <= now_) {
                    continue;
                }
                list += (list.empty() ? "" : ", ") + quoted(def.key, key);
                if (element.expires) {
                    list += timeout_text(*element.expires);
                }
                if (!element.data.empty()) {
                    list += " : " + quoted(def.data, element.data);
                }
            }
            if (!list.empty()) {
                line("add element {} bascule {} {{ {} }}", family, set, list);
            }
        }
    }

    std::string timeout_text(TimePoint expires) const {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(expires - now_);
        const std::int64_t seconds = std::min<std::int64_t>(left.count() / 1000, kMaxSeconds);
        return fmt::format(" timeout {}s{}ms", seconds, left.count() % 1000);
    }

    // Rules first, since they refer to chains and sets; then sets, since elements of maps refer to chains.
    void drop(Family family, const RuleBatch::Removal& removal) {
        if (removal.whole_table) {
            return;
        }
        for (const std::string& chain : removal.chains) {
            line("flush chain {} bascule {}", family, chain);
        }
        for (const std::string& set : removal.sets) {
            line("delete {1} {0} bascule {2}", family, kind_named(set), set);
        }
        for (const std::string& chain : removal.chains) {
            line("delete chain {} bascule {}", family, chain);
        }
    }

    const RuleBatch& batch_;
    TimePoint now_;
    std::string out_;
};

std::string dump_set(const std::string& name, const SetDef& set, const Table& table) {
    std::string out = fmt::format("\t{} {} {{\n\t\t{}\n", kind_of(set), name, type_text(set));
    if (const std::string flags = flags_text(set); !flags.empty()) {
        out += "\t\t" + flags + "\n";
    }
    const auto elements = table.elements.find(name);
    if (elements != table.elements.end() && !elements->second.empty()) {
        out += "\t\telements = {\n";
        for (const auto& [key, element] : elements->second) {
            out += "\t\t\t" + quoted(set.key, key);
            out += element.data.empty() ? "" : " : " + quoted(set.data, element.data);
            out += ",";
            if (element.expires) {
                const auto at = std::chrono::floor<std::chrono::seconds>(element.expires->time_since_epoch());
                out += fmt::format("  # expires at {} s", at.count());
            }
            out += "\n";
        }
        out += "\t\t}\n";
    }
    return out + "\t}\n";
}

std::string dump_chain(const std::string& name, const Chain& chain) {
    std::string out = fmt::format("\tchain {} {{\n", name);
    if (chain.hook) {
        out += "\t\t" + hook_text(*chain.hook) + "\n";
    }
    for (const std::string& rule : chain.rules) {
        out += "\t\t" + rule + "\n";
    }
    return out + "\t}\n";
}

}  // namespace

std::vector<std::string_view> fields_of_element(std::string_view text) {
    constexpr std::string_view kJoin = " . ";
    std::vector<std::string_view> out;
    for (auto at = text.find(kJoin); at != std::string_view::npos; at = text.find(kJoin)) {
        out.push_back(text.substr(0, at));
        text.remove_prefix(at + kJoin.size());
    }
    out.push_back(text);
    return out;
}

std::string_view name_of(Family family) {
    switch (family) {
        case Family::inet: return "inet";
        case Family::bridge: return "bridge";
        case Family::netdev: return "netdev";
    }
    return {};
}

std::string chain_name(std::string_view stem, const Chain& chain) {
    Hash hash;
    if (chain.hook) {
        hash.add(hook_text(*chain.hook));
    }
    for (const std::string& rule : chain.rules) {
        hash.add(rule);
    }
    return fmt::format("{}_{:016x}", stem.substr(0, kMaxStem), hash.value());
}

const RuleTexts::Texts& RuleTexts::all() const {
    static const Texts kNone;
    return texts_ ? *texts_ : kNone;
}

RuleTexts::Texts& RuleTexts::own() {
    if (!texts_ || texts_.use_count() > 1) {
        texts_ = std::make_shared<Texts>(all());
    }
    return *texts_;
}

std::string Table::add_chain(std::string_view stem, Chain chain) {
    std::string name = chain_name(stem, chain);
    chains.insert_or_assign(name, std::move(chain));
    return name;
}

void merge(Ruleset& into, Ruleset from) {
    for (auto& [family, table] : from) {
        Table& target = into[family];
        target.sets.merge(table.sets);
        target.chains.merge(table.chains);
        for (auto& [set, elements] : table.elements) {
            target.elements[set].merge(elements);
        }
    }
}

std::string quoted(std::string_view type, std::string_view text) {
    const auto types = fields_of_element(type);
    const auto parts = fields_of_element(text);
    std::string out;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool name = i < types.size() && types[i] == "ifname";
        out += i == 0 ? "" : " . ";
        out += name ? fmt::format("\"{}\"", parts[i]) : std::string(parts[i]);
    }
    return out;
}

std::string render(const RuleBatch& batch, TimePoint now) { return Script(batch, now).text(); }

std::string dump(const Ruleset& ruleset) {
    std::string out;
    for (const auto& [family, table] : ruleset) {
        out += fmt::format("table {} bascule {{\n", name_of(family));
        for (const auto& [name, set] : table.sets) {
            out += dump_set(name, set, table);
        }
        for (const auto& [name, chain] : table.chains) {
            out += dump_chain(name, chain);
        }
        out += "}\n";
    }
    return out;
}

}  // namespace bascule::kernel
