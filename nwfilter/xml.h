// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/xml.h"
#include "nwfilter/spec.h"

namespace bascule::nwfilter {

// One <filter>. Whatever the peer would lose in silence (an unknown attribute, a number out of range, a
// mask without its address) is an error with its line.
Result<Filter> parse(std::string_view text);
// As the peer writes it: every default spelt out, attributes in the order of the table.
std::string format(const Filter& filter);

// One <filterbinding>.
Result<Binding> parse_binding(std::string_view text);
std::string format(const Binding& binding);

Result<Reference> parse_reference(const xml::Node& node);  // <filterref>
void format_reference(xml::Writer& out, const Reference& reference);

}  // namespace bascule::nwfilter
