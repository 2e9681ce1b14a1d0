// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/xml.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/xml_read.h"
#include "nwfilter/protocols.h"

namespace bascule::nwfilter {

namespace {

using Kind = xml::Fault::Kind;
using kernel::policy::Field;

constexpr EnumNames<Action, 5> kActions{{{{"drop", Action::drop},
                                          {"accept", Action::accept},
                                          {"reject", Action::reject},
                                          {"return", Action::return_},
                                          {"continue", Action::continue_}}}};
constexpr EnumNames<Direction, 3> kDirections{
    {{{"in", Direction::in}, {"out", Direction::out}, {"inout", Direction::inout}}}};
// The peer takes any other word for "on" and says nothing; here it is an error.
constexpr EnumNames<bool, 4> kStateMatch{{{{"false", false}, {"true", true}, {"0", false}, {"1", true}}}};

constexpr xml::Value<int> kPriority{"a number from -1000 to 1000", xml::parse_number<int, -1000, 1000>};
constexpr xml::Value<Uuid> kUuid{"a UUID", Uuid::parse};
constexpr xml::Value<IfName> kDevice{"the name of a network device", IfName::parse};

constexpr std::string_view kNameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
constexpr std::size_t kMaxChain = 12;

bool is_variable_name(std::string_view text) {
    return !text.empty() && text.size() <= 64 && text.find_first_not_of(kNameBytes) == std::string_view::npos;
}

constexpr xml::Value<std::string> kFilterName{
    "a filter's name without '/', at most 200 bytes", [](std::string_view t) -> std::optional<std::string> {
        return ObjectName::parse(t) ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr xml::Value<std::string> kVariableName{
    "a variable's name: letters, digits and '_'", [](std::string_view t) -> std::optional<std::string> {
        return is_variable_name(t) ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr xml::Value<std::string> kParameterValue{
    "a value of 1 to 256 bytes", [](std::string_view t) -> std::optional<std::string> {
        return !t.empty() && t.size() <= 256 ? std::optional(std::string(t)) : std::nullopt;
    }};

// "$A", "$A[@2]", "$A[ 1 ] ".
std::optional<Variable> parse_variable(std::string_view text) {
    text = trimmed(text.substr(1));
    const auto bracket = text.find('[');
    Variable variable{std::string(text.substr(0, bracket))};
    if (!is_variable_name(variable.name)) {
        return std::nullopt;
    }
    if (bracket == std::string_view::npos) {
        return variable;
    }
    if (!text.ends_with(']')) {
        return std::nullopt;
    }
    std::string_view inside = trimmed(text.substr(bracket + 1, text.size() - bracket - 2));
    const bool iterator = inside.starts_with('@');
    inside.remove_prefix(iterator ? 1 : 0);
    const auto number = xml::parse_number<unsigned, 0, 1000>(inside);
    if (!number) {
        return std::nullopt;
    }
    if (iterator) {
        variable.iterator = *number;
    } else {
        variable.element = *number;
    }
    return variable;
}

// One attribute's text: a literal of the row's type or "$NAME".
std::optional<Value> read_value(xml::Reader& r, const AttributeRow& attribute, const std::string& text) {
    if (!text.starts_with('$') || attribute.type == Type::comment) {
        auto value = parse_value(attribute, text);
        if (!value) {
            r.report(Kind::malformed, attribute.name, expected(attribute) + " or a $VARIABLE", text);
        }
        return value;
    }
    auto variable = parse_variable(text);
    if (!variable) {
        r.report(Kind::malformed, attribute.name,
                 "$NAME, $NAME[@ITERATOR] or $NAME[ELEMENT] with a name of letters, digits and '_' and a number of at "
                 "most 1000",
                 text);
        return std::nullopt;
    }
    return *std::move(variable);
}

// Adds what one protocol element says. Several elements of a kind add up: that is how attributes with
// and without match='no' mix.
Result<void> read_element(const xml::Node& node, Rule& rule) {
    xml::Reader r(node);
    const bool negated = !r.get("match", xml::kYesNo, true);
    const auto rows = attribute_rows();
    for (std::uint8_t i = 0; i < rows.size(); ++i) {
        if ((rows[i].protocols & 1U << static_cast<unsigned>(rule.protocol)) == 0) {
            continue;
        }
        auto text = r.opt(rows[i].name, xml::kText);
        if (!text && !rows[i].alias.empty()) {
            text = r.opt(rows[i].alias, xml::kText);
        }
        if (!text) {
            continue;
        }
        if (std::ranges::find(rule.attributes, i, &Attribute::row) != rule.attributes.end()) {
            r.report(Kind::inconsistent, rows[i].name, "an attribute may be given once a rule", *text);
        }
        if (auto value = read_value(r, rows[i], *text)) {
            const auto* const states = std::get_if<States>(&*value);
            if (negated && states != nullptr && (states->bits == 0 || states->bits == kAllStates)) {
                r.report(Kind::inconsistent, rows[i].name, "leaves no state over under match='no'", *text);
            }
            // Masks and ends of ranges have no sign of their own; a comment has none at all.
            const bool sign = negated && rows[i].role != Role::comment && rows[i].role != Role::ipset_flags &&
                              rows[i].role != Role::mask && rows[i].role != Role::range_end;
            rule.attributes.push_back({i, sign, std::move(*value)});
        }
    }
    return r.finish();
}

const Attribute* find(const Rule& rule, std::string_view name) {
    for (const Attribute& attribute : rule.attributes) {
        if (row(attribute.row).name == name) {
            return &attribute;
        }
    }
    return nullptr;
}

// Of literals only, so that variables are taken for granted here.
std::optional<Ip> address_of(const Attribute& attribute) {
    const Ip* const ip = std::get_if<Ip>(&attribute.value);
    return ip == nullptr ? std::nullopt : std::optional(*ip);
}

std::optional<std::uint32_t> number_of(const Attribute* attribute) {
    const Number* const number = attribute == nullptr ? nullptr : std::get_if<Number>(&attribute->value);
    return number == nullptr ? std::nullopt : std::optional(number->value);
}

// What attributes need of each other. The peer drops those that lack their partner, and the rule then
// matches more than was written.
std::optional<xml::Fault> missing_partner(const Rule& rule, int line) {
    const auto fault = [&](std::string_view attr, std::string_view what, std::string got) {
        return xml::Fault{Kind::inconsistent, line,          std::string(name_of(rule.protocol)), std::string(attr),
                          std::string(what),  std::move(got)};
    };
    const Attribute* const protocol = find(rule, "protocol");
    const auto transport = protocol != nullptr && !protocol->negated ? number_of(protocol) : std::nullopt;
    const std::string got = protocol == nullptr ? "none" : format_value(row(protocol->row), protocol->value);
    for (const Attribute& attribute : rule.attributes) {
        const AttributeRow& at = row(attribute.row);
        if (at.role == Role::comment) {
            continue;
        }
        if (at.role == Role::mask || at.role == Role::range_end || at.role == Role::ipset_flags) {
            const std::string_view base_name = row(attribute.row - 1).name;
            const auto base = std::ranges::find(rule.attributes, attribute.row - 1, &Attribute::row);
            if (base == rule.attributes.end()) {
                return fault(at.name, fmt::format("needs {}", base_name), "none");
            }
            const auto first = number_of(&*base), last = number_of(&attribute);
            if (at.role == Role::range_end && first && last && *last < *first) {
                return fault(at.name, fmt::format("is before {}", base_name), std::to_string(*last));
            }
            const auto from = address_of(*base), to = address_of(attribute);
            if (at.role == Role::range_end && from && to && *to < *from) {
                return fault(at.name, fmt::format("is before {}", base_name), format(*to));
            }
        }
        if (is_ip_layer(rule.protocol)) {
            continue;  // the element itself says which protocol it is
        }
        const bool port = at.field == Field::src_port || at.field == Field::dst_port;
        if (port && transport != 6U && transport != 17U && transport != 33U && transport != 132U) {
            return fault(at.name, "ports need protocol 'tcp', 'udp', 'sctp' or 33 (dccp)", got);
        }
        const bool icmp = at.field >= Field::icmp6_type && at.field <= Field::nd_target;
        if (icmp && transport != 58U) {
            return fault(at.name, "ICMPv6 types, codes and targets need protocol 'icmpv6'", got);
        }
    }
    return std::nullopt;
}

Result<Rule> parse_rule(const xml::Node& node) {
    xml::Reader r(node);
    Rule rule;
    int line = node.line;
    const auto action = r.opt("action", kActions);
    if (!action) {
        r.report(Kind::missing, "action", kActions.choices(), {});
    }
    const auto direction = r.opt("direction", kDirections);
    if (!direction) {
        r.report(Kind::missing, "direction", kDirections.choices(), {});
    }
    rule.action = action.value_or(Action::drop);
    rule.direction = direction.value_or(Direction::inout);
    rule.priority = r.get("priority", kPriority, 500);
    rule.state_match = r.get("statematch", kStateMatch, true);
    for (const xml::Node& element : node.children) {
        const auto protocol = element.ns.empty() ? protocol_of(element.name) : std::nullopt;
        if (!protocol) {
            continue;  // finish() refuses it
        }
        if (rule.protocol != Protocol::any && rule.protocol != *protocol) {
            r.report_error(xml::to_error({Kind::inconsistent,
                                          element.line,
                                          element.name,
                                          {},
                                          "a rule holds one protocol",
                                          fmt::format("{} beside {}", element.name, name_of(rule.protocol))}));
            break;
        }
        rule.protocol = *protocol;
        line = element.line;
        if (auto read = read_element(element, rule); !read) {
            r.report_error(std::move(read).error());
        }
    }
    for (auto known = static_cast<unsigned>(Protocol::mac); known <= static_cast<unsigned>(Protocol::all_ipv6);
         ++known) {
        r.ignore_child(name_of(static_cast<Protocol>(known)));  // read above
    }
    std::ranges::sort(rule.attributes, {}, &Attribute::row);
    for (Attribute& attribute : rule.attributes) {
        const Role role = row(attribute.row).role;
        if (role == Role::mask || role == Role::range_end || role == Role::ipset_flags) {
            const auto base = std::ranges::find(rule.attributes, attribute.row - 1, &Attribute::row);
            attribute.negated = base != rule.attributes.end() && base->negated;
        }
    }
    if (const auto fault = missing_partner(rule, line); fault && r.ok()) {
        r.report_error(xml::to_error(*fault));
    }
    TRY_OK(r.finish());
    return rule;
}

// The chain and its priority.
void read_chain(xml::Reader& r, Filter& filter) {
    filter.chain = r.get("chain", xml::kText, "root");
    const auto priority = r.opt("priority", kPriority);
    const auto protocol = chain_protocol(filter.chain);
    constexpr std::string_view kMore = ".:-";
    const bool spelt = std::ranges::all_of(
        filter.chain, [&](char c) { return kNameBytes.find(c) != kNameBytes.npos || kMore.find(c) != kMore.npos; });
    if (!protocol || !spelt || filter.chain.size() > kMaxChain) {
        r.report(Kind::malformed, "chain",
                 "'root' or a name of at most 12 letters, digits and '_.:-' that starts with stp, mac, vlan, arp, "
                 "rarp, ipv4 "
                 "or ipv6",
                 filter.chain);
        return;
    }
    filter.priority = priority.value_or(default_priority(*protocol));
}

Result<Filter> parse_filter(const xml::Node& node) {
    if (node.name != "filter") {
        return fail(Code::invalid_xml, fmt::format("line {}: expected <filter>, got <{}>", node.line, node.name));
    }
    xml::Reader r(node);
    Filter filter;
    filter.name = r.req("name", kFilterName).value_or("");
    read_chain(r, filter);
    filter.uuid = r.child_text("uuid", kUuid).value_or(Uuid{});
    r.ignore_child("filterref");
    r.ignore_child("rule");
    for (const xml::Node& child : node.children) {
        if (!r.ok()) {
            break;
        }
        if (child.ns.empty() && child.name == "rule") {
            TRY(Rule rule, parse_rule(child));
            filter.entries.emplace_back(std::move(rule));
        } else if (child.ns.empty() && child.name == "filterref") {
            TRY(Reference reference, parse_reference(child));
            filter.entries.emplace_back(std::move(reference));
        }
    }
    TRY_OK(r.finish());
    return filter;
}

// One element for each run of attributes of the same sign.
void format_elements(xml::Writer& out, const Rule& rule) {
    const std::string_view element = name_of(rule.protocol);
    xml::Writer::Attrs attrs;
    std::optional<bool> sign;
    for (const Attribute& attribute : rule.attributes) {
        if (sign && *sign != attribute.negated) {
            out.empty(element, attrs);
            attrs.clear();
        }
        if (attrs.empty() && attribute.negated) {
            attrs.emplace_back("match", "no");
        }
        sign = attribute.negated;
        const AttributeRow& at = row(attribute.row);
        attrs.emplace_back(at.name, format_value(at, attribute.value));
    }
    out.empty(element, attrs);
}

void format_rule(xml::Writer& out, const Rule& rule) {
    xml::Writer::Attrs attrs{{"action", std::string(kActions.name(rule.action))},
                             {"direction", std::string(kDirections.name(rule.direction))},
                             {"priority", std::to_string(rule.priority)}};
    if (!rule.state_match) {
        attrs.emplace_back("statematch", "false");
    }
    if (rule.protocol == Protocol::any) {
        out.empty("rule", attrs);
        return;
    }
    out.open("rule", attrs);
    format_elements(out, rule);
    out.close();
}

}  // namespace

Result<Filter> parse(std::string_view text) {
    TRY(const xml::Node node, xml::parse(text));
    return parse_filter(node);
}

std::string format(const Filter& filter) {
    xml::Writer out;
    xml::Writer::Attrs attrs{{"name", filter.name}, {"chain", filter.chain}};
    if (filter.priority != default_priority(chain_protocol(filter.chain).value_or(Protocol::any))) {
        attrs.emplace_back("priority", std::to_string(filter.priority));
    }
    out.open("filter", attrs);
    out.leaf("uuid", format(filter.uuid));
    for (const auto& entry : filter.entries) {
        if (const auto* const rule = std::get_if<Rule>(&entry)) {
            format_rule(out, *rule);
        } else {
            format_reference(out, std::get<Reference>(entry));
        }
    }
    return out.take();
}

Result<Reference> parse_reference(const xml::Node& node) {
    xml::Reader r(node);
    Reference reference;
    reference.filter = r.req("filter", kFilterName).value_or("");
    for (const xml::Node* const child : r.children("parameter")) {
        xml::Reader p(*child);
        const auto name = p.req("name", kVariableName);
        const auto value = p.req("value", kParameterValue);
        TRY_OK(p.finish());
        reference.parameters[*name].push_back(*value);
    }
    TRY_OK(r.finish());
    return reference;
}

void format_reference(xml::Writer& out, const Reference& reference) {
    if (reference.parameters.empty()) {
        out.empty("filterref", {{"filter", reference.filter}});
        return;
    }
    out.open("filterref", {{"filter", reference.filter}});
    for (const auto& [name, values] : reference.parameters) {
        for (const std::string& value : values) {
            out.empty("parameter", {{"name", name}, {"value", value}});
        }
    }
    out.close();
}

Result<Binding> parse_binding(std::string_view text) {
    TRY(const xml::Node root, xml::parse(text));
    if (root.name != "filterbinding") {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: expected <filterbinding>, got <{}>", root.line, root.name));
    }
    xml::Reader r(root);
    const xml::Node none;
    const auto read_child = [&](std::string_view name, const auto& value, std::string_view attr) {
        const xml::Node* const child = r.req_child(name);
        xml::Reader c(child == nullptr ? none : *child);
        auto out = c.req(attr, value);
        if (auto done = c.finish(); !done && child != nullptr) {
            r.report_error(std::move(done).error());
        }
        return out;
    };
    const auto port = read_child("portdev", kDevice, "name");
    const auto mac = read_child("mac", xml::kMac, "address");
    const xml::Node* const owner = r.req_child("owner");
    xml::Reader o(owner == nullptr ? none : *owner);
    const auto owner_name = o.child_text("name", kFilterName);
    const auto owner_uuid = o.child_text("uuid", kUuid);
    if (!owner_name || !owner_uuid) {
        o.report(Kind::missing, {}, "<name> and <uuid>", {});
    }
    if (auto done = o.finish(); !done && owner != nullptr) {
        r.report_error(std::move(done).error());
    }
    std::string link;
    if (r.child("linkdev") != nullptr) {
        const auto device = read_child("linkdev", kDevice, "name");
        link = device ? device->str() : "";
    }
    r.req_child("filterref");
    const auto filter = r.parse_child("filterref", parse_reference);
    TRY_OK(r.finish());
    return Binding{*owner_name, *owner_uuid, *port, link, *mac, *filter};
}

std::string format(const Binding& binding) {
    xml::Writer out;
    out.open("filterbinding");
    out.open("owner");
    out.leaf("name", binding.owner_name);
    out.leaf("uuid", format(binding.owner_uuid));
    out.close();
    out.empty("portdev", {{"name", binding.port.str()}});
    if (!binding.link_device.empty()) {
        out.empty("linkdev", {{"name", binding.link_device}});
    }
    out.empty("mac", {{"address", format(binding.mac)}});
    format_reference(out, binding.filter);
    return out.take();
}

}  // namespace bascule::nwfilter
