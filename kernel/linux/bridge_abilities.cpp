// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/bridge_abilities.h"

#include <nftables/libnftables.h>

#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

// A transaction that the kernel checks and then throws away (`nft -c`).
bool takes(nft_ctx* context, std::string_view rule, std::string_view object = {}) {
    const std::string script = "add table bridge bascule_probe\n" + std::string(object) +
                               "add chain bridge bascule_probe probe { type filter hook prerouting priority 0; }\n"
                               "add rule bridge bascule_probe probe " +
                               std::string(rule) + "\n";
    return nft_run_cmd_from_buffer(context, script.c_str()) == 0;
}

}  // namespace

BridgeAbilities bridge_abilities(const std::set<std::string>& helpers) {
    const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) {
        return {};
    }
    nft_ctx_buffer_output(context.get());
    nft_ctx_buffer_error(context.get());
    nft_ctx_set_dry_run(context.get(), true);
    const auto takes_inet = [&](std::string_view rule) {
        const std::string script =
            "add table inet bascule_probe\n"
            "add chain inet bascule_probe probe { type filter hook output priority 0; }\n"
            "add rule inet bascule_probe probe " +
            std::string(rule) + "\n";
        return nft_run_cmd_from_buffer(context.get(), script.c_str()) == 0;
    };
    BridgeAbilities out{.tracking = takes(context.get(), "ct state new"),
                        .reject = takes(context.get(), "reject"),
                        .bridge_name = takes(context.get(), "meta ibrname \"bascule\"")};
    out.reject_routed = out.tracking && takes(context.get(), "ct mark set ct mark | 0x1") &&
                        takes_inet("ct mark 0x1 ct mark set ct mark & 0x1 reject with tcp reset") &&
                        takes_inet("reject");
    for (const std::string& helper : helpers) {
        const auto space = helper.find(' ');
        const std::string object = fmt::format("add ct helper bridge bascule_probe h {{ type \"{}\" protocol {}; }}\n",
                                               helper.substr(0, space), helper.substr(space + 1));
        if (out.tracking && takes(context.get(), "ct helper set \"h\"", object)) {
            out.helpers.insert(helper);
        }
    }
    out.timeouts =
        out.tracking && takes(context.get(), "meta l4proto tcp ct timeout set \"t\"",
                              "add ct timeout bridge bascule_probe t { protocol tcp; policy = { close : 5 }; }\n");
    return out;
}

}  // namespace bascule::kernel::os
