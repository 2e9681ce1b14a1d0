// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/builtin.h"

#include <algorithm>
#include <cstdlib>

#include "nwfilter/xml.h"

namespace bascule::nwfilter {

const std::vector<Filter>& builtin_filters() {
    static const std::vector<Filter> kFilters = [] {
        std::vector<Filter> filters;
        for (const std::string_view text : builtin_texts()) {
            auto filter = parse(text);
            if (!filter) {
                std::abort();  // the tests parse every one of them
            }
            filters.push_back(std::move(*filter));
        }
        std::ranges::sort(filters, {}, &Filter::name);
        return filters;
    }();
    return kFilters;
}

}  // namespace bascule::nwfilter
