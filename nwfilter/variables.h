// SPDX-License-Identifier: GPL-2.0-or-later
// Which values a rule's variables have for a port.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nwfilter/flatten.h"
#include "nwfilter/port.h"
#include "nwfilter/protocols.h"

namespace bascule::nwfilter {

// IP and IPV6: what a port learns when it is not given.
bool is_learned(std::string_view name);

// What a variable stands for in one rule of one port.
struct Bound {
    const Attribute* attribute = nullptr;
    std::string name;
    bool from_port = false;  // else from a <filterref> of the tree: the same for every port
    bool learned = false;    // IP or IPV6 without a value: `values` is empty until one is learned
    std::vector<Value> values;
    // Those of one group advance together. An element of a list has a group of its own.
    unsigned group = 0;

    // How a table of its values is called: "IP" or, of one element, "IP/1".
    std::string key() const;
};
// The values that the group's variables take together: as many as each has, one beside a learned address.
std::size_t tuples_of(const std::vector<Bound>& bounds, unsigned group);

// The port's parameters with what they are completed with: MAC from the interface, LINKLOCAL from MAC.
class PortValues {
public:
    // Refuses what learning_of() refuses.
    static Result<PortValues> of(const Port& port);

    // The variables of one rule, in the attributes' order. Those of one iterator must have lists of one length; an
    // address to be learned goes with single values.
    Result<std::vector<Bound>> bind(const FlatRule& rule, const Flat& flat) const;

    const Parameters& parameters() const { return parameters_; }

private:
    Result<Bound> bind(const Attribute& attribute, const FlatRule& rule, const Parameters& scope) const;

    Parameters parameters_;
    bool learning_ = true;
};

}  // namespace bascule::nwfilter
