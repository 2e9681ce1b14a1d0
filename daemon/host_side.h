// SPDX-License-Identifier: GPL-2.0-or-later
// What running networks ask of the host beside their own links and rules:
//
//   zone     a bridge is put into a zone of firewalld's, where that runs: the one that <bridge zone=> names, else
//            `bascule`, whose target lets everything pass to our own rules (packaging/firewalld). Again whenever
//            firewalld was started or reloaded, since it forgets.
//   proxy    single addresses of guests that the host answers for on the link the network forwards to
//            (<bascule:guest-address proxy=>), for providers who deliver frames to the host's own MAC only.
//   hands off  NetworkManager and systemd-networkd are told that bridges of networks, by whatever name, and what
//            definitions of the host's devices make (daemon/host_interfaces.h), are none of theirs: generated files
//            beside those that are installed (packaging/NetworkManager, packaging/networkd), which know the usual
//            names.
//
// All of it follows from the networks that there are: settle() brings the host to that, as often as anybody likes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "kernel/linux/firewalld.h"
#include "kernel/linux/link_managers.h"
#include "network/spec.h"

namespace bascule::daemon {

// Refuses a zone that firewalld has not, or where no firewalld runs: guests would be behind another wall than asked
// for. `state` unknown: nobody can say yet, and settle() will.
Result<void> check_zone(const network::Spec& spec, kernel::os::Firewalld::State state,
                        const std::set<std::string>& zones);
// The zone of a running network's bridge; empty: none.
std::string zone_of(const network::Spec& spec, const std::set<std::string>& zones);

// What the two are told, of bridges whose names the installed files do not cover; empty: nothing.
std::string network_manager_file(const std::set<IfName>& bridges);
std::string networkd_file(const std::set<IfName>& bridges);

class HostSide {
public:
    struct Networks {
        std::function<std::vector<const network::Spec*>()> running;
        // Of ours, also those of networks that do not run; and what definitions of the host's devices make.
        std::function<std::set<IfName>()> bridges;
    };
    HostSide(Host& host, Networks networks);

    // Asks whether firewalld is there; settles when it answers, and whenever it changes.
    void follow();
    Result<void> check(const network::Spec& spec) const;
    // Soon, once for many changes: it looks at every network.
    void settle_soon();
    void settle();

private:
    void settle_zones(const std::vector<const network::Spec*>& running);
    void settle_proxies(const std::vector<const network::Spec*>& running);
    void settle_managers();
    bool settle_file(const std::string& path, const std::string& text);

    Host& host_;
    Networks networks_;
    std::unique_ptr<kernel::os::Firewalld> firewalld_;
    std::unique_ptr<kernel::os::LinkManagers> managers_;
    std::map<IfName, std::string> told_;
    std::unique_ptr<kernel::Watch> later_;
    bool following_ = false, advised_ = false;
    bool proxied_ = true;  // perhaps by a former daemon
};

}  // namespace bascule::daemon
