// SPDX-License-Identifier: GPL-2.0-or-later
// The name of the object that an XML document describes, read without parsing the document: what the access check is
// asked about, before anything else of a client's document is looked at.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bascule::daemon {

struct Peeked {
    std::string root;
    // The text of <name> and <uuid> right below the root; of an interface the root's attribute `name`.
    std::optional<std::string> name, uuid;
    // Attributes of children that say it elsewhere: <portdev name=''/>, <filterref filter=''/> of a filter binding.
    std::optional<std::string> portdev, filter;
};

// One pass, no memory but the answer's. Refuses whatever a full parser could understand otherwise: encodings other than
// UTF-8, document types, entities and markup in a name, a name said twice.
Result<Peeked> peek_xml(std::string_view xml);

}  // namespace bascule::daemon
