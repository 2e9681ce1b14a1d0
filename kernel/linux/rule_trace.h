// SPDX-License-Identifier: GPL-2.0-or-later
// nftables' trace messages (NFNLGRP_NFTRACE), which everybody hears of all packets that anybody's rule marked.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "kernel/io.h"
#include "kernel/packet_trace.h"

namespace bascule::kernel::os {

// One message with its header; nothing for what is no trace or does not add up. Pure, but for devices' names by number.
std::optional<TraceStep> parse_trace(ByteView message);

class RuleTrace {
public:
    virtual ~RuleTrace() = default;
};

// `lost`: the kernel had more to tell than was read in time. Works in the network namespace of the calling thread.
struct OnTrace {
    std::function<void(const TraceStep&)> step;
    std::function<void()> lost;
};
Result<std::unique_ptr<RuleTrace>> watch_traces(Loop& loop, OnTrace on);

}  // namespace bascule::kernel::os
