// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/repair.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "kernel/plan.h"

namespace bascule::daemon {

namespace {

using kernel::LinkKind;
using kernel::Scope;
using kernel::State;

constexpr std::chrono::seconds kSysctlInterval{5}, kWindow{1};
constexpr int kMostRepairs = 20;
constexpr std::chrono::milliseconds kAgain{100};

// The settings of a link, which are wished for apart from it.
void add_sysctls(const std::map<std::string, std::string>& sysctls, const IfName& link, Scope& scope) {
    for (const std::string_view family : {"ipv4", "ipv6"}) {
        const std::string start = kernel::sysctl_key(family, link, "");
        for (auto it = sysctls.lower_bound(start); it != sysctls.end() && it->first.starts_with(start); ++it) {
            scope.sysctls.insert(it->first);
        }
    }
}

std::string in_words(const std::vector<kernel::Op>& ops) {
    constexpr std::size_t kMostNamed = 5;
    std::vector<std::string> words;
    for (const kernel::Op& op : ops) {
        if (words.size() == kMostNamed) {
            words.push_back(fmt::format("and {} more", ops.size() - kMostNamed));
            break;
        }
        words.push_back(kernel::format(op));
    }
    return fmt::format("{}", fmt::join(words, ", "));
}

bool has_rules(const std::vector<kernel::Op>& ops) {
    return std::ranges::any_of(ops, [](const kernel::Op& op) {
        const auto* const batch = std::get_if<kernel::RuleBatch>(&op);
        return batch != nullptr && !batch->add.empty();
    });
}

}  // namespace

void Repair::start() {
    sysctl_timer_ = host_.loop.at(host_.loop.clock().now() + kSysctlInterval, [this] {
        check_sysctls();
        start();
    });
}

void Repair::on_change(const kernel::Change& change) {
    if (change.our_rules || change.lost) {
        repair_rules(change.by);
    }
    if (change.other_rules || change.our_rules) {
        callbacks_.rules_elsewhere();
    }
    if (change.lost) {
        Scope everything;
        everything.everything = true;
        everything.add(host_.ledger.wanted());
        repair(everything, "what another program changed");
        callbacks_.links_repaired();
    } else if (!change.links.empty()) {
        repair_links(change.links);
    }
    if (!change.routes.empty()) {
        callbacks_.routes(change.routes);
    }
}

// False: too often of late; the change is looked at again in a while.
bool Repair::may_repair(const std::string& what) {
    const kernel::Time now = host_.loop.clock().now();
    if (now - window_ > kWindow) {
        window_ = now;
        repairs_ = 0;
    }
    if (++repairs_ <= kMostRepairs) {
        return true;
    }
    if (repairs_ == kMostRepairs + 1) {
        log::warning("{} is changed again and again by another program; next try in a second", what);
    }
    return false;
}

void Repair::later() {
    if (!again_) {
        again_ = host_.loop.at(host_.loop.clock().now() + (repairs_ > kMostRepairs ? kWindow : kAgain), [this] {
            again_.reset();
            on_change(std::exchange(postponed_, {}));
        });
    }
}

// ---- rules --------------------------------------------------------------------------------------

// Guests' links down, those that are up.
void Repair::lower_guests(const State& actual) {
    for (const auto& [name, link] : actual.links) {
        if (link.kind == LinkKind::tap && link.up) {
            if (auto down = host_.kernel.apply(kernel::LinkUp{name, false}); !down) {
                log::error("{}", down.error().message);
            } else {
                lowered_.insert(name);
            }
        }
    }
}

// Back up. A bridge with spanning tree would keep each of them waiting for four seconds; for the moment of raising it
// has none, and then its ports stay as they are (net/bridge/br_stp.c, br_make_forwarding starts from blocking only).
Result<void> Repair::raise_guests(const std::set<IfName>& lowered) {
    const auto& wanted = host_.ledger.wanted().links;
    std::map<IfName, kernel::Link> trees;
    for (const IfName& name : lowered) {
        const auto link = wanted.find(name);
        const auto bridge =
            link != wanted.end() && link->second.master ? wanted.find(*link->second.master) : wanted.end();
        if (bridge != wanted.end() && bridge->second.bridge && bridge->second.bridge->stp) {
            trees.insert(*bridge);
        }
    }
    for (const auto& [name, link] : trees) {
        kernel::Link without = link;
        without.bridge->stp = false;
        TRY_OK(host_.kernel.apply(kernel::PutLink{name, without}));
    }
    Result<void> raised;
    for (const IfName& name : lowered) {
        if (const auto link = wanted.find(name); link != wanted.end() && link->second.up) {
            auto up = host_.kernel.apply(kernel::LinkUp{name, true});
            raised = raised ? std::move(up) : std::move(raised);
        }
    }
    for (const auto& [name, link] : trees) {
        TRY_OK(host_.kernel.apply(kernel::PutLink{name, link}));
    }
    return raised;
}

void Repair::repair_rules(const std::string& by) {
    const std::string who = by.empty() ? "another program" : by;
    Scope scope;
    State rules;
    rules.rules = host_.ledger.wanted().rules;
    scope.add(rules);
    for (const auto& [name, link] : host_.ledger.wanted().links) {
        if (link.kind == LinkKind::tap) {
            scope.links.insert(name);
        }
    }
    if (!may_repair("the ruleset")) {
        postponed_.our_rules = true;
        later();
        return;
    }
    const kernel::Time begin = host_.loop.clock().now();
    auto actual = host_.kernel.observe(scope);
    if (!actual) {
        // What they are now is not known: as if they were gone.
        Scope guests;
        guests.links = scope.links;
        if (const auto links = host_.kernel.observe(guests)) {
            lower_guests(*links);
        }
        log::error("rules changed by {} cannot be read: {}; guests' links are down until they can", who,
                   actual.error().message);
        postponed_.our_rules = true;
        later();
        return;
    }
    Scope only_rules;
    only_rules.add(rules);
    const auto ops = kernel::plan(kernel::restrict(*actual, only_rules), host_.ledger.wanted(only_rules));
    if (ops.empty() && lowered_.empty()) {
        return;
    }
    if (has_rules(ops)) {
        lower_guests(*actual);
    }
    for (const kernel::Op& op : ops) {
        if (auto done = host_.kernel.apply(op); !done) {
            log::error("rules removed by {} cannot be put back: {}; guests' links are down until they can", who,
                       done.error().message);
            postponed_.our_rules = true;
            later();
            return;
        }
    }
    const std::set<IfName> lowered = std::exchange(lowered_, {});
    if (auto raised = raise_guests(lowered); !raised) {
        log::error("guests' links after the repair of rules: {}", raised.error().message);
        postponed_.links.insert(lowered.begin(), lowered.end());
        later();
    }
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(host_.loop.clock().now() - begin);
    log::warning("{} removed or changed rules of Bascule's; put back after {:.1f} ms ({}){}", who,
                 static_cast<double>(took.count()) / 1000, in_words(ops),
                 lowered.empty() ? "" : fmt::format("; {} guests' links were down meanwhile", lowered.size()));
}

// ---- links --------------------------------------------------------------------------------------

void Repair::repair_links(const std::set<IfName>& links) {
    const State& wanted = host_.ledger.wanted();
    Scope scope;
    for (const IfName& name : links) {
        const auto link = wanted.links.find(name);
        if (link != wanted.links.end()) {
            scope.links.insert(name);
            if (link->second.master) {
                scope.links.insert(*link->second.master);
            }
        }
        add_sysctls(wanted.sysctls, name, scope);
    }
    // A bridge that is gone took its ports with it, without a word about them.
    for (const auto& [name, link] : wanted.links) {
        if (link.master && scope.links.contains(*link.master)) {
            scope.links.insert(name);
        }
    }
    if (!scope.links.empty() || !scope.sysctls.empty()) {
        repair(scope, fmt::format("{}", scope.links.empty() ? links.begin()->str() : scope.links.begin()->str()));
    }
}

void Repair::repair(const Scope& scope, const std::string& what) {
    const auto actual = host_.kernel.observe(scope);
    if (!actual) {
        log::error("{}: {}", what, actual.error().message);
        return;
    }
    auto ops = kernel::plan(*actual, host_.ledger.wanted(scope));
    std::erase_if(ops, [this](const kernel::Op& op) {  // what waits for its rules stays down
        const auto* const up = std::get_if<kernel::LinkUp>(&op);
        return up != nullptr && lowered_.contains(up->name);
    });
    if (ops.empty()) {
        return;
    }
    if (!may_repair(what)) {
        postponed_.links.insert(scope.links.begin(), scope.links.end());
        later();
        return;
    }
    for (const kernel::Op& op : ops) {
        if (auto done = host_.kernel.apply(op); !done) {
            log::error("{} was changed by another program and cannot be put right: {}", what, done.error().message);
            postponed_.links.insert(scope.links.begin(), scope.links.end());
            later();
            return;
        }
    }
    log::warning("{} was changed by another program; put right: {}", what, in_words(ops));
    callbacks_.links_repaired();
}

// ---- sysctls ------------------------------------------------------------------------------------

void Repair::check_sysctls() {
    const State& wanted = host_.ledger.wanted();
    Scope scope;
    for (const auto& [key, value] : wanted.sysctls) {
        scope.sysctls.insert(key);
    }
    const auto actual = host_.kernel.observe(scope);
    if (!actual) {
        log::error("settings of the kernel: {}", actual.error().message);
        return;
    }
    for (const auto& [key, value] : wanted.sysctls) {
        const auto now = actual->sysctls.find(key);
        if (now == actual->sysctls.end() || now->second == value) {
            continue;  // of a link that is not there: it is looked at when it comes
        }
        if (auto done = host_.kernel.apply(kernel::SetSysctl{key, value}); !done) {
            log::error("{}", done.error().message);
        } else {
            log::warning("sysctl {} was set to {} by another program; it is {} again", key, now->second, value);
        }
    }
}

}  // namespace bascule::daemon
