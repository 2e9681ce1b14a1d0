// SPDX-License-Identifier: GPL-2.0-or-later
// The pieces of the <interface> reader: only for vmm/xml_interface*.cpp.
#pragma once

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

// One attribute of one element, as in <mtu size='9000'/>.
template <class T>
auto attribute(std::string_view attr, const xml::Value<T>& value) {
    return [attr, &value](const Node& node) -> Result<T> {
        Reader r(node);
        auto got = r.req(attr, value);
        TRY_OK(r.finish());
        return *std::move(got);
    };
}
template <class E, std::size_t N>
auto attribute(std::string_view attr, const EnumNames<E, N>& names) {
    return [attr, &names](const Node& node) -> Result<E> {
        Reader r(node);
        const auto got = r.opt(attr, names);
        if (!got) {
            r.report(Fault::Kind::missing, attr, names.choices(), {});
        }
        TRY_OK(r.finish());
        return *got;
    };
}

inline constexpr xml::Value<IfName> kNicDevice{"a network device's name of 1 to 15 characters", IfName::parse};

// xml_interface_source.cpp: <source>, <ip> and <portForward>, by the type, into `out`.
Result<void> read_nic_source(Reader& r, Interface& out);
// xml_interface_driver.cpp
Result<void> read_nic_driver(const Node& node, Interface& out);
// xml_interface_check.cpp: what goes together and what does not.
void check_interface(Reader& r, const Interface& nic);

}  // namespace bascule::vmm::parts
