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

// The frames of a loopback have no sender: theirs is 00:00:00:00:00:00.
class AKnownGate : public AGate {
protected:
    // How many octets of a message that names this port come in.
    std::size_t octets_of(const MacAddr& chaddr) {
        std::string out(240, 'x');
        std::ranges::copy(chaddr.octets, reinterpret_cast<std::uint8_t*>(out.data()) + 28);
        (void)::send(good.get(), out.data(), out.size(), 0);
        const auto all = inbox.receive(server.get());
        return all.empty() ? 0 : all.front().bytes.size();
    }
    std::size_t octets_of(const char* chaddr) { return octets_of(*parse_mac(chaddr)); }
    void drain() {
        while (!inbox.receive(server.get()).empty()) {
        }
    }
    static constexpr std::size_t kWhole = 240, kCut = KnownGate::kForeign;
};

TEST_F(AKnownGate, LetsKnownPortsInOnlyWhileTheQueueStaysFull) {
    KnownGate gate(server.get());
    for (const auto when : {0ms, 100ms}) {
        fill();
        gate.look(start + when);
    }
    drain();
    ASSERT_TRUE(gate.is_due(start + 100ms));
    EXPECT_FALSE(gate.close(start));
    EXPECT_EQ(octets_of("52:54:00:00:00:09"), kWhole);
    ASSERT_TRUE(gate.know({MacAddr{}, *parse_mac("52:54:00:80:ff:fe")}));
    ASSERT_TRUE(gate.close(start));
    EXPECT_EQ(octets_of(MacAddr{}), kWhole);
    for (const char* const other : {"52:54:00:80:ff:fe", "52:54:00:00:00:02", "00:00:00:00:00:01"}) {
        EXPECT_EQ(octets_of(other), 0U) << other;
    }
    EXPECT_EQ(heard(good), 0U);  // too short
    EXPECT_EQ(gate.next_tick(), start + 1s);
    gate.tick(start + 1s);
    EXPECT_EQ(octets_of("02:00:00:00:00:01"), kWhole);
    EXPECT_EQ(heard(good), 10U);
    ASSERT_TRUE(gate.close(start + 1s));
    EXPECT_EQ(gate.next_tick(), start + 3s);
}

TEST_F(AKnownGate, KeepsAKnownPortOutThatItselfFillsTheQueue) {
    const MacAddr flooder, neighbour{{2, 0, 0, 0, 0, 1}};
    KnownGate gate(server.get());
    ASSERT_TRUE(gate.know({flooder, neighbour}));
    const auto stays_full = [&](dhcp::Time from) {
        for (const auto when : {0ms, 100ms}) {
            fill();
            EXPECT_TRUE(gate.look(from + when));
            for (std::uint32_t i = 0; i < Gate::kFlood; ++i) {
                gate.count(flooder);
            }
            gate.count(neighbour);
        }
        drain();
        return gate.is_due(from + 100ms);
    };
    ASSERT_TRUE(stays_full(start));
    ASSERT_TRUE(gate.close(start));
    EXPECT_EQ(octets_of(flooder), 0U);
    gate.tick(start + 1s);
    EXPECT_EQ(octets_of(flooder), kWhole);
}

TEST_F(AKnownGate, CutsWhatNamesAKnownPortAndComesFromElsewhere) {
    KnownGate gate(server.get());
    std::vector<MacAddr> known{MacAddr{}, {{2, 0, 0, 0, 0, 1}}};
    while (known.size() < KnownGate::kMostKnown) {
        const auto n = static_cast<unsigned>(known.size());
        known.push_back({{0x52, 0x54, 0x80, 0, static_cast<std::uint8_t>(n >> 8U), static_cast<std::uint8_t>(n)}});
    }
    ASSERT_TRUE(gate.know(known));
    for (const MacAddr& mac : known) {
        EXPECT_EQ(octets_of(mac), mac.is_zero() ? kWhole : kCut) << format(mac);
    }
    for (const char* const other :
         {"52:54:80:00:00:00", "52:54:80:00:ff:ff", "02:00:00:00:00:02", "52:55:80:00:00:07"}) {
        EXPECT_EQ(octets_of(other), kWhole) << other;
    }
    known.push_back({{2, 0, 0, 0, 0, 2}});
    EXPECT_FALSE(gate.know(known));
    EXPECT_EQ(octets_of(known.back()), kWhole);
    ASSERT_TRUE(gate.know({{{2, 0, 0, 0, 0, 1}}}));
    EXPECT_EQ(octets_of("02:00:00:00:00:01"), kCut);
    ASSERT_TRUE(gate.know({}));
    EXPECT_EQ(octets_of("02:00:00:00:00:01"), kWhole);
}

}  // namespace
}  // namespace bascule::netsvc
