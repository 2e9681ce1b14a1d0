// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's guest agent as a codec: one exchange with it, and what it says of the guest's network. No I/O.
//
// The agent is a program of the guest behind a virtio-serial port: no greeting, no ids, and what an earlier question
// left behind comes before the answer to the next one. So an exchange begins with guest-sync-delimited: our byte 0xff
// makes the agent forget half a command of somebody else's, its own 0xff before the answer shows where that begins, and
// the number in it tells ours from a late one.
//
//   Exchange exchange(id, "guest-network-get-interfaces");
//   send(exchange.opening());
//   on bytes: TRY(auto next, exchange.feed(bytes)); send(next.send); if (next.answer) …
//
// Every byte is the guest's choice: a line has at most qmp::kMaxLine bytes and qmp::kMaxDepth levels, an exchange at
// most kMaxBytes in all, and an answer is decoded whole before anybody acts on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"
#include "vmm/qmp.h"

namespace bascule::vmm::agent {

// The port that the agent listens on, by its name.
inline constexpr std::string_view kPortName = "org.qemu.guest_agent.0";
inline constexpr std::size_t kMaxBytes = std::size_t{4} << 20;

class Exchange {
public:
    // `id`: another one each time.
    Exchange(std::uint32_t id, std::string_view command, const qmp::Json& arguments = nullptr);

    std::string opening() const;
    bool asked() const { return phase_ == Phase::asked; }  // the command is on its way
    struct Next {
        std::string send{};                 // may be empty
        std::optional<qmp::Json> answer{};  // set: the exchange is over
    };
    // An error ends the exchange, too: the agent's words (Code::unsupported: it does not know the command, or may not
    // do it; else Code::internal), or Code::malformed.
    Result<Next> feed(ByteView bytes);

private:
    enum class Phase { noise, syncing, asked };
    Result<Next> take_line(const std::string& line);

    std::uint32_t id_;
    std::string name_, command_;
    Phase phase_ = Phase::noise;
    std::string line_;
    std::size_t taken_ = 0;
};

// Of the answer to guest-network-get-interfaces.
struct Interface {
    std::string name;  // the guest's, printable
    std::optional<MacAddr> mac{};
    std::vector<IpInterface> addresses{};
    bool operator==(const Interface&) const = default;
};
inline constexpr std::size_t kMostInterfaces = 256, kMostAddresses = 256;  // what is beyond is left out
Result<std::vector<Interface>> interfaces_from(const qmp::Json& answer);

}  // namespace bascule::vmm::agent
