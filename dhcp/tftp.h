// SPDX-License-Identifier: GPL-2.0-or-later
// TFTP (RFC 1350) as a server that only reads: blocksize, transfer size, timeout (RFC 2347 to 2349), windowsize
// (RFC 7440). Bytes and time in, bytes out; the file comes from whoever holds it, through a function.
//
// A transfer keeps the blocks of its window until they are acknowledged, so the file is read once, in order, and
// netascii needs no second look. Nothing is sent again for a duplicate acknowledgement (the Sorcerer's Apprentice,
// RFC 1123 section 4.2.3.1), only when time is up, or when a client with a window says by an older one that it missed
// something.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "dhcp/leases.h"

namespace bascule::dhcp::tftp {

enum class Fault : std::uint16_t {
    other = 0,
    not_found = 1,
    access = 2,
    illegal = 4,
    unknown_id = 5,
    options = 8,
};
Bytes encode_error(Fault fault, std::string_view text);

struct Request {
    std::string file;
    bool netascii = false;
    std::optional<std::uint32_t> block_size, timeout, window;
    bool wants_size = false;
    bool operator==(const Request&) const = default;
};
// Code::denied for a write, Code::malformed for what is no request; the text is for the client.
Result<Request> decode_request(ByteView datagram);
bool is_request(ByteView datagram);  // of either kind, whole or not
bool is_message(ByteView datagram);  // of any kind that RFC 1350 and 2347 know, with its number

// A path below the root as openat2() takes it; none for names that cannot be one.
std::optional<std::string> path_of(std::string_view file);

class Transfer {
public:
    // The next bytes of the file, fewer only at its end.
    using Read = std::function<Result<Bytes>(std::size_t most)>;
    static constexpr std::uint32_t kMostBlock = 65464, kMostWindow = 64;
    static constexpr std::size_t kMostWindowBytes = 512U << 10;
    static constexpr unsigned kTries = 6;

    // `block_limit`: what fits the link without fragments.
    Transfer(const Request& request, std::uint64_t size, std::uint32_t block_limit, Read read);

    struct Step {
        std::vector<Bytes> send;
        bool done = false;  // well or not
    };
    Step begin(Time now);
    Step receive(ByteView datagram, Time now);
    Step tick(Time now);
    Time next_tick() const { return deadline_; }
    std::uint64_t sent_bytes() const { return sent_bytes_; }
    bool complete() const { return complete_; }

private:
    void fill();
    void send_window(Step& step, std::size_t from);
    Bytes next_block();

    bool netascii_;
    std::uint32_t block_size_ = 512, window_ = 1;
    std::chrono::seconds timeout_{1};
    Read read_;
    Bytes options_;             // the OACK, until it is acknowledged
    std::deque<Bytes> blocks_;  // sent and not acknowledged; the first has the number first_
    std::uint64_t first_ = 1;
    Bytes pending_;  // netascii: translated and not yet in a block
    bool carriage_ = false, at_end_ = false, complete_ = false;
    unsigned tries_ = 0;
    std::uint64_t sent_bytes_ = 0;
    Time deadline_ = kEndOfTime;
};

}  // namespace bascule::dhcp::tftp
