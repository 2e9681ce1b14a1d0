// SPDX-License-Identifier: GPL-2.0-or-later
// Between dnsmasq.cpp and dnsmasq_dhcp.cpp; nobody else includes this.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dhcp/spec.h"
#include "network/suboptions.h"

namespace bascule::network {

std::string_view trimmed(std::string_view text);
// At commas, without the blanks around each part.
std::vector<std::string_view> split(std::string_view text);
std::unexpected<Error> refuse(std::string_view line, std::string_view why);

// What tags stand for: each is set by lines that look at what a client says of itself.
using Tags = std::map<std::string, dhcp::ClientMatch, std::less<>>;

Result<void> add_tag(std::string_view line, std::string_view key, std::string_view value, Tags& tags);
Result<void> add_boot_file(std::string_view line, std::string_view value, const Tags& tags, dhcp::Spec& service);
struct OptionLine {
    std::string_view line, value;
    bool force;
};
Result<void> add_option(const OptionLine& given, const Tags& tags, dhcp::Spec& service, std::vector<SubOption>& inner);
Result<void> add_host(std::string_view line, std::string_view value, dhcp::Spec& service);

}  // namespace bascule::network
