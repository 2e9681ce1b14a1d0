// SPDX-License-Identifier: GPL-2.0-or-later
// Many ports at once. Ports of a class have the same chains and sets, so these are compiled and written once; a port of
// a class that is known is its values, read and written as elements.
//
// Two ports are of one class when they have the same tree and, of their parameters, alike:
//
//  - which there are, and how long their lists are;
//  - the values of those that stand in the policy (a mask, a range, a list that is asked "is not"), which the compiler
//    has noted, and of those that say how addresses are learned;
//  - whether rules may know the port by its bridge and MAC address; where connections are counted, also its name.
//
// All else that the compiler sees of a port are values of look-ups, so that these are all that is left to be done. A
// port whose values cannot be read is compiled by itself, which says what is wrong with it and where.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "nwfilter/port.h"

namespace bascule::nwfilter {

// What ports of a class have together.
struct Common {
    std::string name;       // follows from all the rest
    kernel::Ruleset rules;  // base chains, the class's chains, sets; of elements those of named sets
    std::map<std::string, std::string> sysctls;
    bool learns_ip = false;
    std::set<std::string> filters, sets;  // see Attachment
};

// One port of a class.
struct Member {
    std::shared_ptr<const Common> common;
    kernel::Ruleset elements;  // the port's own
    std::vector<LearnedSet> learned;
    std::optional<Learning> learning;
};

// Filters and what can be relied on must not change as long as this lives.
class Classes {
public:
    // Chains that are `known` share their texts with these.
    Classes(const Lookup& lookup, const Abilities& abilities, const kernel::Ruleset& known);
    ~Classes();

    // As attach() does.
    Result<Member> attach(const Port& port);
    std::size_t compiled() const { return compiled_; }  // how many classes had to be

private:
    struct Tree;   // a filter with all below it
    struct Class;  // of one tree
    Result<Member> compile(Tree& tree, const Port& port, const std::string& shape, const Parameters& parameters);
    std::shared_ptr<const Common> held(Common common);

    const Lookup& lookup_;
    const Abilities& abilities_;
    const kernel::Ruleset& known_;
    std::map<std::string, std::unique_ptr<Tree>> trees_;
    std::map<std::string, std::shared_ptr<const Common>> commons_;
    std::map<std::string, kernel::RuleTexts> texts_;  // by chain
    std::size_t compiled_ = 0;
};

}  // namespace bascule::nwfilter
