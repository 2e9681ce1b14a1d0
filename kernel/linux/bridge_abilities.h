// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace bascule::kernel::os {

// What rules of the bridge family can do on this kernel. Asking may load the modules that it takes; nothing else
// changes.
struct BridgeAbilities {
    bool tracking = false;     // `ct`, with nf_conntrack_bridge
    bool reject = false;       // with nft_reject_bridge
    bool bridge_name = false;  // `meta ibrname`, with nft_meta_bridge
};
BridgeAbilities bridge_abilities();

}  // namespace bascule::kernel::os
