// SPDX-License-Identifier: GPL-2.0-or-later
// <network> to Spec; whatever is not named here is refused by Reader::finish().
#include "network/xml.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "network/check.h"
#include "network/extras.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr xml::Value<ObjectName> kName{"a name without '/', at most 200 characters long", ObjectName::parse};
constexpr xml::Value<Uuid> kUuid{"a UUID", [](std::string_view text) {
                                     const auto uuid = Uuid::parse(text);
                                     return uuid && !uuid->is_nil() ? uuid : std::nullopt;
                                 }};
constexpr xml::Value<std::uint32_t> kMtu{"a number of bytes from 68 to 65535",
                                         xml::parse_number<std::uint32_t, 68, 65535>};
constexpr xml::Value<std::string> kTitle{
    "one line of text", [](std::string_view text) {
        return text.contains('\n') || text.contains('\r') ? std::nullopt : std::optional(std::string(text));
    }};
constexpr xml::Value<bool> kYesNo{"'yes' or 'no'", [](std::string_view text) { return xml::kYesNo.parse(text); }};
constexpr std::string_view kDnsmasq = "http://libvirt.org/schemas/network/dnsmasq/1.0";

// <metadata>'s own tag holds nothing.
Result<void> check_bare(const Node& node) {
    for (const auto& [name, value] : node.attrs) {
        return std::unexpected(xml::to_error({Fault::Kind::unknown_attribute, node.line, node.name, name, {}, value}));
    }
    return {};
}

// Text between elements, where only elements have a meaning, is a slip that would go unseen.
Result<void> check_text(const Node& node) {
    constexpr std::array<std::string_view, 5> kTexts{"name", "uuid", "title", "description", "hostname"};
    if (!node.text.empty() && std::ranges::find(kTexts, node.name) == kTexts.end()) {
        return inconsistent(node, {}, fmt::format("the text '{}' has no meaning here", node.text));
    }
    if (node.name != "metadata") {
        for (const Node& child : node.children) {
            TRY_OK(check_text(child));
        }
    }
    return {};
}

// An element that has nothing but text.
template <class T>
auto leaf(const xml::Value<T>& value) {
    return [&value](const Node& node) -> Result<T> {
        Reader r(node);
        auto parsed = r.text(value);
        TRY_OK(r.finish());
        return *std::move(parsed);
    };
}

template <class T>
auto single_attribute(std::string_view name, const xml::Value<T>& value) {
    return [name, &value](const Node& node) -> Result<T> {
        Reader r(node);
        auto parsed = r.req(name, value);
        TRY_OK(r.finish());
        return *std::move(parsed);
    };
}

// Lines for the peer's own server, in its namespace.
Result<std::vector<std::string>> parse_dnsmasq(const Node& node) {
    std::vector<std::string> out;
    Reader options(node);
    for (const Node* const option : options.foreign(kDnsmasq, "option")) {
        Reader r(*option);
        auto value = r.req("value", xml::kText);
        TRY_OK(r.finish());
        out.push_back(*std::move(value));
    }
    TRY_OK(options.finish());
    return out;
}

// Foreign elements, one a namespace, kept as they are.
Result<std::vector<std::string>> parse_metadata(const Node& node) {
    TRY_OK(check_bare(node));
    std::vector<std::string> out;
    for (auto it = node.children.begin(); it != node.children.end(); ++it) {
        if (it->ns.empty()) {
            return inconsistent(*it, {}, "an element of <metadata> needs a namespace (xmlns:…='…')");
        }
        if (std::any_of(node.children.begin(), it, [&](const Node& before) { return before.ns == it->ns; })) {
            return inconsistent(*it, {}, fmt::format("<metadata> already has an element of the namespace {}", it->ns));
        }
        if (it->ns == kOwnNamespace) {
            TRY_OK(parse_extras(*it));  // read again when it is compiled; wrong ones are refused here, by line
        }
        out.push_back(it->raw);
    }
    return out;
}

void read_texts(Reader& r, Spec& spec) {
    spec.uuid = r.parse_child("uuid", leaf(kUuid)).value_or(Uuid{});
    spec.title = r.parse_child("title", leaf(kTitle)).value_or("");
    spec.description = r.parse_child("description", leaf(xml::kText)).value_or("");
    spec.metadata = r.parse_child("metadata", parse_metadata).value_or(std::vector<std::string>{});
}

// A child that fills several fields.
template <class F>
void read_into(Reader& r, std::string_view name, F parse, Spec& spec) {
    if (const Node* const node = r.child(name)) {
        if (auto done = parse(*node, spec); !done) {
            r.report_error(std::move(done).error());
        }
    }
}

void read_link(Reader& r, Spec& spec) {
    read_into(r, "forward", parse_forward, spec);
    read_into(r, "bridge", parse_bridge, spec);
    spec.mtu = r.parse_child("mtu", single_attribute("size", kMtu));
    spec.mac = r.parse_child("mac", single_attribute("address", kUnicastMac));
}

void read_ports(Reader& r, Spec& spec) {
    spec.vlan = r.parse_child("vlan", read_vlan);
    spec.bandwidth = r.parse_child("bandwidth", read_bandwidth).value_or(Bandwidth{});
    spec.isolated_ports = r.parse_child("port", single_attribute("isolated", kYesNo));
    spec.virtual_port = r.parse_child("virtualport", read_virtual_port);
    spec.portgroups = r.parse_children("portgroup", parse_portgroup);
}

void read_services(Reader& r, Spec& spec) {
    read_into(r, "domain", parse_domain, spec);
    read_into(r, "dns", parse_dns, spec);
    if (auto addresses = parse_addresses(r.children("ip"))) {
        spec.addresses = *std::move(addresses);
    } else {
        r.report_error(std::move(addresses).error());
    }
    spec.routes = r.parse_children("route", parse_route);
    for (const Node* const options : r.foreign(kDnsmasq, "options")) {
        if (auto lines = parse_dnsmasq(*options)) {
            spec.dnsmasq_options.insert(spec.dnsmasq_options.end(), lines->begin(), lines->end());
        } else {
            r.report_error(std::move(lines).error());
        }
    }
}

// What only the whole definition can be judged by, with the line of the element it is about.
Result<void> check_whole(const Node& root, const Spec& spec) {
    const auto found = find_contradiction(spec);
    if (!found) {
        return {};
    }
    const auto at = std::ranges::find(root.children, found->element, &Node::name);
    Node where = at == root.children.end() ? root : *at;
    where.name = found->element;
    return inconsistent(where, found->attribute, found->what);
}

}  // namespace

std::unexpected<Error> inconsistent(const Node& node, std::string_view attr, std::string what) {
    return std::unexpected(
        xml::to_error({Fault::Kind::inconsistent, node.line, node.name, std::string(attr), std::move(what), {}}));
}

Result<Spec> parse(const Node& root) {
    if (root.name != "network" || !root.ns.empty()) {
        return fail(Code::invalid_xml, fmt::format("line {}: expected <network>, got <{}>", root.line, root.name));
    }
    Reader r(root);
    auto name = r.parse_child("name", leaf(kName));
    if (!name) {
        r.report_error(inconsistent(root, {}, "needs a <name> element").error());
        return std::unexpected(r.finish().error());
    }
    Spec spec{.name = *std::move(name)};
    r.ignore_attr("connections");  // a count that libvirt prints
    spec.guest_ipv6 = r.get("ipv6", xml::kYesNo, false);
    spec.trust_rx_filters = r.opt("trustGuestRxFilters", xml::kYesNo);
    read_texts(r, spec);
    read_link(r, spec);
    read_ports(r, spec);
    read_services(r, spec);
    TRY_OK(r.finish());
    TRY_OK(check_text(root));
    TRY_OK(check_whole(root, spec));
    return spec;
}

Result<Spec> parse(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    return parse(root);
}

}  // namespace bascule::network
