// SPDX-License-Identifier: GPL-2.0-or-later
// The values that the messages of wire.h are made of, as fields. Tags are counted per value; each pair of functions
// owns its own, and they never change their meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dhcp/spec.h"
#include "kernel/helper_channel.h"

namespace bascule::dhcp::wire {

using kernel::channel::FieldReader;
using kernel::channel::Fields;

// Every nested value of a tag through a reader; the first fault is the outer reader's.
template <class T>
std::vector<T> list_from(FieldReader& in, std::uint16_t tag, T (*one)(FieldReader&)) {
    std::vector<T> out;
    for (const Fields& fields : in.nested(tag)) {
        FieldReader inner(fields);
        out.push_back(one(inner));
        if (auto done = inner.finish("item"); !done) {
            in.refuse(tag, done.error().message);
            break;
        }
    }
    return out;
}

// An optional name that must be one when it is there.
std::string dns_name_from(FieldReader& in, std::uint16_t tag);

Fields fields_of(const Reservation& host);
Reservation reservation_from(FieldReader& in);
Fields fields_of(const Subnet& subnet, bool with_hosts);
Subnet subnet_from(FieldReader& in);
Fields fields_of(const Lease& lease);
Lease lease_from(FieldReader& in);

Fields fields_of(const DnsSettings& dns, bool with_lists);
DnsSettings dns_settings_from(FieldReader& in);
Fields fields_of(const DnsText& text);
Fields fields_of(const DnsService& service);
Fields fields_of(const DnsAlias& alias);
Fields fields_of(const DnsGuest& guest);
DnsGuest dns_guest_from(FieldReader& in);

// What a Network message says beyond its first fields: everything that clients are told (tags 32 to 63).
void put_told(Fields& out, const Spec& spec);
void told_from(FieldReader& in, Spec& spec);

}  // namespace bascule::dhcp::wire
