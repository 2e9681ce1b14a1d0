// SPDX-License-Identifier: GPL-2.0-or-later
// Other programs' nftables rules (iptables-nft's included), read to find those that drop what we let pass: a drop in
// one base chain is final, whatever another accepts. Read-only. What a rule's words mean that are not known here is
// left open: such a rule may match or not, and a finding says so.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/net.h"
#include "base/result.h"

struct nft_ctx;

namespace bascule::kernel::os {

// A packet in the abstract, for which the foreign chains are walked.
struct ProbePacket {
    std::string hook;      // "forward", "input", …
    std::string iif, oif;  // empty: any
    Ip source, destination;
    bool destination_known = true, source_known = true;
    bool established = false;
    std::uint8_t protocol = 6;
    std::uint16_t port = 0;  // destination; 0: any
};

struct ForeignDrop {
    std::string family, table, chain;
    int handle = -1;      // of the rule; -1: the chain's policy
    std::string rule;     // as nft prints it; of a policy, the chain's type line
    unsigned unread = 0;  // rules before it that might have accepted, in words not known here
    bool operator==(const ForeignDrop&) const = default;
};

class ForeignRules {
public:
    static Result<ForeignRules> read();                        // all tables but ours, without the contents of sets
    static Result<ForeignRules> parse(std::string_view json);  // of what `nft -j list table` prints; adds up

    // The base chains that drop the packet, in the order in which it meets them.
    std::vector<ForeignDrop> drops(const ProbePacket& packet) const;
    // Whether another program filters forwarded packets.
    bool forwards() const;
    bool empty() const;
    Result<void> add(std::string_view json);

    ForeignRules();
    ~ForeignRules();
    ForeignRules(ForeignRules&&) noexcept;
    ForeignRules& operator=(ForeignRules&&) noexcept;

private:
    struct Tables;
    std::unique_ptr<Tables> tables_;
};

// The text of a rule, or of a chain's type line, as `nft list chain` prints it. For findings.
std::string rule_text(const ForeignDrop& drop);
// The texts of a chain's rules by their handles, whosesoever table it is in; empty when it is not there.
std::map<std::uint64_t, std::string> rule_texts(std::string_view family, std::string_view table,
                                                std::string_view chain);

}  // namespace bascule::kernel::os
