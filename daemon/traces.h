// SPDX-License-Identifier: GPL-2.0-or-later
// Clients that watch a port's packets go through the host's rules (`bascule nwfilter trace`).
//
// The rules that mark the packets (nwfilter/tracing.h) are one owner's wish, "trace:PORT". They go with the client's
// stream, and with the daemon: a new one finds chains that nobody wants. What the kernel tells is of everybody's
// packets: those count that were seen to pass one of our marking chains. A packet's bytes pass through as digits.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "daemon/host.h"
#include "daemon/ports.h"
#include "kernel/packet_trace.h"
#include "rpc/stream.h"

namespace bascule::kernel::os {
class RuleTrace;
}

namespace bascule::daemon {

class Traces {
public:
    Traces(Host& host, Ports& ports);
    ~Traces();

    // The stream carries lines: the packet's number, where, rule, verdict, devices in and out, and frame, with tabs
    // between. One client a port, few ports at once, and ten minutes at most.
    Result<std::unique_ptr<rpc::StreamHandler>> open(std::string_view port);
    void attach(std::string_view port, rpc::Stream stream);

private:
    class Trace;
    void forget(const Trace& trace);
    void take(const kernel::TraceStep& step);
    std::string text_of(const kernel::TraceStep& step);

    Host& host_;
    Ports& ports_;
    std::unique_ptr<kernel::os::RuleTrace> kernel_;
    std::map<std::string, Trace*> open_;  // by port
    // Rules' texts by handle, of each chain that a packet passed.
    struct Texts {
        std::map<std::uint64_t, std::string> rules;
        kernel::Time read;
    };
    std::map<std::string, Texts> texts_;
};

}  // namespace bascule::daemon
