// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "kernel/io.h"

namespace bascule::kernel::os {

// systemd-resolved as a host's own resolver: which name servers it asks about which domains by a link
// (org.freedesktop.resolve1.Manager: SetLinkDNS, SetLinkDomains, SetLinkDefaultRoute). What it is told it forgets when
// the link goes, or when it is started again.
class Resolved {
public:
    virtual ~Resolved() = default;
    // Names below these domains, and no others, are asked for at these servers. Where resolved does not run nothing
    // happens; what it says against it is told to `failed`.
    virtual void set_link(const IfName& link, const std::vector<Ip>& servers,
                          const std::vector<std::string>& domains) = 0;
    // Whenever resolved comes, also later: everything has to be told again.
    virtual void on_start(std::function<void()> started) = 0;
};
std::unique_ptr<Resolved> make_resolved(Loop& loop, std::function<void(const std::string&)> failed);

}  // namespace bascule::kernel::os
