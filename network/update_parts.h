// SPDX-License-Identifier: GPL-2.0-or-later
// The sections of update() that fill files of their own; nobody else includes this.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/xml.h"
#include "network/update.h"

namespace bascule::network {

// Whether a host of the family's, on whichever subnet, is the same client or has the same address; not `replaced`.
Result<void> check_unlike(const Spec& spec, IpFamily family, const DhcpHost& host, const DhcpHost* replaced);

Result<void> update_dhcp_host(Spec& spec, const Update& update, const xml::Node& node);
Result<void> update_dhcp_range(Spec& spec, const Update& update, const xml::Node& node);
Result<void> update_dns_host(Spec& spec, const Update& update, const xml::Node& node);
Result<void> update_dns_txt(Spec& spec, const Update& update, const xml::Node& node);
Result<void> update_dns_srv(Spec& spec, const Update& update, const xml::Node& node);

template <class T>
void insert(std::vector<T>& list, Command command, T value) {
    list.insert(command == Command::add_first ? list.begin() : list.end(), std::move(value));
}

// The entries that fit.
template <class T, class F>
std::vector<std::size_t> matching(const std::vector<T>& list, F fits) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (fits(list[i])) {
            out.push_back(i);
        }
    }
    return out;
}

inline std::unexpected<Error> refuse(std::string message) { return fail(Code::invalid_state, std::move(message)); }

}  // namespace bascule::network
