// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/zone.h"

#include <algorithm>

#include "dhcp/options.h"

namespace bascule::dhcp {

namespace {

bool is_address_type(std::uint16_t type) { return type == kTypeA || type == kTypeAaaa || type == kTypeAny; }

Answer addresses_for(std::uint16_t type, const std::vector<Ip>& all) {
    Answer out;
    for (const Ip& address : all) {
        if (type == kTypeAny || type == (address.is_v4() ? kTypeA : kTypeAaaa)) {
            out.addresses.push_back(address);
        }
    }
    return out;
}

}  // namespace

Zone::Zone(const Spec& spec)
    : domain_(dns_name(spec.domain)), domain_local_(spec.domain_local), forwards_(spec.forward_dns) {
    for (const DnsHost& host : spec.dns_hosts) {
        for (std::size_t i = 0; i < host.names.size(); ++i) {
            add(host.names[i], host.address, i == 0);
        }
    }
    for (const Subnet& subnet : spec.subnets) {
        subnets_.push_back(subnet.server.prefix());
        for (const Reservation& host : subnet.hosts) {
            const std::string label = to_label(host.name);
            if (!label.empty() && host.address) {
                add(label, *host.address, true);
            }
        }
    }
}

void Zone::add(const std::string& name, const Ip& address, bool reverse) {
    const DnsName given = dns_name(name);
    const DnsName full = name.contains('.') ? given : given + domain_;
    for (const DnsName& one : {given, full}) {
        auto& addresses = names_[one];
        if (std::ranges::find(addresses, address) == addresses.end()) {
            addresses.push_back(address);
        }
        for (DnsName above = parent(one); !above.empty(); above = parent(above)) {
            ancestors_.insert(above);
        }
    }
    if (reverse) {
        reverse_.insert({address, full});
    }
}

std::vector<Ip> Zone::addresses_of(const DnsName& name, const LeaseTable& leases) const {
    if (const auto found = names_.find(name); found != names_.end()) {
        return found->second;
    }
    if (label_count(name) == 1 || (is_our_domain(name) && parent(name) == domain_)) {
        if (const Binding* const guest = leases.by_name(first_label(name))) {
            return {guest->lease.address};
        }
    }
    return {};
}

std::optional<Answer> Zone::reverse(const DnsName& name, std::uint16_t type, const LeaseTable& leases) const {
    const auto prefix = reverse_prefix(name);
    if (!prefix) {
        return std::nullopt;
    }
    const bool whole = prefix->length == prefix->network.bits();
    DnsName target;
    if (const auto found = reverse_.find(prefix->network); whole && found != reverse_.end()) {
        target = found->second;
    } else if (const Binding* const guest = whole ? leases.by_address(prefix->network) : nullptr;
               guest != nullptr && guest->active && !guest->lease.hostname.empty()) {
        target = dns_name(guest->lease.hostname) + domain_;
    }
    if (!target.empty()) {
        Answer out;
        if (type == kTypePtr || type == kTypeAny) {
            out.target = target;
        }
        return out;
    }
    const bool ours = std::ranges::any_of(
        subnets_, [&](const Prefix& s) { return s.length <= prefix->length && s.contains(prefix->network); });
    // A part of an address exists: it has names below.
    return ours ? std::optional(Answer{whole ? Rcode::nx_domain : Rcode::no_error, {}, {}}) : std::nullopt;
}

std::optional<Answer> Zone::answer(const Query& query, const LeaseTable& leases) const {
    if (query.klass != kClassIn) {
        return Answer{Rcode::refused, {}, {}};
    }
    if (auto out = reverse(query.name, query.type, leases)) {
        return out;
    }
    const std::vector<Ip> addresses = addresses_of(query.name, leases);
    const bool plain = label_count(query.name) == 1;
    const bool closed = plain || (domain_local_ && is_our_domain(query.name));  // nobody else knows such names
    if (!addresses.empty() && (closed || is_our_domain(query.name) || is_address_type(query.type))) {
        return addresses_for(query.type, addresses);
    }
    const bool exists = ancestors_.contains(query.name) || (!domain_.empty() && query.name == domain_);
    if (domain_local_ && is_our_domain(query.name)) {
        return Answer{exists ? Rcode::no_error : Rcode::nx_domain, {}, {}};
    }
    // Types other than addresses of a single label may be a top-level domain's own: "com NS".
    if (plain && is_address_type(query.type)) {
        return Answer{exists ? Rcode::no_error : Rcode::nx_domain, {}, {}};
    }
    return std::nullopt;
}

Reaction react(ByteView datagram, const Zone& zone, const LeaseTable& leases, bool from_host) {
    const auto header = decode_header(datagram);
    if (!header || header->response) {
        return Ignore{};
    }
    auto query = decode_query(datagram);
    if (!query) {
        return encode_error(datagram, query.error().code == Code::unsupported ? Rcode::not_imp : Rcode::form_err);
    }
    if (query->edns && query->edns->version != 0) {
        return encode_answer(*query, {}, zone.forwards());  // BADVERS
    }
    if (const auto answer = zone.answer(*query, leases)) {
        return encode_answer(*query, *answer, zone.forwards());
    }
    if (from_host && zone.is_our_domain(query->name)) {
        return encode_answer(*query, {Rcode::nx_domain, {}, {}}, zone.forwards());
    }
    if (!zone.forwards()) {
        return encode_answer(*query, {Rcode::refused, {}, {}}, false);
    }
    return Forward{*std::move(query)};
}

}  // namespace bascule::dhcp
