// SPDX-License-Identifier: GPL-2.0-or-later
// <dns> and <domain>.
#include <fmt/format.h>

#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;

constexpr std::size_t kLongestLabel = 63;
// RFC 6335 5.1 asks for letters, digits and hyphens; the label on the wire has an underscore and at most 63 bytes.
constexpr xml::Value<std::string> kService{
    "a service's name of letters, digits, '-' and '_', at most 62 characters", [](std::string_view text) {
        const bool fits = text.size() < kLongestLabel && is_dns_name(text) && !text.contains('.');
        return fits ? std::optional(std::string(text)) : std::nullopt;
    }};
constexpr xml::Value<std::string> kProtocol{"'tcp' or 'udp'", [](std::string_view text) {
                                                const bool known = text == "tcp" || text == "udp";
                                                return known ? std::optional(std::string(text)) : std::nullopt;
                                            }};
constexpr xml::Value<std::string> kTarget{"a host's DNS name, or '.' when there is none", [](std::string_view text) {
                                              const bool fits = text == "." || is_dns_name(text);
                                              return fits ? std::optional(std::string(text)) : std::nullopt;
                                          }};
constexpr xml::Value<std::string> kTxtName{"a DNS name without spaces and commas", [](std::string_view text) {
                                               const bool fits = is_dns_name(text);
                                               return fits ? std::optional(std::string(text)) : std::nullopt;
                                           }};
// A TXT record is strings of 255 bytes; the peer and its server have one.
constexpr xml::Value<std::string> kTxtValue{
    "text of at most 255 bytes",
    [](std::string_view text) { return text.size() <= 255 ? std::optional(std::string(text)) : std::nullopt; }};
constexpr xml::Value<std::uint16_t> kSrvPort{"a port number", xml::parse_number<std::uint16_t, 1, 65535>};
constexpr xml::Value<std::uint16_t> kSrvNumber{"a number from 0 to 65535", xml::parse_number<std::uint16_t>};

Result<DnsForwarder> parse_forwarder(const Node& node) {
    Reader r(node);
    DnsForwarder out{.domain = r.opt("domain", kDnsName).value_or(""), .address = r.opt("addr", xml::kIp)};
    if (r.ok() && out.domain.empty() && !out.address) {
        r.report(Fault::Kind::missing, "addr", "the address of a name server, or a domain", {});
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace

Result<DnsTxt> parse_txt(const Node& node, Entry entry) {
    Reader r(node);
    DnsTxt out{.name = r.req("name", kTxtName).value_or(""),
               .value = entry == Entry::whole ? r.req("value", kTxtValue) : r.opt("value", kTxtValue)};
    TRY_OK(r.finish());
    return out;
}

Result<DnsSrv> parse_srv(const Node& node, Entry entry) {
    Reader r(node);
    const bool whole = entry == Entry::whole;
    DnsSrv out{.service = (whole ? r.req("service", kService) : r.opt("service", kService)).value_or(""),
               .protocol = (whole ? r.req("protocol", kProtocol) : r.opt("protocol", kProtocol)).value_or(""),
               .domain = r.opt("domain", kDnsName).value_or(""),
               .target = r.opt("target", kTarget).value_or(""),
               .port = r.opt("port", kSrvPort),
               .priority = r.opt("priority", kSrvNumber),
               .weight = r.opt("weight", kSrvNumber)};
    if (r.ok() && whole && out.target.empty() && (out.port || out.priority || out.weight)) {
        const std::string_view extra = out.port ? "port" : out.priority ? "priority" : "weight";
        r.report(Fault::Kind::inconsistent, extra, "says something of a target; there is none", {});
    }
    if (r.ok() && !whole && out == DnsSrv{}) {
        r.report(Fault::Kind::inconsistent, {}, "needs at least one attribute to find a record by", {});
    }
    TRY_OK(r.finish());
    return out;
}

Result<DnsNames> parse_dns_host(const Node& node, Entry entry) {
    Reader r(node);
    DnsNames out{.address = entry == Entry::whole ? r.req("ip", xml::kIp) : r.opt("ip", xml::kIp),
                 .names = r.parse_children("hostname", [](const Node& n) -> Result<std::string> {
                     Reader text(n);
                     auto name = text.text(kDnsName);
                     TRY_OK(text.finish());
                     return *name;
                 })};
    TRY_OK(r.finish());
    if (entry == Entry::whole && out.names.empty()) {
        return inconsistent(node, {}, "needs at least one <hostname>");
    }
    if (!out.address && out.names.empty()) {
        return inconsistent(node, {}, "needs an ip or a <hostname> to find the entry by");
    }
    return out;
}

Result<void> parse_dns(const Node& node, Spec& spec) {
    Reader r(node);
    const auto whole = [](auto parse) { return [parse](const Node& n) { return parse(n, Entry::whole); }; };
    spec.dns_enable = r.opt("enable", xml::kYesNo);
    spec.forward_plain_names = r.opt("forwardPlainNames", xml::kYesNo);
    if (r.ok() && spec.dns_enable == false && !node.children.empty()) {
        return inconsistent(node, "enable", fmt::format("'no' leaves nothing for <{}>", node.children[0].name));
    }
    spec.dns_forwarders = r.parse_children("forwarder", parse_forwarder);
    spec.dns_texts = r.parse_children("txt", whole(parse_txt));
    spec.dns_services = r.parse_children("srv", whole(parse_srv));
    spec.dns_hosts = r.parse_children("host", whole(parse_dns_host));
    return r.finish();
}

Result<void> parse_domain(const Node& node, Spec& spec) {
    Reader r(node);
    spec.domain = r.req("name", kDnsName).value_or("");
    spec.domain_local = r.opt("localOnly", xml::kYesNo);
    spec.domain_register = r.opt("register", xml::kYesNo);
    return r.finish();
}

}  // namespace bascule::network
