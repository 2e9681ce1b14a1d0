// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/classes.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "nwfilter/compile.h"
#include "nwfilter/conditions.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "nwfilter/protocols.h"
#include "nwfilter/render.h"
#include "nwfilter/variables.h"

namespace bascule::nwfilter {

namespace {

namespace policy = kernel::policy;

// Parameters that say how addresses are learned, whether or not a rule has them.
constexpr std::array<std::string_view, 3> kLearning{"CTRL_IP_LEARNING", "DHCPSERVER", "DHCPSERVERV6"};

// So that two lists of texts never look like each other.
void put(std::string& out, std::string_view text) {
    fmt::format_to(std::back_inserter(out), "{}:{}", text.size(), text);
}
void put(std::string& out, const std::vector<std::string>& texts) {
    fmt::format_to(std::back_inserter(out), "{}=", texts.size());
    for (const std::string& text : texts) {
        put(out, text);
    }
}

// What of a port, without the values of look-ups, makes its class. Which values those are is known of ports that are
// alike so far, for it follows from this.
std::string shape_of(const Port& port, const Parameters& parameters) {
    std::string out = port.bridge ? "bridge " : "";
    for (const auto& [name, values] : parameters) {
        put(out, name);
        if (std::ranges::find(kLearning, name) == kLearning.end()) {
            fmt::format_to(std::back_inserter(out), "{} ", values.size());
        } else {
            put(out, values);
        }
    }
    return out;
}

// Nets that lie in none of the others, since nft takes no overlaps.
std::vector<Prefix> outermost(const NamedSet& set, IpFamily family) {
    std::vector<Prefix> out;
    for (const Prefix& prefix : set) {
        const auto covers = [&](const Prefix& other) {
            return other.length < prefix.length && other.contains(prefix.network);
        };
        if (prefix.network.family() == family && std::ranges::none_of(set, covers)) {
            out.push_back(prefix);
        }
    }
    return out;
}

// The named sets, of both families, with their addresses.
Result<void> add_sets(const Compiled& compiled, const Abilities& abilities, kernel::Ruleset& rules) {
    for (const auto& [name, origin] : compiled.sets) {
        auto set = abilities.sets ? abilities.sets(name)
                                  : Result<NamedSet>(fail(Code::invalid_argument, "there is no set of that name"));
        if (!set) {
            return std::unexpected(std::move(set).error().in(fmt::format("{}: ipset '{}'", origin, name)));
        }
        kernel::Table& table = rules[kernel::Family::bridge];
        for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
            const std::string key = named_set(name, family == IpFamily::v6);
            table.sets[key] = {
                .key = family == IpFamily::v4 ? "ipv4_addr" : "ipv6_addr", .data = {}, .intervals = true};
            for (const Prefix& prefix : outermost(*set, family)) {
                const bool whole = prefix.length == prefix.network.bits();
                table.elements[key][whole ? format(prefix.network) : format(prefix)] = {};
            }
        }
    }
    return {};
}

// Chains' names stand for their content, and sets' for their definition.
std::string name_of(const Common& common) {
    kernel::Chain lines;
    for (const auto& [family, table] : common.rules) {
        for (const auto& [name, chain] : table.chains) {
            lines.rules.push_back(fmt::format("{} {}", name_of(family), name));
        }
        for (const auto& [name, set] : table.sets) {
            lines.rules.push_back(fmt::format("{} set {}", name_of(family), name));
        }
        for (const auto& [set, elements] : table.elements) {
            for (const auto& [key, element] : elements) {
                lines.rules.push_back(fmt::format("{} {} {} : {}", name_of(family), set, key, element.data));
            }
        }
    }
    for (const auto& [key, value] : common.sysctls) {
        lines.rules.push_back(key + " = " + value);
    }
    for (const auto& [kind, names] : {std::pair{"filter", &common.filters}, std::pair{"set", &common.sets}}) {
        for (const std::string& name : *names) {
            lines.rules.push_back(fmt::format("{} {}", kind, name));
        }
    }
    lines.rules.push_back(common.learns_ip ? "learns" : "");
    return kernel::chain_name("filters", lines);
}

// A set that has the port itself, and what for.
struct Entry {
    std::string set, data;
    bool ahead = false;
};

// Takes the port's elements out of the rules. False: there is one of which it is not known how another port's looks.
bool split(kernel::Ruleset& rules, const Port& port, const std::vector<RowSet>& sets, kernel::Ruleset& elements,
           std::vector<Entry>& entries) {
    bool known = true;
    for (auto& [family, table] : rules) {
        for (const auto& [set, keys] : table.elements) {
            if (std::ranges::find(sets, set, &RowSet::set) != sets.end()) {
                continue;
            }
            for (const auto& [key, element] : keys) {
                const bool ahead = port.bridge && key == element_of(port, true);
                known = known && family == kernel::Family::bridge && (ahead || key == element_of(port, false));
                entries.push_back({set, element.data, ahead});
            }
        }
        if (!table.elements.empty()) {
            elements[family].elements = std::exchange(table.elements, {});
        }
    }
    return known;
}

// A variable of the tree: the attribute that it stands in, and which values of it.
using Use = std::tuple<std::uint8_t, std::string, std::optional<unsigned>>;

std::set<Use> uses_of(const Flat& flat) {
    std::set<Use> out;
    for (const FlatRule& rule : flat.rules) {
        for (const Attribute& attribute : rule.rule->attributes) {
            if (const auto* const variable = std::get_if<Variable>(&attribute.value)) {
                out.emplace(attribute.row, variable->name, variable->element);
            }
        }
    }
    return out;
}

// The values that a variable stands for; none: one of them is not of the type.
std::optional<std::vector<Value>> values_of(std::uint8_t attribute, const std::vector<std::string>& texts,
                                            std::optional<unsigned> element) {
    std::vector<Value> out;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        if (i != element.value_or(static_cast<unsigned>(i))) {
            continue;
        }
        auto value = parse_value(row(attribute), texts[i]);
        if (!value) {
            return std::nullopt;
        }
        out.push_back(*std::move(value));
    }
    return out;
}

}  // namespace

struct Classes::Class {
    std::shared_ptr<const Common> common;
    std::map<std::string, TableDef> tables;
    std::map<std::string, std::set<std::vector<Column>>> columns;
    std::map<std::string, std::set<AwaitingRow>> awaiting;
    std::optional<std::pair<std::string, std::string>> own_address;
    std::vector<RowSet> sets;
    std::vector<Entry> entries;
    std::optional<Learning> learning;
    std::optional<Copies> copies;

    // None: a value is not what its attribute needs.
    std::optional<Member> member(const Port& port, const Parameters& parameters) const {
        policy::Tables rows;
        for (const auto& [table, lists] : columns) {
            for (const std::vector<Column>& list : lists) {
                if (!add(list, parameters, rows[table])) {
                    return std::nullopt;
                }
            }
        }
        auto waiting = awaiting;
        if (own_address) {
            waiting.erase(std::string(kOwnAddress));  // has the other port's MAC
            fill_own_address(*own_address, rows, waiting);
        }
        kernel::Table table;
        for (const RowSet& set : sets) {
            if (const auto found = rows.find(set.table); found != rows.end() && !found->second.empty()) {
                add_rows(tables.at(set.table), found->second, element_of(port, set.ahead), table.elements[set.set]);
            }
        }
        for (const Entry& entry : entries) {
            table.elements[entry.set].emplace(element_of(port, entry.ahead), kernel::Element{entry.data, {}});
        }
        Member out{.common = common,
                   .elements = {},
                   .learned = learned_sets(sets, tables, waiting, port),
                   .learning = learning};
        if (!table.empty()) {
            out.elements.emplace(kernel::Family::bridge, std::move(table));
        }
        if (copies) {
            kernel::merge(out.elements, copied(*copies, *learning, port.ifname, port.mac));
        }
        return out;
    }

private:
    static bool add(const std::vector<Column>& list, const Parameters& parameters, std::set<policy::Row>& to) {
        std::vector<policy::Row> rows;
        for (const Column& column : list) {
            const auto values = values_of(column.row, parameters.at(column.name), column.element);
            if (!values || (!rows.empty() && rows.size() != values->size())) {
                return false;
            }
            rows.resize(values->size());
            for (std::size_t i = 0; i < rows.size(); ++i) {
                rows[i].push_back(field_value(column.field, (*values)[i]));
            }
        }
        to.insert(std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
        return true;
    }
};

struct Classes::Tree {
    Flat flat;
    std::set<Use> uses;
    // Ports of one shape, by the values that stand in the policy.
    struct Shape {
        std::set<std::string> in_place;
        bool named = false;  // rules know the port by its name
        std::map<std::string, Class> classes;

        std::string key(const Port& port, const Parameters& parameters) const {
            std::string out;
            for (const std::string& name : in_place) {
                put(out, parameters.at(name));
            }
            if (named) {
                put(out, element_of(port, false));
                put(out, port.bridge ? element_of(port, true) : "");
            }
            return out;
        }
    };
    std::map<std::string, Shape> shapes;

    // Values that only a rule which says nothing has must be of its type all the same.
    bool can_read(const Shape& shape, const Parameters& parameters) const {
        return std::ranges::all_of(uses, [&](const Use& use) {
            const auto& [attribute, name, element] = use;
            const auto own = parameters.find(name);
            return own == parameters.end() || shape.in_place.contains(name) ||
                   values_of(attribute, own->second, element).has_value();
        });
    }
};

Classes::Classes(const Lookup& lookup, const Abilities& abilities, const kernel::Ruleset& known)
    : lookup_(lookup), abilities_(abilities), known_(known) {}
Classes::~Classes() = default;

Result<Member> Classes::attach(const Port& port) {
    std::unique_ptr<Tree>& tree = trees_[port.filter];
    if (!tree) {
        TRY(Flat flat, flatten(port.filter, lookup_));
        std::set<Use> uses = uses_of(flat);
        tree = std::make_unique<Tree>(Tree{std::move(flat), std::move(uses), {}});
    }
    auto values = PortValues::of(port);
    if (!values) {
        return std::unexpected(std::move(values).error().in("filter " + port.filter));
    }
    const std::string shape = shape_of(port, values->parameters());
    if (const auto alike = tree->shapes.find(shape); alike != tree->shapes.end()) {
        const auto found = alike->second.classes.find(alike->second.key(port, values->parameters()));
        if (found != alike->second.classes.end() && tree->can_read(alike->second, values->parameters())) {
            if (auto member = found->second.member(port, values->parameters())) {
                return *std::move(member);
            }
        }
    }
    return compile(*tree, port, shape, values->parameters());
}

Result<Member> Classes::compile(Tree& tree, const Port& port, const std::string& shape, const Parameters& parameters) {
    ++compiled_;
    auto compiled = nwfilter::compile(tree.flat, port, Values::tables);
    if (!compiled) {
        return std::unexpected(std::move(compiled).error().in("filter " + port.filter));
    }
    if (!compiled->tracked_by.empty() && !abilities_.tracking) {
        return fail(Code::unsupported_config,
                    fmt::format("filter {}: {} tracks connections, which this kernel cannot do between the ports of a "
                                "bridge (nf_conntrack_bridge is missing); load the module, or write statematch='false' "
                                "or state='NONE'",
                                port.filter, compiled->tracked_by));
    }
    fold(*compiled);
    Class made;
    made.sets = row_sets(*compiled, port, abilities_);
    Member out;
    Common common;
    common.rules = render(*compiled, port, abilities_);
    const bool shared = split(common.rules, port, made.sets, out.elements, made.entries);
    TRY_OK(add_sets(*compiled, abilities_, common.rules));
    for (const auto& [name, origin] : compiled->sets) {
        common.sets.insert(name);
    }
    common.learns_ip = compiled->learns_ip;
    if (compiled->limits_icmp) {
        // An ended ping holds its place until its connection is forgotten. nft knows time-outs of TCP and UDP only.
        for (const char* const family : {"icmp", "icmpv6"}) {
            common.sysctls[fmt::format("net/netfilter/nf_conntrack_{}_timeout", family)] = "3";
        }
    }
    common.filters = tree.flat.filters;
    out.learned = learned_sets(made.sets, compiled->tables, compiled->awaiting, port);
    if (!out.learned.empty()) {
        TRY(out.learning, learning_of(port.parameters));
        for (const LearnedSet& set : out.learned) {
            (set.family == IpFamily::v4 ? out.learning->v4 : out.learning->v6) = true;
        }
        made.copies = copies(*out.learning);
        kernel::merge(common.rules, {{kernel::Family::bridge, made.copies->table}});
        kernel::merge(out.elements, copied(*made.copies, *out.learning, port.ifname, port.mac));
    }
    out.common = made.common = held(std::move(common));
    if (shared) {
        made.learning = out.learning;
        made.tables = std::move(compiled->tables);
        made.columns = std::move(compiled->columns);
        made.awaiting = std::move(compiled->awaiting);
        made.own_address = std::move(compiled->own_address);
        Tree::Shape& alike = tree.shapes[shape];
        alike.in_place = std::move(compiled->in_place);
        alike.named = compiled->limits;
        alike.classes.insert_or_assign(alike.key(port, parameters), std::move(made));
    }
    return out;
}

// The same as one that there is, or with rules whose texts are those of the same chains elsewhere.
std::shared_ptr<const Common> Classes::held(Common common) {
    common.name = name_of(common);
    auto& held = commons_[common.name];
    if (held) {
        return held;
    }
    for (auto& [family, table] : common.rules) {
        const auto others = known_.find(family);
        for (auto& [name, chain] : table.chains) {
            if (others != known_.end() && others->second.chains.contains(name)) {
                chain.rules = others->second.chains.at(name).rules;
            } else {
                chain.rules = texts_.try_emplace(name, chain.rules).first->second;
            }
        }
    }
    held = std::make_shared<const Common>(std::move(common));
    return held;
}

}  // namespace bascule::nwfilter
