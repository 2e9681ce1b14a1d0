// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/xml.h"
#include "network/spec.h"

namespace bascule::network {

// A <network> document. Errors name line and element; what this version cannot do is refused by name
// (Code::unsupported_config), what is wrong in itself is Code::invalid_xml.
Result<Spec> parse(std::string_view text);
Result<Spec> parse(const xml::Node& root);

struct FormatOptions {
    // The definition as it is stored and edited, without what only a running network has.
    bool inactive = false;
    unsigned connections = 0;  // guests' interfaces that are plugged in now; shown when not 0
};

// As libvirt prints it: the order of its elements, attributes in single quotes.
std::string format(const Spec& spec, const FormatOptions& options = {.inactive = true});

}  // namespace bascule::network
