// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <set>
#include <string>

namespace bascule::kernel::os {

// What rules of the bridge family can do on this kernel. Asking may load the modules that it takes; nothing else
// changes.
struct BridgeAbilities {
    bool tracking = false;     // `ct`, with nf_conntrack_bridge
    bool reject = false;       // with nft_reject_bridge
    bool bridge_name = false;  // `meta ibrname`, with nft_meta_bridge
    // Marks of connections set in the bridge, and `reject` with `ct mark` in the IP layer.
    bool reject_routed = false;
    // Of the protocols asked for, as "ftp tcp": those whose further connections can be known (nf_conntrack_ftp).
    std::set<std::string> helpers{};
    bool timeouts = false;  // of connections (CONFIG_NF_CONNTRACK_TIMEOUT)
};
BridgeAbilities bridge_abilities(const std::set<std::string>& helpers);

}  // namespace bascule::kernel::os
