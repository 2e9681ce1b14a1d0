// SPDX-License-Identifier: GPL-2.0-or-later
// <ip> and <route>.
#include <algorithm>

#include <fmt/format.h>

#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr xml::Value<std::uint32_t> kMetric{"a number from 1", xml::parse_number<std::uint32_t, 1, 0xffffffff>};
constexpr xml::Value<std::string> kFolder{"an absolute path without '..'", [](std::string_view text) {
                                              const bool fits = text.starts_with('/') && !text.contains("/../") &&
                                                                !text.ends_with("/..") && text.size() < 4096;
                                              return fits ? std::optional(std::string(text)) : std::nullopt;
                                          }};

// The prefix length that an address without netmask and prefix has: its class, as the peer does it; all of
// them for the address that means "everything".
unsigned natural_length(const Ip& address) {
    if (address.is_unspecified()) {
        return 0;
    }
    if (address.is_v6()) {
        return 64;
    }
    const unsigned first = address.octets()[0];
    return first < 128 ? 8 : first < 192 ? 16 : 24;
}

// What an interface of ours cannot have as its address.
Result<void> check_interface(const Node& node, const IpInterface& ip) {
    const Ip& address = ip.address;
    const bool reserved = address.is_v4() && (address.octets()[0] == 0 || address.octets()[0] >= 240);
    if (address.is_multicast() || address.is_loopback() || address.is_unspecified() || reserved) {
        return inconsistent(node, "address", fmt::format("{} cannot be the address of a bridge", format(address)));
    }
    if (address.is_v6() && address.is_link_local()) {
        return inconsistent(
            node, "address",
            fmt::format("{} is link-local: the bridge has such an address of its own", format(address)));
    }
    if (is_edge(ip.prefix(), address)) {
        return inconsistent(node, "address",
                            fmt::format("{} is the {} address of {}; the bridge needs one between, "
                                        "such as {}",
                                        format(address), address == ip.prefix().first() ? "network" : "broadcast",
                                        format(ip.prefix()), format(ip.prefix().first().plus(1))));
    }
    return {};
}

Result<std::string> parse_tftp(const Node& node) {
    Reader r(node);
    auto root = r.req("root", kFolder);
    TRY_OK(r.finish());
    return *std::move(root);
}

Result<IpAddress> parse_ip_element(const Node& node) {
    Reader r(node);
    TRY(const PrefixElement read, read_prefix(r, 1));
    IpAddress ip{.address = {read.address, read.length},
                 .length_written = read.written,
                 .family_written = read.family_written,
                 .local_ptr = r.opt("localPtr", xml::kYesNo)};
    TRY_OK(check_interface(node, ip.address));
    ip.tftp_root = r.parse_child("tftp", parse_tftp).value_or("");
    if (!ip.tftp_root.empty() && ip.address.address.is_v6()) {
        return inconsistent(*r.child("tftp"), {}, "goes with an IPv4 <ip> only");
    }
    if (const Node* const dhcp = r.child("dhcp")) {
        if (auto done = parse_dhcp(*dhcp, ip); !done) {
            r.report_error(std::move(done).error());
        }
    }
    TRY_OK(r.finish());
    return ip;
}

}  // namespace

// family, address, netmask and prefix.
Result<PrefixElement> read_prefix(Reader& r, unsigned shortest) {
    const auto family = r.opt("family", kFamilies);
    const bool v6 = family == IpFamily::v6;
    const auto address =
        r.req("address", v6 ? xml::Value<Ip>{"an IPv6 address", parse_ipv6}
                            : xml::Value<Ip>{"an IPv4 address (IPv6 needs family='ipv6')", parse_ipv4});
    const auto mask = r.opt("netmask", xml::Value<unsigned>{"a netmask such as 255.255.255.0", [](std::string_view t) {
                                                                const auto ip = parse_ipv4(t);
                                                                return ip ? netmask_length(*ip) : std::nullopt;
                                                            }});
    const unsigned most = v6 ? 128 : 32;
    const auto prefix = r.opt("prefix", xml::kUnsigned);
    if (r.ok() && prefix && (*prefix < shortest || *prefix > most)) {
        r.report(Fault::Kind::malformed, "prefix", fmt::format("a prefix length from {} to {}", shortest, most),
                 std::to_string(*prefix));
    }
    if (v6 && r.node().attr("netmask") != nullptr) {
        r.report(Fault::Kind::inconsistent, "netmask", "IPv6 has no netmask; write prefix='64'", {});
    }
    if (mask && prefix) {
        r.report(Fault::Kind::inconsistent, "prefix", "netmask and prefix say the same; write one of them", {});
    }
    if (mask && *mask < shortest) {
        r.report(Fault::Kind::inconsistent, "netmask", "the whole internet is no subnet", {});
    }
    if (!r.ok() || !address) {
        return std::unexpected(r.finish().error());
    }
    return PrefixElement{.address = *address,
                         .length = mask     ? *mask
                                   : prefix ? *prefix
                                            : natural_length(*address),
                         .written = mask     ? PrefixWritten::netmask
                                    : prefix ? PrefixWritten::prefix
                                             : PrefixWritten::unsaid,
                         .family_written = family.has_value()};
}

Result<StaticRoute> parse_route(const Node& node) {
    Reader r(node);
    TRY(const PrefixElement read, read_prefix(r, 0));
    const bool v4 = read.address.is_v4();
    const auto gateway = r.req("gateway", v4 ? xml::kIpv4 : xml::Value<Ip>{"an IPv6 address", parse_ipv6});
    const auto metric = r.opt("metric", kMetric);
    TRY_OK(r.finish());
    const Prefix destination = Prefix::of(read.address, read.length);
    if (destination.network != read.address) {
        return inconsistent(node, "address",
                            fmt::format("{} is a host's address; the network's is {}", format(read.address),
                                        format(destination.network)));
    }
    return StaticRoute{.destination = destination,
                       .length_written = read.written,
                       .family_written = read.family_written,
                       .gateway = *gateway,
                       .metric = metric};
}

Result<std::vector<IpAddress>> parse_addresses(const std::vector<const Node*>& nodes) {
    std::vector<IpAddress> out;
    for (const Node* const node : nodes) {
        TRY(IpAddress ip, parse_ip_element(*node));
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (out[i].address.address == ip.address.address) {
                return inconsistent(
                    *node, "address",
                    fmt::format("{} is already the address in line {}", format(ip.address.address), nodes[i]->line));
            }
        }
        out.push_back(std::move(ip));
    }
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        std::vector<DhcpHost> hosts;
        std::vector<const Node*> places;
        for (std::size_t i = 0; i < out.size(); ++i) {
            const Node* const dhcp = nodes[i]->child("dhcp");
            if (dhcp != nullptr && out[i].address.address.family() == family) {
                hosts.insert(hosts.end(), out[i].hosts.begin(), out[i].hosts.end());
                for (const Node& child : dhcp->children) {
                    if (child.name == "host") {
                        places.push_back(&child);
                    }
                }
            }
        }
        TRY_OK(check_hosts(hosts, places));
    }
    return out;
}

}  // namespace bascule::network
