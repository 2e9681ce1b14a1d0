// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <string>

#include "kernel/io.h"
#include "kernel/kernel.h"
#include "kernel/ledger.h"

namespace bascule::daemon {

// The kernel, with a memory for the settings of the host that were changed on the way: what they were is kept (in
// /run/bascule/sysctls, so that another daemon knows it too) and put back when nobody wishes for them any more.
// Settings of links of ours go with their links.
//
// Turning on IPv6 forwarding makes Linux forget default routes that routers advertised, and take no more
// advertisements, wherever accept_ra is 1 (net/ipv6/addrconf.c, dev_forward_change). So each link that takes them
// gets accept_ra = 2 first: what it does stays as it is.
class KeptSysctls : public kernel::Kernel {
public:
    KeptSysctls(kernel::Kernel& kernel, const kernel::Ledger& ledger, kernel::FileTree& files);

    Result<kernel::State> observe(const kernel::Scope& scope) override { return kernel_.observe(scope); }
    Result<void> apply(const kernel::Op& op) override;

    // Puts back what nobody wishes for any more. Whether forwarding may be turned off is asked: others on the host may
    // have come to need it.
    void restore(const std::function<bool()>& others_forward);

private:
    struct Kept {
        std::string original;
        std::string set;  // what it was set to; empty: whatever it is now, it is put back
    };
    Result<void> set(const kernel::SetSysctl& op);
    Result<void> before_forwarding(const std::string& key);
    Result<void> keep_router_advertisements();
    void put_back(const std::string& key, const Kept& kept);
    void load();
    void save();

    kernel::Kernel& kernel_;
    const kernel::Ledger& ledger_;
    kernel::FileTree& files_;
    std::map<std::string, Kept> kept_;
};

}  // namespace bascule::daemon
