// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/nwfilter/reference.h"

#include <algorithm>

#include "nwfilter/protocols.h"
#include "tests/nwfilter/frame_view.h"

namespace bascule::nwfilter::reference {

namespace {

// ---- instances -----------------------------------------------------------------------------------------

bool add_instances(const Rule& rule, const Filter& filter, const Parameters& values, std::vector<Instance>& to) {
    struct Place {
        std::size_t attribute;
        unsigned wheel;  // those of one wheel turn together
        std::vector<std::string> values;
    };
    std::vector<Place> places;
    std::map<unsigned, std::size_t> wheels;
    unsigned elements = 100000;
    for (std::size_t i = 0; i < rule.attributes.size(); ++i) {
        const auto* const variable = std::get_if<Variable>(&rule.attributes[i].value);
        if (variable == nullptr) {
            continue;
        }
        const auto found = values.find(variable->name);
        if (found == values.end() || found->second.empty()) {
            return false;
        }
        Place place{i, variable->iterator, found->second};
        if (variable->element) {
            if (*variable->element >= found->second.size()) {
                return false;
            }
            place = {i, ++elements, {found->second[*variable->element]}};
        }
        const auto [wheel, fresh] = wheels.emplace(place.wheel, place.values.size());
        if (!fresh && wheel->second != place.values.size()) {
            return false;
        }
        places.push_back(std::move(place));
    }
    std::map<unsigned, std::size_t> at;
    for (;;) {
        Instance instance{&rule, filter.chain, filter.priority, rule.attributes};
        for (const Place& place : places) {
            auto value = parse_value(row(rule.attributes[place.attribute].row), place.values[at[place.wheel]]);
            if (!value) {
                return false;
            }
            instance.attributes[place.attribute].value = *value;
        }
        to.push_back(std::move(instance));
        auto wheel = wheels.begin();
        for (; wheel != wheels.end(); ++wheel) {
            if (++at[wheel->first] < wheel->second) {
                break;
            }
            at[wheel->first] = 0;
        }
        if (wheel == wheels.end()) {
            return true;
        }
    }
}

bool flatten(const Filter& filter, const Parameters& outer, const Parameters& port, const Lookup& lookup,
             std::vector<Instance>& to) {
    for (const auto& entry : filter.entries) {
        if (const auto* const rule = std::get_if<Rule>(&entry)) {
            Parameters values = outer;
            for (const auto& [name, list] : port) {
                values[name] = list;
            }
            if (!add_instances(*rule, filter, values, to)) {
                return false;
            }
            continue;
        }
        const auto& reference = std::get<Reference>(entry);
        const Filter* const inner = lookup(reference.filter);
        Parameters values = reference.parameters;
        for (const auto& [name, list] : outer) {
            values[name] = list;
        }
        if (inner == nullptr || !flatten(*inner, values, port, lookup, to)) {
            return false;
        }
    }
    return true;
}

// Octets in network order.
struct Address {
    std::array<std::uint8_t, 16> octets{};
    auto operator<=>(const Address&) const = default;
};

// ---- one attribute -------------------------------------------------------------------------------------

struct Asked {
    const Instance& instance;
    const View& view;
    const Tracked& tracked;
    bool reversed;

    const Attribute* other(std::string_view name) const {
        for (const Attribute& attribute : instance.attributes) {
            if (row(attribute.row).name == name) {
                return &attribute;
            }
        }
        return nullptr;
    }

    // The other name of what this one is called in a frame that goes the other way.
    std::string turned(std::string name) const {
        if (!reversed) {
            return name;
        }
        for (const std::string_view word : {"src", "dst"}) {
            const auto at = name.find(word);
            if (at != std::string::npos) {
                return name.replace(at, 3, word == "src" ? "dst" : "src");
            }
        }
        return name;
    }

    static std::uint64_t number_of(const Value& value) { return std::get<Number>(value).value; }

    // lo <= field <= hi, where hi is the attribute of that name.
    std::optional<bool> range(Bits field, const Attribute& attribute, std::string_view end) const {
        if (!field) {
            return {};
        }
        const Attribute* const high = end.empty() ? nullptr : other(end);
        const std::uint64_t first = number_of(attribute.value), last = high ? number_of(high->value) : first;
        return first <= *field && *field <= last;
    }

    std::optional<bool> mac(std::size_t at, const Attribute& attribute, std::string_view mask_name) const {
        const Bits field = view.number(at, 6);
        if (!field) {
            return {};
        }
        const auto bits = [](const Value& value) {
            std::uint64_t out = 0;
            for (const std::uint8_t octet : std::get<MacAddr>(value).octets) {
                out = out * 256 + octet;
            }
            return out;
        };
        const Attribute* const mask = mask_name.empty() ? nullptr : other(mask_name);
        const std::uint64_t keep = mask ? bits(mask->value) : 0xffffffffffffU;
        return (*field & keep) == (bits(attribute.value) & keep);
    }

    std::optional<bool> address(std::size_t at, unsigned octets, const Attribute& attribute,
                                std::string_view mask_name) const {
        if (!view.number(at + octets - 1, 1)) {
            return {};
        }
        const Ip& wanted = std::get<Ip>(attribute.value);
        const Attribute* const mask = mask_name.empty() ? nullptr : other(mask_name);
        std::uint64_t left = mask ? number_of(mask->value) : octets * 8;
        for (unsigned i = 0; i < octets && left != 0; ++i) {
            const std::uint64_t here = std::min<std::uint64_t>(left, 8);
            const unsigned shift = 8 - static_cast<unsigned>(here);
            if (*view.number(at + i, 1) >> shift != static_cast<std::uint64_t>(wanted.octets()[i] >> shift)) {
                return false;
            }
            left -= here;
        }
        return true;
    }

    std::optional<bool> between(std::size_t at, unsigned octets, const Attribute& from, std::string_view to) const {
        if (!view.number(at + octets - 1, 1)) {
            return {};
        }
        Address here, first, last;
        const Attribute* const end = other(to);
        for (unsigned i = 0; i < octets; ++i) {
            here.octets[i] = static_cast<std::uint8_t>(*view.number(at + i, 1));
            first.octets[i] = std::get<Ip>(from.value).octets()[i];
            last.octets[i] = end ? std::get<Ip>(end->value).octets()[i] : first.octets[i];
        }
        return first <= here && here <= last;
    }

    std::optional<bool> ask(const Attribute& attribute) const;
    std::optional<bool> ask_stp(const std::string& name, const Attribute& attribute) const;
    std::optional<bool> ask_arp(const std::string& name, const Attribute& attribute) const;
    std::optional<bool> ask_ip(const std::string& name, const Attribute& attribute) const;
};

std::optional<bool> Asked::ask_stp(const std::string& name, const Attribute& attribute) const {
    if (!view.bpdu()) {
        return {};
    }
    const std::size_t at = view.network;
    if (name == "type") {
        return range(view.number(at + 6, 1), attribute, "");
    }
    if (view.number(at + 6, 1) != 0U || !view.number(at + 37, 1)) {
        return {};
    }
    struct Field {
        std::string_view name;
        std::size_t offset, size;
    };
    constexpr std::array<Field, 9> kNumbers{{{"flags", 7, 1},
                                             {"root-priority", 8, 2},
                                             {"root-cost", 16, 4},
                                             {"sender-priority", 20, 2},
                                             {"port", 28, 2},
                                             {"age", 30, 2},
                                             {"max-age", 32, 2},
                                             {"hello-time", 34, 2},
                                             {"forward-delay", 36, 2}}};
    for (const Field& field : kNumbers) {
        if (field.name == name) {
            return range(view.number(at + field.offset, field.size), attribute, name + "-hi");
        }
    }
    return name == "root-address" ? mac(at + 10, attribute, "root-address-mask")
                                  : mac(at + 22, attribute, "sender-address-mask");
}

std::optional<bool> Asked::ask_arp(const std::string& name, const Attribute& attribute) const {
    const std::size_t at = view.network;
    if (!view.number(at + 7, 1)) {
        return {};
    }
    if (name == "hwtype" || name == "protocoltype" || name == "opcode") {
        return range(view.number(at + (name == "hwtype" ? 0 : name == "protocoltype" ? 2 : 6), 2), attribute, "");
    }
    if (!view.plain_arp()) {
        return {};
    }
    if (name == "gratuitous") {
        const bool same = view.number(at + 14, 4) == view.number(at + 24, 4);
        return same == std::get<bool>(attribute.value);
    }
    const std::string way = turned(name);
    if (way.ends_with("macaddr")) {
        return mac(way == "arpsrcmacaddr" ? at + 8 : at + 18, attribute, "");
    }
    return address(way == "arpsrcipaddr" ? at + 14 : at + 24, 4, attribute,
                   name == "arpsrcipaddr" ? "arpsrcipmask" : "arpdstipmask");
}

std::optional<bool> Asked::ask_ip(const std::string& name, const Attribute& attribute) const {
    const bool six = view.type() == 0x86dd;
    const std::size_t at = view.network;
    const unsigned octets = six ? 16 : 4;
    if (!view.number(at + (six ? 39 : 19), 1)) {
        return {};
    }
    const std::string way = turned(name);
    const std::size_t place = at + (six ? 8 : 12) + (way.starts_with("dst") ? octets : 0);
    if (name.ends_with("ipaddr")) {
        return address(place, octets, attribute, name == "srcipaddr" ? "srcipmask" : "dstipmask");
    }
    if (name.ends_with("ipfrom")) {
        return between(place, octets, attribute, name == "srcipfrom" ? "srcipto" : "dstipto");
    }
    if (name == "dscp") {
        return range(six ? *view.number(at, 2) / 64 % 64 : *view.number(at + 1, 1) / 4, attribute, "");
    }
    if (name == "protocol") {
        return view.protocol > 255 ? std::optional<bool>() : range(view.protocol, attribute, "");
    }
    if (name.ends_with("portstart")) {
        return view.has_ports() ? range(view.number(view.transport + (way.starts_with("dst") ? 2 : 0), 2), attribute,
                                        name == "srcportstart" ? "srcportend" : "dstportend")
                                : std::optional<bool>();
    }
    if (name == "ndtargetaddr") {
        const Bits type = view.number(view.transport, 1);
        const bool asked = view.transport != 0 && view.protocol == 58 && (type == 135U || type == 136U);
        return asked ? address(view.transport + 8, 16, attribute, "ndtargetmask") : std::optional<bool>();
    }
    if (name == "type" || name == "code") {
        const bool icmp = view.transport != 0 && view.protocol == (six ? 58U : 1U) && view.number(view.transport, 2);
        return icmp ? range(view.number(view.transport + (name == "code" ? 1 : 0), 1), attribute, name + "end")
                    : std::optional<bool>();
    }
    const bool tcp = view.protocol == 6 && view.transport != 0 && view.number(view.transport + 13, 1);
    if (name == "flags") {
        const auto& flags = std::get<TcpFlags>(attribute.value);
        return tcp ? std::optional((*view.number(view.transport + 13, 1) & flags.mask) == flags.set)
                   : std::optional<bool>();
    }
    // option: a header that is not whole has none
    return view.transport != 0 && view.protocol == 6
               ? std::optional(view.whole_tcp() && view.tcp_option(static_cast<unsigned>(number_of(attribute.value))))
               : std::optional<bool>();
}

std::optional<bool> Asked::ask(const Attribute& attribute) const {
    const std::string name{row(attribute.row).name};
    const Protocol protocol = instance.rule->protocol;
    if (name == "srcmacaddr" || name == "dstmacaddr") {
        return mac(turned(name) == "srcmacaddr" ? 6 : 0, attribute, name == "srcmacaddr" ? "srcmacmask" : "dstmacmask");
    }
    if (name == "connlimit-above") {
        return tracked.connections > number_of(attribute.value);
    }
    switch (protocol) {
        case Protocol::mac: return range(view.number(12, 2), attribute, "");
        case Protocol::vlan:
            return name == "vlanid" ? range(view.number(14, 2).value_or(0) % 4096, attribute, "")
                                    : range(view.number(16, 2), attribute, "");
        case Protocol::stp: return ask_stp(name, attribute);
        case Protocol::arp:
        case Protocol::rarp: return ask_arp(name, attribute);
        default: return ask_ip(name, attribute);
    }
}

// ---- one rule ------------------------------------------------------------------------------------------

bool is_frame_of(Protocol protocol, const View& view) {
    const auto ip = [&](unsigned type, unsigned transport) {
        return view.type() == type && (transport == 0 || view.protocol == transport);
    };
    switch (protocol) {
        case Protocol::any:
        case Protocol::mac: return true;
        case Protocol::vlan: return view.type() == 0x8100;
        case Protocol::stp: return view.number(0, 6) == 0x0180c2000000U;
        case Protocol::arp: return view.type() == 0x0806;
        case Protocol::rarp: return view.type() == 0x8035;
        case Protocol::ip:
        case Protocol::all: return ip(0x0800, 0);
        case Protocol::ipv6:
        case Protocol::all_ipv6: return ip(0x86dd, 0);
        case Protocol::tcp: return ip(0x0800, 6);
        case Protocol::udp: return ip(0x0800, 17);
        case Protocol::udplite: return ip(0x0800, 136);
        case Protocol::esp: return ip(0x0800, 50);
        case Protocol::ah: return ip(0x0800, 51);
        case Protocol::sctp: return ip(0x0800, 132);
        case Protocol::icmp: return ip(0x0800, 1);
        case Protocol::igmp: return ip(0x0800, 2);
        case Protocol::tcp_ipv6: return ip(0x86dd, 6);
        case Protocol::udp_ipv6: return ip(0x86dd, 17);
        case Protocol::udplite_ipv6: return ip(0x86dd, 136);
        case Protocol::esp_ipv6: return ip(0x86dd, 50);
        case Protocol::ah_ipv6: return ip(0x86dd, 51);
        case Protocol::sctp_ipv6: return ip(0x86dd, 132);
        case Protocol::icmpv6: return ip(0x86dd, 58);
    }
    return false;
}

// Says something of frames by itself: neither of another attribute nor of the connection nor a remark.
bool is_condition(std::string_view name) {
    return name != "comment" && name != "state" && !name.ends_with("mask") && !name.ends_with("end") &&
           !name.ends_with("-hi") && name != "srcipto" && name != "dstipto";
}

bool holds(const Asked& asked, bool without_source_mac, Coverage* coverage) {
    bool all = is_frame_of(asked.instance.rule->protocol, asked.view);
    if (!all) {
        return false;
    }
    for (const Attribute& attribute : asked.instance.attributes) {
        const std::string_view name = row(attribute.row).name;
        if (!is_condition(name) || (without_source_mac && name == "srcmacaddr")) {
            continue;
        }
        const auto answer = asked.ask(attribute);
        const bool met = answer && *answer != attribute.negated;
        if (coverage != nullptr) {
            Seen& seen = (*coverage)[std::string(name_of(asked.instance.rule->protocol)) + " " + std::string(name)];
            ++(met ? seen.met : seen.missed);
        }
        all = all && met;
    }
    return all;
}

// ---- the Ethernet layer --------------------------------------------------------------------------------

enum class End { accept, drop, leave, none };

bool stands(const Rule& rule, Direction direction) {
    return rule.direction == nwfilter::Direction::inout ||
           (rule.direction == nwfilter::Direction::out) == (direction == Direction::from_guest);
}

struct Walk {
    const View& view;
    Direction direction;
    const Tracked& tracked;
    Coverage* coverage;

    End one(const Instance& instance) const {
        const bool reversed =
            instance.rule->direction == nwfilter::Direction::inout && direction == Direction::from_guest;
        if (!holds({instance, view, tracked, reversed}, false, coverage)) {
            return End::none;
        }
        switch (instance.rule->action) {
            case Action::accept: return End::accept;
            case Action::drop:
            case Action::reject: return End::drop;
            case Action::return_: return End::leave;
            case Action::continue_: break;
        }
        return End::none;
    }

    End chain(std::vector<const Instance*> rules, int priority) const {
        std::ranges::stable_sort(
            rules, {}, [&](const Instance* instance) { return std::max(instance->rule->priority, priority); });
        for (const Instance* const instance : rules) {
            if (const End end = one(*instance); end != End::none) {
                return end;
            }
        }
        return End::none;
    }
};

bool chain_takes(std::string_view chain, const View& view) {
    constexpr std::array<std::pair<std::string_view, unsigned>, 5> kTypes{
        {{"arp", 0x0806}, {"rarp", 0x8035}, {"ipv4", 0x0800}, {"ipv6", 0x86dd}, {"vlan", 0x8100}}};
    for (const auto& [prefix, type] : kTypes) {
        if (chain.starts_with(prefix)) {
            return view.type() == type;
        }
    }
    return !chain.starts_with("stp") || view.number(0, 6) == 0x0180c2000000U;
}

bool ethernet_passes(const std::vector<Instance>& instances, const Walk& walk) {
    std::vector<const Instance*> root;
    std::map<std::string, std::vector<const Instance*>> chains;
    std::map<std::string, int> priorities;
    for (const Instance& instance : instances) {
        if (is_ip_layer(instance.rule->protocol) || !stands(*instance.rule, walk.direction)) {
            continue;
        }
        if (instance.chain == "root") {
            root.push_back(&instance);
        } else {
            chains[instance.chain].push_back(&instance);
            priorities[instance.chain] = instance.chain_priority;
        }
    }
    // A chain is hung in before the first root rule whose priority is not below its own.
    struct Step {
        int priority;
        int kind;  // chains come first
        std::string name;
        const Instance* rule;
    };
    std::vector<Step> steps;
    for (const auto& [name, priority] : priorities) {
        steps.push_back({priority, 0, name, nullptr});
    }
    for (const Instance* const instance : root) {
        steps.push_back({instance->rule->priority, 1, {}, instance});
    }
    std::ranges::stable_sort(steps, {}, [](const Step& step) { return std::pair(step.priority, step.kind); });
    for (const Step& step : steps) {
        End end = End::none;
        if (step.rule != nullptr) {
            end = walk.one(*step.rule);
        } else if (chain_takes(step.name, walk.view)) {
            end = walk.chain(chains[step.name], priorities[step.name]);
            end = end == End::leave ? End::none : end;
        }
        if (end != End::none) {
            return end != End::drop;
        }
    }
    return true;
}

// ---- the IP layer --------------------------------------------------------------------------------------

const Attribute* attribute_of(const Instance& instance, std::string_view name) {
    const auto found =
        std::ranges::find_if(instance.attributes, [&](const Attribute& a) { return row(a.row).name == name; });
    return found == instance.attributes.end() ? nullptr : &*found;
}

bool in_states(std::uint8_t states, Tracked::State state) {
    // The order of the XML's names: the test's own numbers.
    const std::string text = format_value(row(find_row(Protocol::all, "state")), States{states});
    constexpr std::array<std::string_view, 4> kNames{"INVALID", "ESTABLISHED", "RELATED", "NEW"};
    return text.find(kNames[static_cast<std::size_t>(state)]) != std::string::npos;
}

// Whether the rule is there for frames of this direction, and takes this one.
bool ip_rule_takes(const Instance& instance, const Walk& walk) {
    const Rule& rule = *instance.rule;
    const bool inout = rule.direction == nwfilter::Direction::inout, own = stands(rule, walk.direction);
    const bool in = inout || rule.direction == nwfilter::Direction::in;
    // The peer's "direction in" of a chain: its frames are described the other way round.
    const bool reversed = walk.direction == Direction::from_guest ? in : !in;
    const Attribute* const state = attribute_of(instance, "state");
    const bool typed = (rule.protocol == Protocol::icmp || rule.protocol == Protocol::icmpv6) &&
                       attribute_of(instance, "type") != nullptr;
    if (!own && (rule.action != Action::accept || state != nullptr || typed)) {
        return false;
    }
    if (reversed && attribute_of(instance, "connlimit-above") != nullptr) {
        return false;
    }
    if (reversed && attribute_of(instance, "srcmacaddr") != nullptr) {
        const auto others = std::ranges::count_if(instance.attributes, [](const Attribute& a) {
            return is_condition(row(a.row).name) && row(a.row).name != "srcmacaddr";
        });
        if (others == 0) {
            return false;
        }
    }
    if (!holds({instance, walk.view, walk.tracked, reversed}, reversed, walk.coverage)) {
        return false;
    }
    if (state != nullptr) {
        const std::uint8_t states = std::get<States>(state->value).bits;
        return states == 0 || in_states(states, walk.tracked.state) != state->negated;
    }
    if (rule.action != Action::accept || inout || !rule.state_match) {
        return true;
    }
    const bool fresh = walk.tracked.state == Tracked::fresh, established = walk.tracked.state == Tracked::established;
    if (own) {
        return (fresh || established) && (typed || !walk.tracked.reply);
    }
    return established && walk.tracked.reply;
}

bool ip_passes(const std::vector<Instance>& instances, const Walk& walk) {
    std::vector<const Instance*> rules;
    for (const Instance& instance : instances) {
        if (is_ip_layer(instance.rule->protocol)) {
            rules.push_back(&instance);
        }
    }
    std::ranges::stable_sort(rules, {}, [](const Instance* instance) { return instance->rule->priority; });
    for (const Instance* const instance : rules) {
        const Action action = instance->rule->action;
        if (action != Action::continue_ && ip_rule_takes(*instance, walk)) {
            return action == Action::accept || action == Action::return_;
        }
    }
    return true;
}

}  // namespace

std::optional<Interpreter> Interpreter::of(const Port& port, const Lookup& lookup) {
    Parameters values = port.parameters;
    values.try_emplace("MAC", std::vector{format(port.mac)});
    values.try_emplace("LINKLOCAL", std::vector<std::string>{"fe80::5054:ff:fe00:1"});  // of that MAC, by hand
    Interpreter out;
    const Filter* const root = lookup(port.filter);
    if (root == nullptr || !flatten(*root, {}, values, lookup, out.instances_)) {
        return std::nullopt;
    }
    return out;
}

bool Interpreter::passes(ByteView frame, Direction direction, const Tracked& tracked, Coverage* coverage) const {
    const View view(frame);
    const Walk walk{view, direction, tracked, coverage};
    return ethernet_passes(instances_, walk) && ip_passes(instances_, walk);
}

}  // namespace bascule::nwfilter::reference
