// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/fd.h"
#include "rpc/client.h"

namespace bascule::cli {

// The daemon's Unix socket as the client's transport; blocking.
class SocketTransport : public rpc::Transport {
public:
    // Code::unreachable when nobody serves there, Code::denied when we may not.
    static Result<SocketTransport> connect(const std::string& path);

    Result<void> write(ByteView all) override;
    Result<std::size_t> read(std::span<std::byte> into) override;

private:
    explicit SocketTransport(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

}  // namespace bascule::cli
