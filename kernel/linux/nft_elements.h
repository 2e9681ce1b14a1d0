// SPDX-License-Identifier: GPL-2.0-or-later
// Changes of elements, in the kernel's own words. libnftables lists all sets with all they hold before it changes one
// element, so that a network or a port more would cost what all the others have. A batch that adds and removes nothing
// but elements is written here instead and costs what it says. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "kernel/io.h"
#include "kernel/ruleset.h"

namespace bascule::kernel::os {

struct ElementBatch {
    Bytes bytes;                                          // what goes to the nfnetlink socket, in one piece
    std::uint32_t first_sequence = 0, last_sequence = 0;  // the last one is acknowledged; errors may name any
};

// One transaction, which the kernel refuses (ERESTART) when its rules are not of that generation. `revived` are
// elements of maps that are put in first, so that removing them cannot fail. None: there is more in the batch than
// elements, or something is of a type, or written in a way, that is not known here.
std::optional<ElementBatch> encode_elements(const RuleBatch& batch, const RuleBatch& revived, Time now,
                                            std::uint32_t generation, std::uint32_t first_sequence);

// A key as the kernel compares it, each of its fields filled up to four bytes; in a set of intervals of several fields
// its first and last. None as above.
struct ElementKey {
    Bytes first;
    Bytes last{};  // empty: no interval
    bool operator==(const ElementKey&) const = default;
};
std::optional<ElementKey> encode_key(const SetDef& set, std::string_view key);

}  // namespace bascule::kernel::os
