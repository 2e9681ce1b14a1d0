// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/dns_message.h"
#include "dhcp/wire_values.h"

namespace bascule::dhcp::wire {

namespace {

std::string record_name_from(FieldReader& in, std::uint16_t tag, bool empty_too) {
    std::string name = in.has(tag) ? in.text(tag) : std::string();
    if (in.ok() && !(empty_too && name.empty()) && name != "." && !is_record_name(name)) {
        in.refuse(tag, "is not a DNS name");
    }
    return name;
}

DnsText dns_text_from(FieldReader& in) {
    DnsText text{record_name_from(in, 1, false), in.text(2)};
    if (text.value.size() > 8192) {
        in.refuse(2, "is too long");
    }
    return text;
}

DnsService dns_service_from(FieldReader& in) {
    return {.service = record_name_from(in, 1, false),
            .protocol = record_name_from(in, 2, false),
            .domain = record_name_from(in, 3, true),
            .target = record_name_from(in, 4, true),
            .port = in.u16(5),
            .priority = in.u16(6),
            .weight = in.u16(7)};
}

DnsAlias dns_alias_from(FieldReader& in) { return {record_name_from(in, 1, false), record_name_from(in, 2, false)}; }

Fields fields_of(const DnsForwarder& forwarder) {
    Fields out;
    out.text(1, forwarder.domain);
    if (forwarder.address) {
        out.ip(2, *forwarder.address);
    }
    out.u16(3, forwarder.port);
    return out;
}

DnsForwarder dns_forwarder_from(FieldReader& in) {
    DnsForwarder out{.domain = record_name_from(in, 1, true), .address = {}, .port = in.u16(3)};
    if (in.has(2)) {
        out.address = in.ip(2);
    }
    if (in.ok() && (out.port == 0 || (out.address && (out.address->is_unspecified() || out.address->is_multicast())))) {
        in.refuse(2, "is not the address and port of a resolver");
    }
    return out;
}

template <class T>
void put_each(Fields& out, std::uint16_t tag, const std::vector<T>& list) {
    for (const T& one : list) {
        out.nested(tag, wire::fields_of(one));
    }
}

}  // namespace

Fields fields_of(const DnsText& text) { return std::move(Fields().text(1, text.name).text(2, text.value)); }

Fields fields_of(const DnsService& service) {
    Fields out;
    out.text(1, service.service).text(2, service.protocol).text(3, service.domain).text(4, service.target);
    out.u16(5, service.port).u16(6, service.priority).u16(7, service.weight);
    return out;
}

Fields fields_of(const DnsAlias& alias) { return std::move(Fields().text(1, alias.name).text(2, alias.target)); }

Fields fields_of(const DnsGuest& guest) {
    return std::move(Fields().mac(1, guest.mac).text(2, guest.name).flag(3, guest.off));
}

DnsGuest dns_guest_from(FieldReader& in) {
    DnsGuest guest{in.mac(1), in.text(2), in.flag_or(3, false)};
    if (guest.name.size() > 255) {
        in.refuse(2, "is too long");
    }
    return guest;
}

Fields fields_of(const DnsSettings& dns, bool with_lists) {
    Fields out;
    for (const DnsForwarder& forwarder : dns.forwarders) {
        out.nested(1, fields_of(forwarder));
    }
    if (dns.forward_plain_names) {
        out.flag(2, *dns.forward_plain_names);
    }
    out.flag(3, dns.private_answers);
    if (with_lists) {
        put_each(out, 4, dns.texts);
        put_each(out, 5, dns.services);
        put_each(out, 6, dns.aliases);
        put_each(out, 7, dns.guests);
    }
    return out;
}

DnsSettings dns_settings_from(FieldReader& in) {
    DnsSettings out;
    out.forwarders = list_from(in, 1, dns_forwarder_from);
    if (in.has(2)) {
        out.forward_plain_names = in.flag(2);
    }
    out.private_answers = in.flag_or(3, false);
    out.texts = list_from(in, 4, dns_text_from);
    out.services = list_from(in, 5, dns_service_from);
    out.aliases = list_from(in, 6, dns_alias_from);
    out.guests = list_from(in, 7, dns_guest_from);
    return out;
}

}  // namespace bascule::dhcp::wire
