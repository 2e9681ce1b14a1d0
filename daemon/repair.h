// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "kernel/monitor.h"

namespace bascule::daemon {

// Ours stays ours: what another program does to links, addresses, routes, rules and settings of ours is noticed and
// undone, and said with the name of who did it where the kernel tells.
//
//   rules      by notification. While rules are missing, guests' links are down: a guest without its filter, or beside
//              a network that it must not reach, is worse off than one whose link was gone for some milliseconds.
//   links      by notification: removed, renamed, taken out of their bridge, their addresses or our routes removed
//   sysctls    have none: looked at every five seconds, and with each link that is looked at
//
// A program that keeps changing what we repair is given a second's rest after twenty repairs in one, and named.
class Repair {
public:
    struct Callbacks {
        std::function<void()> links_repaired = [] {};   // sockets may be bound to a bridge that was made anew
        std::function<void()> rules_elsewhere = [] {};  // another program's rules changed
        std::function<void(const std::set<kernel::NewRoute>&)> routes = [](const auto&) {};
    };
    Repair(Host& host, Callbacks callbacks) : host_(host), callbacks_(std::move(callbacks)) {}

    // From now on; everything is as it should be.
    void start();
    void on_change(const kernel::Change& change);
    void check_sysctls();

private:
    void repair_rules(const std::string& by);
    void lower_guests(const kernel::State& actual);
    Result<void> raise_guests(const std::set<IfName>& lowered);
    void repair_links(const std::set<IfName>& links);
    void repair(const kernel::Scope& scope, const std::string& what);
    bool may_repair(const std::string& what);
    void later();

    Host& host_;
    Callbacks callbacks_;
    std::unique_ptr<kernel::Watch> sysctl_timer_, again_;
    kernel::Change postponed_;
    std::set<IfName> lowered_;  // guests' links that are down until their rules are back
    kernel::Time window_{};
    int repairs_ = 0;
};

}  // namespace bascule::daemon
