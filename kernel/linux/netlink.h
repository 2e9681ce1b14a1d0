// SPDX-License-Identifier: GPL-2.0-or-later
// The one rtnetlink socket: messages out, what the kernel answered back. It knows nothing of links or
// addresses; rtnl.h turns our values into messages and back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

struct nl_msg;
struct nl_sock;

namespace bascule::kernel::os {

struct NlMsgFree {
    void operator()(nl_msg* msg) const;
};
using NlMsg = std::unique_ptr<nl_msg, NlMsgFree>;

// What the kernel said to one request.
struct Answer {
    int error = 0;               // 0 or a negative errno, as in the message itself
    std::string text;            // the kernel's own words (extended ack), where it had some
    std::vector<NlMsg> objects;  // what a query returned
    bool done = false;
    bool interrupted = false;  // a dump that something changed while it was taken

    bool failed_with(int positive_errno) const { return error == -positive_errno; }
};

// Answer::error as an Error with the kernel's words: "link virbr0: Device or resource busy (…)".
Result<void> check(const Answer& answer, std::string_view what);

// Sorts the messages of one received datagram into the answers whose requests carried the sequence
// numbers first_sequence, first_sequence + 1, …; anything else is skipped. Code::malformed when lengths do
// not add up. Pure.
Result<void> sort_answers(ByteView datagram, std::uint32_t first_sequence, std::span<Answer> answers);

class Netlink {
public:
    static Result<Netlink> open();

    // Sends all requests with one system call and collects every answer. The kernel works through them in
    // order and does not stop at one that fails. At most one may be a dump, and then it must be alone.
    Result<std::vector<Answer>> talk(std::span<const NlMsg> requests);
    // One request; a dump is repeated when something changed meanwhile.
    Result<Answer> talk(const NlMsg& request);
    // One request that shall succeed; `what` opens the error.
    Result<void> command(const NlMsg& request, std::string_view what);

private:
    struct Free {
        void operator()(nl_sock* sock) const;
    };
    explicit Netlink(nl_sock* sock) : sock_(sock) {}

    std::unique_ptr<nl_sock, Free> sock_;
    // Starts at 1: the kernel uses 0 for notifications.
    std::uint32_t next_sequence_ = 1;
};

}  // namespace bascule::kernel::os
