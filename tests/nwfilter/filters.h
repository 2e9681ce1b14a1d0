// SPDX-License-Identifier: GPL-2.0-or-later
// What the tests of nwfilter/ share: filters by name, ports by text.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

#include "nwfilter/builtin.h"
#include "nwfilter/port.h"
#include "nwfilter/xml.h"

namespace bascule::nwfilter {

// The stock filters and whatever a test adds.
class Filters {
public:
    Filters() {
        for (const Filter& filter : builtin_filters()) {
            filters_[filter.name] = filter;
        }
    }
    void add(Filter filter) { filters_[filter.name] = std::move(filter); }
    // Fails the running test when the text is not a filter.
    std::string add(const std::string& xml) {
        auto filter = parse(xml);
        if (!filter) {
            ADD_FAILURE() << filter.error().message << "\n" << xml;
            return {};
        }
        const std::string name = filter->name;
        add(std::move(*filter));
        return name;
    }
    Lookup lookup() const {
        return [this](const std::string& name) {
            const auto found = filters_.find(name);
            return found == filters_.end() ? nullptr : &found->second;
        };
    }

private:
    std::map<std::string, Filter> filters_;
};

// A host that can do all that any can.
inline const Abilities kAble{.tracking = true,
                             .reject = true,
                             .bridge_name = true,
                             .reject_routed = true,
                             .timeouts = true,
                             .helpers = {"ftp tcp", "tftp udp"},
                             .sets = [](const std::string& name) {
                                 return name == "nowhere"
                                            ? Result<NamedSet>(fail(Code::invalid_argument, "there is none"))
                                            : NamedSet{Prefix::of(*parse_ip("10.0.0.0"), 30),
                                                       Prefix::of(*parse_ip("10.0.0.2"), 32),
                                                       Prefix::of(*parse_ip("2001:db8::1"), 128)};
                             }};

inline Port port(std::string filter, Parameters parameters = {}, std::string_view ifname = "vnet0",
                 std::string_view mac = "52:54:00:00:00:01") {
    return {*IfName::parse(ifname), *parse_mac(mac), std::move(filter), std::move(parameters), std::nullopt};
}

// Lines of words: "filter NAME", "ifname NAME", "mac ADDRESS", "bridge NAME", and a parameter with one value a line.
inline Port port_of(const std::string& text) {
    Port out = port("");
    std::istringstream lines(text);
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string name, value;
        if (!(words >> name >> value) || name.starts_with('#')) {
            continue;
        }
        if (name == "filter") {
            out.filter = value;
        } else if (name == "ifname") {
            out.ifname = *IfName::parse(value);
        } else if (name == "bridge") {
            out.bridge = IfName::parse(value);
        } else if (name == "mac") {
            out.mac = *parse_mac(value);
        } else {
            out.parameters[name].push_back(value);
        }
    }
    return out;
}

}  // namespace bascule::nwfilter
