// SPDX-License-Identifier: GPL-2.0-or-later
// What the tests of rpc/ share: captured packets, and a session with both ends in hand.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/session.h"
#include "tests/support/golden.h"

namespace bascule::rpc::test {

struct Captured {
    std::string what;  // "virsh list, client, call network-lookup-by-name"
    std::string sender, type, status;
    Bytes bytes;
};

inline Bytes from_hex(const std::string& text) {
    Bytes out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        out.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
    }
    return out;
}

// Packets of real clients and daemons. Bytes that carry descriptors are not in the file.
inline std::vector<Captured> captured_packets() {
    std::istringstream in(bascule::test::read_file(std::filesystem::path(TEST_SOURCE_DIR) / "tests/rpc/frames.tsv"));
    std::vector<Captured> out;
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
        std::vector<std::string> cells;
        std::istringstream row(line);
        for (std::string cell; std::getline(row, cell, '\t');) {
            cells.push_back(cell);
        }
        if (cells.size() == 7) {
            out.push_back({cells[0] + ", " + cells[1] + ", " + cells[2] + " " + cells[3], cells[1], cells[2], cells[5],
                           from_hex(cells[6])});
        }
    }
    return out;
}

// Descriptors of nothing in particular.
inline std::vector<UniqueFd> some_fds(std::size_t n) {
    std::vector<UniqueFd> out;
    for (std::size_t i = 0; i < n; ++i) {
        out.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    return out;
}

struct Received {
    Header header;
    Bytes payload;
    std::vector<int> fds;  // numbers, as the session held them

    template <class T>
    T as() const {
        auto value = decode<T>(payload);
        EXPECT_TRUE(value) << "does not decode";
        return value ? *std::move(value) : T{};
    }
    proto::Error error() const { return as<proto::Error>(); }
};

// A session whose client is the test.
class Rig {
public:
    explicit Rig(const Peer& peer = {}, const Limits& limits = {}) {
        handlers.add<proto::connect_open>([](Call&, const proto::connect_open_args& args) -> Result<void> {
            if (args.name != "qemu:///system") {
                return bascule::fail(Code::unreachable, "no connection driver available for " + args.name.value_or(""));
            }
            return {};
        });
        session = Session::create(handlers, peer, [this] { ++wakes; }, limits);
    }

    template <class P>
    static Header header(std::uint32_t serial) {
        Header out;
        out.program = P::program;
        out.procedure = P::number;
        out.serial = serial;
        return out;
    }
    static Header stream_header(const Header& call, Status status) {
        Header out = call;
        out.type = MessageType::stream;
        out.status = status;
        return out;
    }
    template <class P>
    void call(const typename P::Args& args, std::uint32_t serial) {
        session->receive(encode_packet(header<P>(serial), encode(args).value()));
    }
    // With the reply.
    template <class P>
    Received ask(const typename P::Args& args, std::uint32_t serial = 900) {
        call<P>(args, serial);
        auto all = received();
        EXPECT_EQ(all.size(), 1u);
        return all.empty() ? Received{} : std::move(all.back());
    }
    void open(std::uint32_t flags = 0) {
        const Received reply = ask<proto::connect_open>({.name = "qemu:///system", .flags = flags});
        ASSERT_EQ(reply.header.status, Status::ok);
    }

    // All that the session has to say, `at_most` bytes a write.
    std::vector<Received> received(std::size_t at_most = 1 << 30) {
        std::vector<Received> out;
        std::vector<int> fds;
        for (int seen = -1; seen != wakes;) {
            seen = wakes;
            write_out(at_most, fds);
        }
        for (auto head = reader.peek(); head && *head; head = reader.peek()) {
            const Frame frame = reader.take();
            out.push_back({frame.header, Bytes(frame.payload.begin(), frame.payload.end()), {}});
            for (std::size_t i = 0; i < frame.fds.size() && !fds.empty(); ++i) {
                out.back().fds.push_back(fds.front());
                fds.erase(fds.begin());
            }
        }
        return out;
    }
    // One go, as a server does it after each wake.
    void write_out(std::size_t at_most, std::vector<int>& fds) {
        for (auto chunk = session->next_output(); !chunk.bytes.empty(); chunk = session->next_output()) {
            const std::size_t n = std::min(at_most, chunk.bytes.size());
            if (chunk.fd >= 0) {
                EXPECT_EQ(chunk.bytes.size(), 1u);
                fds.push_back(chunk.fd);
                reader.append(chunk.bytes.first(n), some_fds(1));
            } else {
                reader.append(chunk.bytes.first(n));
            }
            session->sent(n);
        }
    }

    Handlers handlers;
    std::shared_ptr<Session> session;
    FrameReader reader;
    int wakes = 0;
};

}  // namespace bascule::rpc::test
