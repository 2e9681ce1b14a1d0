// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/policy.h"

namespace bascule::nwfilter {

// The nft expressions for a decision's conditions. `device` is "iifname" or "oifname". More than one
// when the conditions cannot be one rule: the decision's verdict belongs behind each. `port` stands only in what
// counts for one port.
std::vector<std::string> match_texts(const std::vector<kernel::policy::Condition>& when, std::string_view device,
                                     std::string_view port);

// The bytes that nft 1.0.6 has no name for, nor a type: a set's column of them is declared by this expression.
inline constexpr std::string_view kNeighbourTarget = "@th,64,128";

// The nft type of a set's column that holds values of this field: "ether_addr".
std::string_view column_type(kernel::policy::Field field);

}  // namespace bascule::nwfilter
