// SPDX-License-Identifier: GPL-2.0-or-later
// kernel::Monitor over two netlink sockets: nf_tables' transactions, and rtnetlink's links, addresses and routes.
//
// nf_tables announces a transaction as a message for each thing in it, then one with its generation number and the
// process that asked for it (NFT_MSG_NEWGEN). Generations of our own are known (Generations); of any other it is noted
// whether a message before it named one of our tables.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "kernel/io.h"
#include "kernel/monitor.h"

namespace bascule::kernel::os {

// The generations that our own transactions made, shared between who makes them and who hears of them.
class Generations {
public:
    void note_own(std::uint32_t id);
    bool is_own(std::uint32_t id) const;

private:
    std::deque<std::uint32_t> own_;  // the latest, so that what nobody listens to does not pile up
};

// What one datagram of each socket says, added to `out`. Pure, but for a device's name by its number.
struct RuleNews {
    bool touched = false;  // by the transaction whose generation is still to come
};
void read_rule_news(ByteView datagram, const Generations& generations, RuleNews& news, Change& out);
void read_link_news(ByteView datagram, Change& out);

// Works in the network namespace of the calling thread. `on` is called from the loop, at once for rules; what
// happens to links in quick succession is told together.
Result<std::unique_ptr<Monitor>> make_monitor(Loop& loop, const Generations& generations, OnChange on);

}  // namespace bascule::kernel::os
