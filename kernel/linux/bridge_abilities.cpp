// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/bridge_abilities.h"

#include <nftables/libnftables.h>

#include <memory>
#include <string>
#include <string_view>

namespace bascule::kernel::os {

namespace {

struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

// A transaction that the kernel checks and then throws away (`nft -c`).
bool takes(nft_ctx* context, std::string_view rule) {
    const std::string script =
        "add table bridge bascule_probe\n"
        "add chain bridge bascule_probe probe { type filter hook prerouting priority 0; }\n"
        "add rule bridge bascule_probe probe " +
        std::string(rule) + "\n";
    return nft_run_cmd_from_buffer(context, script.c_str()) == 0;
}

}  // namespace

BridgeAbilities bridge_abilities() {
    const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) {
        return {};
    }
    nft_ctx_buffer_output(context.get());
    nft_ctx_buffer_error(context.get());
    nft_ctx_set_dry_run(context.get(), true);
    return {.tracking = takes(context.get(), "ct state new"),
            .reject = takes(context.get(), "reject"),
            .bridge_name = takes(context.get(), "meta ibrname \"bascule\"")};
}

}  // namespace bascule::kernel::os
