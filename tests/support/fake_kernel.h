// SPDX-License-Identifier: GPL-2.0-or-later
// A kernel made of memory. It refuses what Linux refuses and takes along what Linux takes along; the
// conformance suite (tests/kernel/conformance.h) holds it to the real one.
//
// Beyond the suite it assumes the worst of Linux where kernels differ: removing an IPv4 address removes all
// others of its subnet, removing the last one removes the link's routes, and a netdev chain goes with its
// device.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace bascule::test {

class FakeKernel : public kernel::Kernel {
public:
    Result<kernel::State> observe(const kernel::Scope& scope) override;
    Result<void> apply(const kernel::Op& op) override;

    // Somebody else's link, as `ip link add` would make it; a bridge when `bridge`.
    void add_foreign(std::string_view name, bool bridge = false);
    // What `nft flush ruleset` does.
    void flush_rules() { state.rules.clear(); }

    // The n-th op from now (0: the next one) is refused with Code::system, once.
    void refuse(std::size_t nth) { refuse_in_ = nth; }

    kernel::State state;               // what the host holds, foreign links included
    std::set<IfName> foreign_bridges;  // those of the foreign links that can be a master
    std::vector<kernel::Op> ops;       // all that were applied, in order
    std::size_t observations = 0;
    // Called after each op that was applied, with the state before it.
    std::function<void(const kernel::State& before, const kernel::Op&)> on_apply;

    // "put bridge virbr0", one line an op: for tests of order.
    std::vector<std::string> log() const;

private:
    bool is_bridge(const IfName& name) const;
    void forget(const IfName& name);

    Result<void> one(const kernel::PutLink& op);
    Result<void> one(const kernel::LinkUp& op);
    Result<void> one(const kernel::DropLink& op);
    Result<void> one(const kernel::PutShaping& op);
    Result<void> one(const kernel::DropShaping& op);
    Result<void> one(const kernel::PutAddress& op);
    Result<void> one(const kernel::DropAddress& op);
    Result<void> one(const kernel::PutRoute& op);
    Result<void> one(const kernel::DropRoute& op);
    Result<void> one(const kernel::SetSysctl& op);
    Result<void> one(const kernel::RuleBatch& op);

    std::optional<std::size_t> refuse_in_;
};

}  // namespace bascule::test
