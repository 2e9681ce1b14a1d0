// SPDX-License-Identifier: GPL-2.0-or-later
// net-update of <host>, <txt> and <srv> below <dns>.
#include <fmt/format.h>

#include "network/update_parts.h"
#include "network/xml_parts.h"

namespace bascule::network {

namespace {

using xml::Node;

Entry entry_of(Command command) { return command == Command::remove ? Entry::partial : Entry::whole; }

bool adds(Command command) { return command == Command::add_first || command == Command::add_last; }

// Exactly one, or the peer's words.
Result<std::size_t> single(const Spec& spec, const std::vector<std::size_t>& found, std::string_view kind) {
    if (found.empty()) {
        return refuse(fmt::format("couldn't locate a matching DNS {} record in network {}", kind, spec.name.str()));
    }
    if (found.size() > 1) {
        return refuse(fmt::format("multiple matching DNS {} records were found in network {}", kind, spec.name.str()));
    }
    return found.front();
}

Result<void> check_served(const Spec& spec) {
    if (spec.dns_enable == false) {
        return refuse(fmt::format("network '{}' has <dns enable='no'>, so it can have no records", spec.name.str()));
    }
    return {};
}

// By the address, the names, or both: any name is enough.
bool fits(const DnsNames& pattern, const DnsNames& host) {
    const auto has = [&](const std::string& name) { return std::ranges::find(host.names, name) != host.names.end(); };
    return (!pattern.address || pattern.address == host.address) &&
           (pattern.names.empty() || std::ranges::any_of(pattern.names, has));
}

bool fits(const DnsSrv& pattern, const DnsSrv& srv) {
    const auto same = [](const auto& wanted, const auto& is) {
        return wanted == std::remove_cvref_t<decltype(wanted)>{} || wanted == is;
    };
    return same(pattern.service, srv.service) && same(pattern.protocol, srv.protocol) &&
           same(pattern.domain, srv.domain) && same(pattern.target, srv.target) && same(pattern.port, srv.port) &&
           same(pattern.priority, srv.priority) && same(pattern.weight, srv.weight);
}

}  // namespace

Result<void> update_dns_host(Spec& spec, const Update& update, const Node& node) {
    TRY_OK(check_served(spec));
    TRY(DnsNames host, parse_dns_host(node, entry_of(update.command)));
    auto& list = spec.dns_hosts;
    // A name may have several addresses, so only the address makes two entries the same one.
    const auto same = [&](const DnsNames& other) { return other.address == host.address; };
    if (adds(update.command)) {
        if (std::ranges::any_of(list, same)) {
            return refuse(
                fmt::format("there is already at least one DNS HOST record with a matching field in network "
                            "{}",
                            spec.name.str()));
        }
        insert(list, update.command, std::move(host));
        return {};
    }
    if (update.command == Command::modify) {
        TRY(const std::size_t at, single(spec, matching(list, same), "HOST"));
        list[at] = std::move(host);
        return {};
    }
    const auto fitting = [&](const DnsNames& other) { return fits(host, other); };
    TRY(const std::size_t at, single(spec, matching(list, fitting), "HOST"));
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
    return {};
}

Result<void> update_dns_txt(Spec& spec, const Update& update, const Node& node) {
    TRY_OK(check_served(spec));
    TRY(DnsTxt txt, parse_txt(node, entry_of(update.command)));
    auto& list = spec.dns_texts;
    const bool removes = update.command == Command::remove;
    const auto found = matching(list, [&](const DnsTxt& other) {
        return other.name == txt.name && (!removes || !txt.value || other.value == txt.value);
    });
    if (adds(update.command)) {
        if (!found.empty()) {
            return refuse(fmt::format("there is already a DNS TXT record with name '{}' in network {}", txt.name,
                                      spec.name.str()));
        }
        insert(list, update.command, std::move(txt));
        return {};
    }
    TRY(const std::size_t at, single(spec, found, "TXT"));
    if (removes) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
        list[at] = std::move(txt);
    }
    return {};
}

Result<void> update_dns_srv(Spec& spec, const Update& update, const Node& node) {
    TRY_OK(check_served(spec));
    if (update.command == Command::modify) {
        return fail(Code::unsupported, "DNS SRV records cannot be modified, only added or deleted");
    }
    TRY(DnsSrv srv, parse_srv(node, entry_of(update.command)));
    auto& list = spec.dns_services;
    const auto found = matching(list, [&](const DnsSrv& other) { return fits(srv, other); });
    if (update.command == Command::remove) {
        TRY(const std::size_t at, single(spec, found, "SRV"));
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
        return {};
    }
    if (!found.empty()) {
        return refuse(
            fmt::format("there is already at least one DNS SRV record matching all specified fields in "
                        "network {}",
                        spec.name.str()));
    }
    insert(list, update.command, std::move(srv));
    return {};
}

}  // namespace bascule::network
