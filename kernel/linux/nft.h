// SPDX-License-Identifier: GPL-2.0-or-later
// nftables: one transaction at a time, and what our tables hold. What changes elements only is written for the kernel
// here (nft_elements.h) and reads nothing; everything else goes through libnftables.
//
// Reading the tables back costs a listing, so it is done only when needed: after a transaction of our own we
// know what they hold. The kernel counts transactions (the generation, shared by all tables of the
// network namespace); while the number is the one that followed our last transaction or reading, nobody else
// has changed anything, and the answer comes from memory. Any other number, and our tables are read again.
//
// A chain that was read carries as many empty texts as it has rules (see kernel/ruleset.h); one that we made keeps its
// texts as long as the number is right.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "kernel/io.h"
#include "kernel/linux/monitor.h"
#include "kernel/ruleset.h"
#include "kernel/state.h"

struct nft_ctx;
struct mnl_socket;

namespace bascule::kernel::os {

class Nft {
public:
    // `generations`, where given, learns of each transaction of ours.
    static Result<std::unique_ptr<Nft>> open(Generations* generations = nullptr);

    Result<Ruleset> observe(const Scope& scope);
    // One transaction. On failure nothing has changed, and the error has nft's words and the line they are about.
    Result<void> run(const RuleBatch& batch);

    // How often our tables were read back, for tests and `status`.
    std::size_t listings() const { return listings_; }
    // How many transactions went through libnftables.
    std::size_t scripts() const { return scripts_; }

private:
    struct FreeContext {
        void operator()(nft_ctx* context) const;
    };
    struct FreeSocket {
        void operator()(mnl_socket* socket) const;
    };

    Nft() = default;
    Result<std::uint32_t> generation();
    Result<void> refresh();
    Result<void> read_tables();
    void keep_texts(Family family, Table& table) const;
    Result<std::string> list(const std::string& what);
    struct Prepared {
        RuleBatch batch;
        RuleBatch revived;  // put in first
    };
    Prepared prepare(const RuleBatch& batch, Time now) const;
    bool change_elements(const Prepared& prepared, Time now);
    Error explain(const std::string& script, std::string first_words);

    std::unique_ptr<nft_ctx, FreeContext> context_;
    std::unique_ptr<mnl_socket, FreeSocket> socket_;
    Ruleset rules_;
    // The generation that rules_ is true for; none: must be read.
    std::optional<std::uint32_t> known_;
    std::uint32_t sequence_ = 1;
    std::size_t listings_ = 0, scripts_ = 0;
    Generations* generations_ = nullptr;
};

}  // namespace bascule::kernel::os
