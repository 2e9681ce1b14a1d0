// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/gate.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "dhcp/netsvc/batch_io.h"

namespace bascule::netsvc {
namespace {

using namespace std::chrono_literals;

Endpoint at(const char* address, std::uint16_t port = 0) { return {*parse_ip(address), port}; }

UniqueFd udp(const Endpoint& where, const Endpoint* to = nullptr) {
    const int family = where.address.is_v4() ? AF_INET : AF_INET6;
    UniqueFd fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    socklen_t size = 0;
    auto address = to_sockaddr(where, size);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    if (to != nullptr) {
        address = to_sockaddr(*to, size);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    }
    return fd;
}

Endpoint name_of(const UniqueFd& fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return *from_sockaddr(address);
}

// A server, and two clients.
class AGate : public testing::Test {
protected:
    void make(const char* here, const char* bad_one, const char* good_one) {
        server = udp(at(here));
        const Endpoint there = name_of(server);
        bad = udp(at(bad_one), &there);
        good = udp(at(good_one), &there);
    }
    void SetUp() override { make("127.0.0.1", "127.0.0.2", "127.0.0.3"); }
    // Sends until the queue is full, and more.
    void fill() {
        for (int i = 0; i < 5000; ++i) {
            (void)::send(bad.get(), "flood", 5, 0);
        }
    }
    // A turn: what is in the queue is read, and counted if that was full. Tells who was barred.
    std::size_t turn(Gate& gate, dhcp::Time now) {
        const bool full = gate.is_full(now);
        for (auto all = inbox.receive(server.get()); !all.empty(); all = inbox.receive(server.get())) {
            for (const Incoming& in : all) {
                if (full) {
                    gate.count(in.from.address);
                }
            }
        }
        return gate.settle(now);
    }
    // A queue that stays full.
    std::size_t flood(Gate& gate, dhcp::Time now) {
        std::size_t barred = 0;
        for (const auto when : {0ms, 50ms, 100ms}) {
            fill();
            barred += turn(gate, now + when);
        }
        return barred;
    }
    // How many of ten datagrams come in.
    std::size_t heard(const UniqueFd& from) {
        for (int i = 0; i < 10; ++i) {
            (void)::send(from.get(), "hello", 5, 0);
        }
        return inbox.receive(server.get()).size();
    }

    UniqueFd server, bad, good;
    Inbox inbox;
    const dhcp::Time start{1000s};
};

TEST_F(AGate, KeepsWhoFloodsOutForAWhileAndLongerWhenItGoesOn) {
    Gate gate(server.get());
    EXPECT_EQ(gate.next_tick(), dhcp::kEndOfTime);
    EXPECT_EQ(flood(gate, start), 1U);
    const auto began = start + 100ms;
    EXPECT_EQ(heard(bad), 0U);
    EXPECT_EQ(heard(good), 10U);
    gate.tick(began + 999ms);
    EXPECT_EQ(heard(bad), 0U);
    EXPECT_EQ(gate.next_tick(), began + 1s);
    gate.tick(began + 1s);
    EXPECT_EQ(heard(bad), 10U);

    EXPECT_EQ(flood(gate, began + 2s), 1U);
    EXPECT_EQ(gate.next_tick(), began + 4100ms);
    EXPECT_EQ(heard(bad), 0U);
    gate.tick(began + 4100ms);
    EXPECT_EQ(heard(bad), 10U);
    gate.tick(gate.next_tick());
    EXPECT_EQ(gate.next_tick(), dhcp::kEndOfTime);
}

TEST_F(AGate, WaitsUntilAQueueStaysFull) {
    Gate gate(server.get());
    fill();
    EXPECT_EQ(turn(gate, start), 0U);
    EXPECT_EQ(turn(gate, start + 50ms), 0U);  // nothing is there
    fill();
    EXPECT_EQ(turn(gate, start + 110ms), 0U);
    EXPECT_EQ(heard(bad), 10U);
}

TEST_F(AGate, SparesWhoHasLittleOfTheQueue) {
    Gate gate(server.get());
    for (const auto when : {0ms, 100ms}) {
        fill();
        for (std::uint32_t i = 0; i < Gate::kFlood; ++i) {
            gate.count(at("127.0.0.3").address);
        }
        EXPECT_EQ(turn(gate, start + when), when == 0ms ? 0U : 1U);
    }
    EXPECT_EQ(heard(good), 10U);
    EXPECT_EQ(heard(bad), 0U);
}

TEST_F(AGate, OpensForTheNextHolderOfTheSocket) {
    {
        Gate gate(server.get());
        flood(gate, start);
    }
    EXPECT_EQ(heard(bad), 0U);
    const Gate next(server.get());
    EXPECT_EQ(heard(bad), 10U);
}

TEST_F(AGate, ComparesTheWholeOfAnIpv6Address) {
    make("::1", "::1", "::1");
    Gate gate(server.get());
    for (const char* const other : {"::2", "1::1"}) {
        fill();
        EXPECT_TRUE(gate.is_full(start));
        for (std::uint32_t i = 0; i < Gate::kFlood; ++i) {
            gate.count(at(other).address);
        }
        EXPECT_EQ(gate.settle(start + 100ms), 1U);
    }
    while (!inbox.receive(server.get()).empty()) {
    }
    EXPECT_EQ(heard(bad), 10U);
    EXPECT_EQ(flood(gate, start), 1U);
    EXPECT_EQ(heard(bad), 0U);
}

TEST_F(AGate, ForDhcpLetsKnownPortsInOnly) {
    const auto message = [](const char* chaddr) {
        std::string out(240, 'x');
        const auto mac = *parse_mac(chaddr);
        std::ranges::copy(mac.octets, reinterpret_cast<std::uint8_t*>(out.data()) + 28);
        return out;
    };
    const auto heard_of = [&](const char* chaddr) {
        const std::string bytes = message(chaddr);
        (void)::send(good.get(), bytes.data(), bytes.size(), 0);
        return inbox.receive(server.get()).size() == 1;
    };
    KnownGate gate(server.get());
    for (const auto when : {0ms, 100ms}) {
        fill();
        gate.look(start + when);
    }
    while (!inbox.receive(server.get()).empty()) {
    }
    ASSERT_TRUE(gate.is_due(start + 100ms));
    EXPECT_FALSE(gate.close({}, start));
    EXPECT_TRUE(heard_of("52:54:00:00:00:09"));
    ASSERT_TRUE(gate.close({*parse_mac("52:54:00:00:00:01"), *parse_mac("52:54:00:80:ff:fe")}, start));
    EXPECT_TRUE(heard_of("52:54:00:00:00:01"));
    EXPECT_TRUE(heard_of("52:54:00:80:ff:fe"));
    for (const char* const other : {"52:54:00:00:00:02", "52:54:00:80:00:01", "02:00:00:00:00:01"}) {
        EXPECT_FALSE(heard_of(other)) << other;
    }
    EXPECT_EQ(heard(good), 0U);  // too short
    EXPECT_EQ(gate.next_tick(), start + 1s);
    gate.tick(start + 1s);
    EXPECT_TRUE(heard_of("02:00:00:00:00:01"));
    std::vector<MacAddr> many;
    for (std::uint8_t i = 0; many.size() < KnownGate::kMostKnown; ++i) {
        many.push_back({{0x52, 0x54, static_cast<std::uint8_t>(many.size() >> 8U), 0, 0, i}});
    }
    ASSERT_TRUE(gate.close(many, start + 1s));
    EXPECT_EQ(gate.next_tick(), start + 3s);
    EXPECT_TRUE(heard_of("52:54:01:00:00:01"));
    EXPECT_FALSE(heard_of("52:54:02:00:00:01"));
    many.push_back({});
    EXPECT_FALSE(gate.close(many, start + 2s));
}

}  // namespace
}  // namespace bascule::netsvc
