// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/policy.h"

namespace bascule::nwfilter {

// How rules know the port that a frame comes from or goes to.
struct PortKey {
    std::string_view expression;  // "iifname": what look-ups begin with
    std::string only;             // a match of this port alone: stands only in what counts for one port
};

// The nft expressions for a decision's conditions. More than one when the conditions cannot be one rule: the
// decision's verdict belongs behind each.
std::vector<std::string> match_texts(const std::vector<kernel::policy::Condition>& when, const PortKey& key);

// The bytes that nft 1.0.6 has no name for, nor a type: a set's column of them is declared by this expression.
inline constexpr std::string_view kNeighbourTarget = "@th,64,128";

// MAC addresses in RARP frames are such bytes, too, at two places; a column is declared by the first of them.
inline constexpr std::string_view kRarpAddress = "@nh,64,48";

// The nft type of a set's column that holds values of this field: "ether_addr".
std::string_view column_type(kernel::policy::Field field);

}  // namespace bascule::nwfilter
