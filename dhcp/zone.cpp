// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/zone.h"

#include <algorithm>

#include "dhcp/options.h"

namespace bascule::dhcp {

namespace {

// Steps from alias to alias in one answer; more is a circle or a joke.
constexpr int kMostAliases = 8;
constexpr std::size_t kLongestString = 255;  // of a TXT record
constexpr std::size_t kMostFormer = 8;       // names that one guest had

bool is_address_type(std::uint16_t type) { return type == kTypeA || type == kTypeAaaa || type == kTypeAny; }
bool wants(std::uint16_t asked, std::uint16_t type) { return asked == type || asked == kTypeAny; }

// Not routed in the Internet: nobody there can know such an address's name (RFC 6303).
bool is_private_reverse(const Prefix& prefix) {
    static const std::vector<Prefix> kPrivate = [] {
        std::vector<Prefix> out;
        for (const char* text : {"0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
                                 "192.168.0.0/16", "255.255.255.255/32", "::/127", "fc00::/7", "fe80::/10"}) {
            out.push_back(*parse_prefix(text));
        }
        return out;
    }();
    return std::ranges::any_of(
        kPrivate, [&](const Prefix& p) { return p.length <= prefix.length && p.contains(prefix.network); });
}

Bytes text_data(std::string_view value) {
    ByteWriter out;
    do {
        const std::string_view part = value.substr(0, kLongestString);
        out.u8(static_cast<std::uint8_t>(part.size()));
        out.text(part);
        value.remove_prefix(part.size());
    } while (!value.empty());
    return out.take();
}

Bytes service_data(const DnsService& service) {
    ByteWriter out;
    out.u16(service.priority);
    out.u16(service.weight);
    out.u16(service.target.empty() ? 0 : service.port);
    out.text(dns_name(service.target));
    out.u8(0);
    return out.take();
}

}  // namespace

Zone::Zone(const Spec& spec)
    : domain_(dns_name(spec.domain)),
      domain_local_(spec.domain_local),
      forwards_(spec.forward_dns ||
                std::ranges::any_of(spec.dns.forwarders, [](const DnsForwarder& f) { return f.domain.empty(); })),
      forward_plain_(spec.dns.forward_plain_names) {
    for (const DnsHost& host : spec.dns_hosts) {
        for (std::size_t i = 0; i < host.names.size(); ++i) {
            add_host(host.names[i], host.address, i == 0);
        }
    }
    for (const Subnet& subnet : spec.subnets) {
        subnets_.push_back(subnet.server.prefix());
        for (const Reservation& host : subnet.hosts) {
            const std::string label = to_label(host.name);
            if (!label.empty() && host.address) {
                add_host(label, *host.address, true);
            }
            if (host.mac && host.address) {
                reserved_[*host.mac].push_back(*host.address);
                reserved_for_.insert({*host.address, *host.mac});
            }
        }
    }
    add_records(spec.dns);
    for (const DnsGuest& guest : spec.dns.guests) {
        set_guest(guest.mac, guest.name);
    }
}

// A name without a dot is found with and without the domain.
void Zone::add(const DnsName& given, bool plain, const auto& put) {
    const DnsName full = plain ? given + domain_ : given;
    has_wildcards_ = has_wildcards_ || first_label(given) == "*";
    for (const DnsName& one : {given, full}) {
        put(one);
        for (DnsName above = parent(one); !above.empty(); above = parent(above)) {
            ancestors_.insert(above);
        }
    }
}

void Zone::add_host(const std::string& name, const Ip& address, bool reverse) {
    const DnsName given = dns_name(name);
    const bool plain = !name.contains('.');
    add(given, plain, [&](const DnsName& one) {
        auto& addresses = names_[one];
        if (std::ranges::find(addresses, address) == addresses.end()) {
            addresses.push_back(address);
        }
    });
    if (reverse && first_label(given) != "*") {
        reverse_.insert({address, plain ? given + domain_ : given});
    }
}

void Zone::add_records(const DnsSettings& dns) {
    const auto put = [this](const Record& record) {
        return [this, record](const DnsName& name) {
            auto& all = records_[name];
            if (std::ranges::find(all, record) == all.end()) {
                all.push_back(record);
            }
        };
    };
    for (const DnsText& text : dns.texts) {
        add(dns_name(text.name), !text.name.contains('.'), put({{}, kTypeTxt, text_data(text.value)}));
    }
    for (const DnsService& service : dns.services) {
        const DnsName head = dns_name("_" + service.service + "._" + service.protocol);
        const bool plain = service.domain.empty();
        add(plain ? head : head + dns_name(service.domain), plain, put({{}, kTypeSrv, service_data(service)}));
    }
    for (const DnsAlias& alias : dns.aliases) {
        const DnsName target = dns_name(alias.target) + (alias.target.contains('.') ? DnsName() : domain_);
        add(dns_name(alias.name), !alias.name.contains('.'),
            [&](const DnsName& name) { aliases_.insert({name, target}); });
    }
    for (const DnsForwarder& forwarder : dns.forwarders) {
        if (!forwarder.domain.empty()) {
            forwarded_domains_.push_back(dns_name(forwarder.domain));
        }
    }
}

void Zone::set_guest(const MacAddr& mac, const std::string& name) {
    const std::string label = to_label(name);
    if (const auto old = guest_names_.find(mac); old != guest_names_.end()) {
        const auto macs = guest_macs_.find(old->second);
        std::erase(macs->second, mac);
        if (macs->second.empty()) {
            guest_macs_.erase(macs);
        }
        auto& former = former_[mac];
        if (former.size() >= kMostFormer) {
            former.erase(former.begin());
        }
        former.push_back(old->second);
        guest_names_.erase(old);
    }
    if (label.empty()) {
        former_.erase(mac);
        return;
    }
    std::erase(former_[mac], label);
    guest_names_.insert({mac, label});
    guest_macs_[label].push_back(mac);
}

void Zone::inherit(const Zone& before) {
    for (const auto& [mac, labels] : before.former_) {
        const auto now = guest_names_.find(mac);
        for (const std::string& label : labels) {
            if (now != guest_names_.end() && now->second != label && !is_former(mac, label)) {
                former_[mac].push_back(label);
            }
        }
    }
    // A push may bring a rename, too.
    for (const auto& [mac, label] : before.guest_names_) {
        const auto now = guest_names_.find(mac);
        if (now != guest_names_.end() && now->second != label && !is_former(mac, label)) {
            former_[mac].push_back(label);
        }
    }
}

bool Zone::is_former(const MacAddr& mac, const std::string& label) const {
    const auto found = former_.find(mac);
    return found != former_.end() && std::ranges::find(found->second, label) != found->second.end();
}

// The label that a guest or client would have to have for this to be its name.
std::optional<std::string> Zone::guest_label(const DnsName& name) const {
    const bool plain = !name.empty() && parent(name).empty();
    return plain || (name != domain_ && is_our_domain(name) && parent(name) == domain_)
               ? std::optional(first_label(name))
               : std::nullopt;
}

std::vector<Ip> Zone::addresses_of(const DnsName& name, const Leased& leases) const {
    if (const auto found = names_.find(name); found != names_.end()) {
        return found->second;
    }
    const auto label = guest_label(name);
    if (!label) {
        return {};
    }
    std::vector<Ip> out;
    const auto put = [&](const Ip& address) {
        if (std::ranges::find(out, address) == out.end()) {
            out.push_back(address);
        }
    };
    if (const auto macs = guest_macs_.find(*label); macs != guest_macs_.end()) {
        for (const MacAddr& mac : macs->second) {
            if (const Binding* const has = leases.v4.by_port(mac); has != nullptr && has->active) {
                put(has->lease.address);
            }
            for (const Key6& key : leases.v6 == nullptr ? std::vector<Key6>() : leases.v6->of_port(mac)) {
                const Binding* const has = key.delegated ? nullptr : leases.v6->by_key(key);
                if (has != nullptr && has->active) {
                    put(has->lease.address);
                }
            }
            if (const auto reserved = reserved_.find(mac); reserved != reserved_.end()) {
                std::ranges::for_each(reserved->second, put);
            }
        }
        return out;  // nobody else can take the name, whatever he calls himself
    }
    for (const Binding* const client :
         {leases.v4.by_name(*label), leases.v6 == nullptr ? nullptr : leases.v6->by_name(*label)}) {
        if (client != nullptr && !is_former(client->lease.port, *label)) {
            put(client->lease.address);
        }
    }
    return out;
}

bool Zone::is_known(const DnsName& name) const {
    const auto label = guest_label(name);
    return names_.contains(name) || records_.contains(name) || aliases_.contains(name) ||
           (label && guest_macs_.contains(*label));
}

// Under which name the definition has what there is at this one: itself, or a wildcard.
DnsName Zone::as_written(const DnsName& name) const {
    static const DnsName any = dns_name("*");
    if (!has_wildcards_ || is_known(name) || ancestors_.contains(name)) {
        return name;
    }
    for (DnsName above = parent(name); !above.empty(); above = parent(above)) {
        if (is_known(any + above)) {
            return any + above;
        }
    }
    return name;
}

// What there is of that type at the name. False when there is nothing of any type.
bool Zone::append(const DnsName& name, const DnsName& owner, std::uint16_t type, const Leased& leases,
                  Answer& out) const {
    const std::vector<Ip> addresses = addresses_of(name, leases);
    for (const Ip& address : addresses) {
        if (wants(type, address.is_v4() ? kTypeA : kTypeAaaa)) {
            out.records.push_back(address_record(address, owner));
        }
    }
    if (const auto found = records_.find(name); found != records_.end()) {
        for (const Record& record : found->second) {
            if (wants(type, record.type)) {
                out.records.push_back({owner, record.type, record.data});
            }
        }
    }
    return !addresses.empty() || is_known(name);
}

DnsName Zone::name_of(const Ip& address, const Leased& leases) const {
    if (const auto found = reverse_.find(address); found != reverse_.end()) {
        return found->second;
    }
    const Binding* const binding = address.is_v4()        ? leases.v4.by_address(address)
                                   : leases.v6 == nullptr ? nullptr
                                                          : leases.v6->by_address(address);
    const bool leased = binding != nullptr && binding->active && !binding->lease.delegated;
    const auto reserved = reserved_for_.find(address);
    if (leased || reserved != reserved_for_.end()) {
        const auto guest = guest_names_.find(leased ? binding->lease.port : reserved->second);
        if (guest != guest_names_.end()) {
            return dns_name(guest->second) + domain_;
        }
    }
    return leased && !binding->lease.hostname.empty() && !is_former(binding->lease.port, binding->lease.hostname)
               ? dns_name(binding->lease.hostname) + domain_
               : DnsName();
}

bool Zone::has_forwarder(const DnsName& name) const {
    return std::ranges::any_of(forwarded_domains_, [&](const DnsName& domain) { return is_below(name, domain); });
}

std::optional<Answer> Zone::reverse(const DnsName& name, std::uint16_t type, const Leased& leases) const {
    const auto prefix = reverse_prefix(name);
    if (!prefix) {
        return std::nullopt;
    }
    const bool whole = prefix->length == prefix->network.bits();
    const bool ours = std::ranges::any_of(
        subnets_, [&](const Prefix& s) { return s.length <= prefix->length && s.contains(prefix->network); });
    Answer out;
    if (const DnsName target = whole ? name_of(prefix->network, leases) : DnsName(); !target.empty()) {
        if (wants(type, kTypePtr)) {
            out.records.push_back(name_record(kTypePtr, target));
        } else {
            out.zone = parent(name);
        }
        return out;
    }
    if (!ours && (!is_private_reverse(*prefix) || has_forwarder(name))) {
        return std::nullopt;
    }
    // A part of an address exists: it has names below.
    out.rcode = whole ? Rcode::nx_domain : Rcode::no_error;
    out.zone = whole ? parent(name) : name;
    return out;
}

// Names that mean something of their own everywhere (RFC 6761, RFC 7686, RFC 9462).
std::optional<Answer> Zone::special(const Query& query) const {
    static const DnsName localhost = dns_name("localhost"), invalid = dns_name("invalid"), onion = dns_name("onion"),
                         resolver = dns_name("resolver.arpa");
    Answer out;
    if (is_below(query.name, localhost)) {
        for (const Ip& address : {Ip::v4(0x7f000001), Ip::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})}) {
            if (wants(query.type, address.is_v4() ? kTypeA : kTypeAaaa)) {
                out.records.push_back(address_record(address));
            }
        }
        out.zone = out.records.empty() ? std::optional(localhost) : std::nullopt;
        return out;
    }
    for (const DnsName& zone : {invalid, onion, resolver}) {
        if (is_below(query.name, zone)) {
            out.rcode = query.name == zone ? Rcode::no_error : Rcode::nx_domain;
            out.zone = zone;
            return out;
        }
    }
    return std::nullopt;
}

std::optional<Answer> Zone::answer(const Query& query, const Leased& leases) const {
    if (query.klass != kClassIn) {
        return Answer{Rcode::refused};
    }
    if (auto out = reverse(query.name, query.type, leases)) {
        return out;
    }
    Answer out;
    DnsName name = query.name, owner;
    for (int steps = 0; steps < kMostAliases && query.type != kTypeCname; ++steps) {
        const auto alias = aliases_.find(as_written(name));
        if (alias == aliases_.end()) {
            break;
        }
        out.records.push_back(name_record(kTypeCname, alias->second, owner));
        name = owner = alias->second;
    }
    const DnsName written = as_written(name);
    if (const auto alias = aliases_.find(written); alias != aliases_.end() && wants(query.type, kTypeCname)) {
        out.records.push_back(name_record(kTypeCname, alias->second, owner));
        return out;
    }
    const bool exists = append(written, owner, query.type, leases, out);
    const bool plain = label_count(name) == 1;
    const bool in_domain = is_our_domain(name);
    const bool apex = ancestors_.contains(name) || (!domain_.empty() && name == domain_);
    // Nobody else knows such names. Types other than addresses of a single label may be a top-level domain's own: "com
    // NS".
    const bool closed = ((domain_local_ || !forwards_) && in_domain) ||
                        (plain && !forward_plain_.value_or(!is_address_type(query.type))) || !owner.empty();
    if (!exists && !owner.empty() && !plain && !apex && !((domain_local_ || !forwards_) && in_domain) &&
        (forwards_ || has_forwarder(name))) {
        Query target = query;
        target.name = name;
        if (!special(target) && !reverse(name, query.type, leases)) {
            out.elsewhere = name;
        }
    }
    if (!out.records.empty()) {
        return out;
    }
    if (exists && (closed || in_domain || plain || is_address_type(query.type))) {
        out.zone = in_domain ? domain_ : name;
        return out;
    }
    if (auto known = special(query)) {
        return known;
    }
    if (closed && !has_forwarder(query.name)) {
        out.rcode = exists || apex || !owner.empty() ? Rcode::no_error : Rcode::nx_domain;
        out.zone = in_domain ? domain_ : name;
        return out;
    }
    return std::nullopt;
}

Reaction react(ByteView datagram, const Zone& zone, const Leased& leases, bool from_host, bool stream) {
    const auto header = decode_header(datagram);
    if (!header || header->response) {
        return Ignore{};
    }
    auto query = decode_query(datagram);
    if (!query) {
        return encode_error(datagram, query.error().code == Code::unsupported ? Rcode::not_imp : Rcode::form_err);
    }
    query->stream = stream;
    if (query->edns && query->edns->version != 0) {
        return encode_answer(*query, {}, zone.forwards());  // BADVERS
    }
    // OPT is no question, TKEY to IXFR are for name servers among themselves.
    if (query->type == kTypeOpt) {
        return encode_error(datagram, Rcode::form_err);
    }
    if (query->type >= kTypeTkey && query->type <= kTypeAxfr) {
        return encode_answer(*query, {query->type < kTypeAxfr - 1 ? Rcode::not_imp : Rcode::refused}, zone.forwards());
    }
    if (auto answer = zone.answer(*query, leases)) {
        if (!answer->elsewhere.empty() && !(from_host && zone.is_our_domain(answer->elsewhere))) {
            query->name = std::move(answer->elsewhere);
            query->aliases = std::move(answer->records);
            return Forward{*std::move(query)};
        }
        return encode_answer(*query, *answer, zone.forwards());
    }
    if (from_host && zone.is_our_domain(query->name)) {
        return encode_answer(*query, {Rcode::nx_domain}, zone.forwards());
    }
    if (!zone.forwards() && !zone.has_forwarder(query->name)) {
        return encode_answer(*query, {Rcode::refused}, false);
    }
    return Forward{*std::move(query)};
}

bool to_malformed(const Reaction& reaction) {
    constexpr std::size_t kFlags = 3;  // whose lower half is the code
    const auto* const reply = std::get_if<Bytes>(&reaction);
    return std::holds_alternative<Ignore>(reaction) ||
           (reply != nullptr && reply->size() > kFlags &&
            (std::to_integer<unsigned>((*reply)[kFlags]) & 15U) == static_cast<unsigned>(Rcode::form_err));
}

}  // namespace bascule::dhcp
