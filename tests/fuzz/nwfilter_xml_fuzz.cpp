// SPDX-License-Identifier: GPL-2.0-or-later
// Filter XML from clients: parsing, formatting back, and attaching whatever was accepted.
#include <cstdlib>
#include <string_view>

#include "nwfilter/builtin.h"
#include "nwfilter/port.h"
#include "nwfilter/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace bascule;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto binding = nwfilter::parse_binding(text); binding && !nwfilter::parse_binding(format(*binding))) {
        std::abort();
    }
    const auto filter = nwfilter::parse(text);
    if (!filter) {
        return 0;
    }
    const auto again = nwfilter::parse(nwfilter::format(*filter));
    if (!again || *again != *filter) {
        std::abort();
    }
    const nwfilter::Lookup lookup = [&](const std::string& name) -> const nwfilter::Filter* {
        if (name == filter->name) {
            return &*filter;
        }
        for (const nwfilter::Filter& stock : nwfilter::builtin_filters()) {
            if (stock.name == name) {
                return &stock;
            }
        }
        return nullptr;
    };
    const nwfilter::Port port{*IfName::parse("vnet0"),
                              MacAddr{{2, 0, 0, 0, 0, 1}},
                              filter->name,
                              {{"IP", {"10.0.0.1"}}, {"A", {"10.0.0.2", "10.0.0.3"}}, {"P", {"80"}}}};
    static_cast<void>(nwfilter::reach(*filter, lookup));
    static_cast<void>(nwfilter::attach(port, lookup, {.tracking = true, .reject = true}));
    static_cast<void>(
        nwfilter::attach({port.ifname, port.mac, port.filter, {}}, lookup, {.tracking = true, .reject = true}));
    return 0;
}
