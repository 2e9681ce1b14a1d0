// SPDX-License-Identifier: GPL-2.0-or-later
#include "network/extras.h"

#include <charconv>

#include <fmt/format.h>

#include "base/enum_names.h"
#include "base/names.h"
#include "base/xml_read.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr xml::Value<std::string> kNetworkName{
    "a network's name",
    [](std::string_view text) { return ObjectName::parse(text) ? std::optional(std::string(text)) : std::nullopt; }};
constexpr xml::Value<std::string> kTransport{
    "'tcp' or 'udp'", [](std::string_view text) {
        return text == "tcp" || text == "udp" ? std::optional(std::string(text)) : std::nullopt;
    }};
constexpr xml::Value<std::uint16_t> kPortNumber{
    "a port number, 1 to 65535", [](std::string_view text) -> std::optional<std::uint16_t> {
        std::uint16_t out = 0;
        const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
        return ec == std::errc() && end == text.data() + text.size() && out != 0 ? std::optional(out) : std::nullopt;
    }};
constexpr xml::Value<bool> kAllAccess{
    "'all'", [](std::string_view text) { return text == "all" ? std::optional(true) : std::nullopt; }};
constexpr xml::Value<IpFamily> kFamily{"'ipv4' or 'ipv6'", [](std::string_view text) {
                                           return text == "ipv4"   ? std::optional(IpFamily::v4)
                                                  : text == "ipv6" ? std::optional(IpFamily::v6)
                                                                   : std::nullopt;
                                       }};
constexpr xml::Value<Ip> kGuestIp{"an address that a guest can have", [](std::string_view text) {
                                      const auto ip = parse_ip(text);
                                      const bool fit = ip && !ip->is_unspecified() && !ip->is_multicast() &&
                                                       !ip->is_loopback() && !ip->is_link_local();
                                      return fit ? ip : std::nullopt;
                                  }};

Error inconsistent(const Node& node, std::string what) {
    return xml::to_error({Fault::Kind::inconsistent, node.line, node.name, {}, std::move(what), {}});
}

Result<void> read_host(const Node& node, Extras& out) {
    Reader r(node);
    const auto all = r.opt("access", kAllAccess);
    const auto protocol = r.opt("protocol", kTransport);
    const auto port = r.opt("port", kPortNumber);
    const auto end = r.opt("end", kPortNumber);
    TRY_OK(r.finish());
    if (all && !protocol && !port && !end) {
        out.host_all = true;
        return {};
    }
    if (all || !protocol || !port) {
        return std::unexpected(inconsistent(node, "needs protocol= and port=, or access='all' alone"));
    }
    if (end && *end < *port) {
        return std::unexpected(inconsistent(node, "end= must not be below port="));
    }
    out.host.push_back({*protocol, {*port, end.value_or(*port)}});
    return {};
}

Result<void> read_one(const Node& node, Extras& out) {
    Reader r(node);
    if (node.name == "admit") {
        const auto network = r.req("network", kNetworkName);
        TRY_OK(r.finish());
        out.admits.push_back(*network);
        return {};
    }
    if (node.name == "host") {
        return read_host(node, out);
    }
    if (node.name == "subnet") {
        const auto family = r.req("family", kFamily);
        TRY_OK(r.finish());
        (family == IpFamily::v4 ? out.subnet_v4 : out.subnet_v6) = true;
        return {};
    }
    if (node.name == "guest-address") {
        const auto ip = r.req("ip", kGuestIp);
        const bool proxy = r.get("proxy", xml::kYesNo, false);
        TRY_OK(r.finish());
        out.guest_addresses.push_back({*ip, proxy});
        return {};
    }
    TRY(const bool service, read_service(node, out.services));
    if (service) {
        return {};
    }
    return std::unexpected(xml::to_error({Fault::Kind::unknown_element, node.line, node.name, {}, {}, {}}));
}

}  // namespace

Result<Extras> parse_extras(const Node& node) {
    Extras out;
    if (node.name != "network") {
        return std::unexpected(
            inconsistent(node, fmt::format("of namespace {} a network's metadata has <network> only", kOwnNamespace)));
    }
    for (const Node& child : node.children) {
        if (child.ns != kOwnNamespace) {
            return std::unexpected(
                inconsistent(child, fmt::format("is not in the namespace {} as its parent is", kOwnNamespace)));
        }
        TRY_OK(read_one(child, out));
    }
    return out;
}

Result<void> check_extras(const std::vector<std::string>& metadata) {
    for (const std::string& text : metadata) {
        TRY(const Node node, xml::parse(text));
        if (node.ns == kOwnNamespace) {
            TRY_OK(parse_extras(node));
        }
    }
    return {};
}

Extras extras_of(const std::vector<std::string>& metadata) {
    for (const std::string& text : metadata) {
        const auto node = xml::parse(text);
        if (node && node->ns == kOwnNamespace) {
            return parse_extras(*node).value_or(Extras{});
        }
    }
    return {};
}

}  // namespace bascule::network
