// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/names.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// firewalld, where it runs: which zone a link is in (org.fedoraproject.FirewallD1.zone: getZones,
// changeZoneOfInterface, removeInterface). What it is told it forgets when it is started again or reloads.
class Firewalld {
public:
    enum class State { unknown, absent, running };  // unknown: it was asked and has not answered yet

    virtual ~Firewalld() = default;
    virtual State state() const = 0;
    virtual const std::set<std::string>& zones() const = 0;  // while it runs
    // Where it does not run nothing happens; what it says against it is told to `failed`.
    virtual void put(const IfName& link, const std::string& zone) = 0;
    virtual void remove(const IfName& link, const std::string& zone) = 0;
    // Asks who is there, and calls whenever firewalld came, reloaded or left: everything has to be told again.
    virtual void on_change(std::function<void()> changed) = 0;
};
std::unique_ptr<Firewalld> make_firewalld(Loop& loop, std::function<void(const std::string&)> failed);

}  // namespace bascule::kernel::os
