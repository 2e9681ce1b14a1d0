// SPDX-License-Identifier: GPL-2.0-or-later
// The real program on real sockets. Needs root for namespaces.
#include <fstream>
#include <random>
#include <set>

#include "dhcp/netsvc/served.h"
#include "tests/dhcp/netsvc/harness.h"

namespace bascule::netsvc::test {
namespace {

std::string content(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(Netsvc, ALeaseIsOnDiskAndToldBeforeItsAckArrives) {
    serve();
    const auto address = get_lease(kMac1);
    ASSERT_TRUE(address);
    EXPECT_EQ(last_.to_mac, kMac1) << "a client without an address is reached by its MAC";
    EXPECT_EQ(last_.to, *address);
    // No waiting here: what must come before the ACK is there.
    EXPECT_TRUE(readable(link_->fd(), 0));
    EXPECT_TRUE(
        content(folder_ / "leases" / (format(kUuid) + ".leases")).contains("+ 52:54:00:00:00:01 " + format(*address)));
    const auto event = link_->next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->lease.address, *address);
    EXPECT_EQ(event->lease.hostname, "vm1");
}

TEST_F(Netsvc, TheDiskIsAskedOnceForAllWhoComeWithinAFewMilliseconds) {
    serve();
    ASSERT_TRUE(get_lease(kMac1));  // at once
    const auto begin = std::chrono::steady_clock::now();
    constexpr int kMore = 5;
    for (std::uint8_t i = 0; i < kMore; ++i) {
        ASSERT_TRUE(get_lease(MacAddr{{2, 0, 0, 0, 0, i}}));
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begin, (kMore - 1) * Served::kGather);
    // Who comes together is not told one after the other.
    for (std::uint8_t i = 0; i < kMore; ++i) {
        say(discover(MacAddr{{2, 0, 0, 0, 1, i}}));
    }
    for (std::uint8_t i = 0; i < kMore; ++i) {
        EXPECT_TRUE(hear_dhcp(MacAddr{{2, 0, 0, 0, 1, i}}, dhcp::MessageType::offer));
    }
}

TEST_F(Netsvc, AClientThatAsksForBroadcastGetsIt) {
    serve();
    dhcp::Message m = discover(kMac1);
    m.broadcast = true;
    say(m);
    ASSERT_TRUE(hear_dhcp(kMac1, dhcp::MessageType::offer));
    EXPECT_EQ(last_.to, "255.255.255.255"_ip);
    say(init_reboot(kMac1, "10.0.0.1"_ip));
    ASSERT_TRUE(hear_dhcp(kMac1, dhcp::MessageType::nak));
    EXPECT_EQ(last_.to, "255.255.255.255"_ip);
}

TEST_F(Netsvc, ARenewalIsAnsweredToTheClientsAddress) {
    serve();
    const auto address = get_lease(kMac1);
    ASSERT_TRUE(address);
    ASSERT_TRUE(run("ip neigh replace " + format(*address) + " lladdr " + format(kMac1) + " dev br0 nud permanent"));
    say(renewing(kMac1, *address), *address, kServer);
    const auto ack = hear_dhcp(kMac1, dhcp::MessageType::ack);
    ASSERT_TRUE(ack);
    EXPECT_EQ(last_.to, *address);
    EXPECT_EQ(ack->ciaddr, *address);
}

// A guest with a lease that asks for names.
struct NetsvcNames : Netsvc {
    std::optional<Ip> address_;
    MacAddr bridge_mac_;

    void SetUp() override {
        Netsvc::SetUp();
        serve();
        address_ = get_lease(kMac1);
        ASSERT_TRUE(address_);
        ASSERT_TRUE(
            run("ip neigh replace " + format(*address_) + " lladdr " + format(kMac1) + " dev br0 nud permanent"));
        // The host takes unicast only in frames to its own MAC.
        sockaddr_ll bridge{};
        socklen_t length = sizeof bridge;
        ASSERT_EQ(::getsockname(raw_.get(), reinterpret_cast<sockaddr*>(&bridge), &length), 0);
        std::copy_n(bridge.sll_addr, 6, bridge_mac_.octets.begin());
    }
    void ask(const Bytes& query) {
        send_frame(dhcp::udp_frame({kMac1, bridge_mac_, *address_, kServer, 4444, 53}, query));
    }
    bool hears(std::uint16_t id, dhcp::Rcode rcode, int answers) {
        return hear(53, [&](const Datagram& d) {
            const auto header = dhcp::decode_header(d.payload);
            return header && header->id == id && header->rcode == rcode && header->answers == answers;
        });
    }
};

TEST_F(NetsvcNames, ANameThatIsAskedForAgainIsAnsweredAsItIsNow) {
    const auto ask_vm1 = [&](std::uint16_t id) { ask(dns_query("vm1.example.test", dhcp::kTypeA, id)); };
    for (std::uint16_t id = 1; id < 4; ++id) {
        ask_vm1(id);
        ASSERT_TRUE(hears(id, dhcp::Rcode::no_error, 1)) << id;
    }
    ASSERT_EQ(link_->next_event()->kind, dhcp::LeaseEventKind::added);
    link_->send(*wire::encode(wire::ToService(wire::RevokeLease{kUuid, kMac1})));
    ASSERT_EQ(link_->next_event()->kind, dhcp::LeaseEventKind::released);
    const UniqueFd upstream = udp_socket("127.0.0.1", 5300, false);
    ask_vm1(5);
    ASSERT_TRUE(readable(upstream.get(), 10000)) << "the name is nobody's here";
    ASSERT_EQ(get_lease(kMac1), address_);
    ask_vm1(7);
    ASSERT_TRUE(hears(7, dhcp::Rcode::no_error, 1));
}

TEST_F(NetsvcNames, NamesOfGuestsAreAnsweredAndOthersForwarded) {
    ask(dns_query("vm1.example.test", dhcp::kTypeA, 77));
    ASSERT_TRUE(hears(77, dhcp::Rcode::no_error, 1));

    const UniqueFd upstream = udp_socket("127.0.0.1", 5300, false);
    const Bytes query = dns_query("example.org", dhcp::kTypeA, 78);
    ask(query);
    ASSERT_TRUE(readable(upstream.get(), 10000));
    std::vector<std::byte> buffer(512);
    sockaddr_in from{};
    socklen_t from_length = sizeof from;
    const ssize_t got =
        ::recvfrom(upstream.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_length);
    ASSERT_EQ(got, static_cast<ssize_t>(query.size() + dhcp::kOptSize));
    buffer[2] = std::byte{0x81};
    buffer[3] = std::byte{0x83};
    ::sendto(upstream.get(), buffer.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&from),
             from_length);
    ASSERT_TRUE(hears(78, dhcp::Rcode::nx_domain, 0));
}

TEST_F(Netsvc, ServesOnWithoutADaemonAndANewOneFindsEverything) {
    serve();
    const auto first = get_lease(kMac1);
    link_.reset();  // the daemon dies
    const auto second = get_lease(kMac2, "vm2");
    ASSERT_TRUE(first && second);

    auto daemon = connect();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    auto hello = daemon->hear(deadline);
    ASSERT_TRUE(hello && std::holds_alternative<wire::Hello>(hello->message));
    EXPECT_EQ(std::get<wire::Hello>(hello->message).pid, static_cast<std::uint32_t>(pid_));
    EXPECT_EQ(std::get<wire::Hello>(hello->message).generation, 1U);
    auto held = daemon->hear(deadline);
    ASSERT_TRUE(held && std::holds_alternative<wire::Held>(held->message));
    EXPECT_EQ(std::get<wire::Held>(held->message).bridge.str(), "br0");
    ASSERT_EQ(held->fds.size(), 3U);
    auto upstreams = daemon->hear(deadline);
    ASSERT_TRUE(upstreams && std::holds_alternative<wire::HeldUpstreams>(upstreams->message));
    EXPECT_EQ(upstreams->fds.size(), kUpstreams);
    const auto leases = daemon->until_synced(1);
    EXPECT_EQ(leases.size(), 2U);
    EXPECT_EQ(leases.at(*second).port, kMac2);

    // The sockets that came back are the sockets: the service may die and be started on them.
    dhcp_ = std::move(held->fds[0]);
    raw_ = std::move(held->fds[1]);
    dns_ = std::move(held->fds[2]);
    kill_service();
    EXPECT_EQ(serve().size(), 2U);
    EXPECT_EQ(get_lease(kMac1), first);
}

TEST_F(Netsvc, APushWithoutSocketsKeepsThemAndOneWithoutTheNetworkEndsIt) {
    serve();
    ASSERT_TRUE(get_lease(kMac1));
    wire::Network edited = network();
    edited.spec.subnets[0].hosts.push_back({kMac2, "web", "192.168.122.7"_ip});
    push(*link_, edited, 2, false);
    link_->until_synced(2);
    EXPECT_EQ(get_lease(kMac2), "192.168.122.7"_ip);

    link_->send(*wire::encode(wire::ToService(wire::Begin{3})));
    link_->send(*wire::encode(wire::ToService(wire::Commit{3})));
    link_->until_synced(3);
    say(discover(kMac3));
    EXPECT_FALSE(hear_dhcp(kMac3, dhcp::MessageType::offer, std::chrono::milliseconds(200)));
    // Back again, with its leases.
    push(*link_, network(), 4);
    EXPECT_EQ(link_->until_synced(4).size(), 2U);
    EXPECT_TRUE(get_lease(kMac3));
}

TEST_F(Netsvc, WhatADifferenceDoesNotNameStaysAndOneThatDoesNotFollowIsNotDone) {
    serve();
    EXPECT_TRUE(link_->takes_changes);
    const auto first = get_lease(kMac1);
    ASSERT_TRUE(first);
    const auto send = [this](const wire::ToService& message) { link_->send(*wire::encode(message)); };
    send(wire::Begin{2, 1});
    send(wire::Commit{2});
    link_->until_synced(2);
    EXPECT_TRUE(get_lease(kMac2));
    // To a state that it has not: nothing is done, and everything is asked for.
    send(wire::Begin{9, 8, {kUuid}});
    send(wire::Commit{9});
    link_->until_synced(2);
    EXPECT_TRUE(link_->wants_all);
    EXPECT_TRUE(get_lease(kMac3));
    push(*link_, network(), 9, false);
    link_->until_synced(9);
    EXPECT_FALSE(link_->wants_all);
    // Ended, and back with what its file holds, which the daemon hears of without a dump of all.
    send(wire::Begin{10, 9, {kUuid}});
    send(wire::Commit{10});
    link_->until_synced(10);
    say(discover(kMac1));
    EXPECT_FALSE(hear_dhcp(kMac1, dhcp::MessageType::offer, std::chrono::milliseconds(200)));
    send(wire::Begin{11, 10});
    const auto parts = wire::encode_network(network());
    link_->send(parts->front(), {dhcp_.get(), raw_.get(), dns_.get()});
    send(wire::Commit{11});
    EXPECT_EQ(link_->until_synced(11).size(), 3U);
    EXPECT_EQ(get_lease(kMac1), first);
}

TEST_F(Netsvc, ARevokedLeaseIsReportedAndStaysEndedAfterARestart) {
    serve();
    const auto address = get_lease(kMac1);
    ASSERT_EQ(link_->next_event()->kind, dhcp::LeaseEventKind::added);
    link_->send(*wire::encode(wire::ToService(wire::RevokeLease{kUuid, kMac1})));
    const auto event = link_->next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->kind, dhcp::LeaseEventKind::released);
    EXPECT_EQ(event->lease.address, *address);
    kill_service();
    EXPECT_TRUE(serve().empty());
    EXPECT_EQ(get_lease(kMac1), address) << "but it is remembered";
}

TEST_F(Netsvc, ASecondCopyRefusesTheFolder) {
    serve();
    const pid_t first = std::exchange(pid_, -1);
    start();
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, 0), pid_);
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_TRUE(logs("another bascule-netsvc works on this lease folder"));
    pid_ = first;
    EXPECT_TRUE(get_lease(kMac1));
}

TEST_F(Netsvc, TheNewestDaemonWins) {
    serve();
    auto second = connect();
    second->until_synced(1);
    EXPECT_FALSE(link_->hear(std::chrono::steady_clock::now() + kPatience)) << "the first is closed";
    ASSERT_TRUE(get_lease(kMac1));
    EXPECT_TRUE(second->next_event());
}

TEST_F(Netsvc, ADaemonThatTalksNonsenseIsLeft) {
    serve();
    link_->send(bytes({1, 2, 3}));
    EXPECT_FALSE(link_->hear(std::chrono::steady_clock::now() + kPatience));
    EXPECT_TRUE(get_lease(kMac1));
    auto sane = connect();
    EXPECT_EQ(sane->until_synced(1).size(), 1U);
}

TEST_F(Netsvc, ADaemonThatDoesNotReadIsNotWaitedForAndGetsAFreshDump) {
    // Nothing of the disk matters here, and a busy one makes this slow.
    ASSERT_EQ(::mount("none", (folder_ / "leases").c_str(), "tmpfs", 0, nullptr), 0) << std::strerror(errno);
    serve();
    // Far more events than its socket and our own bound (4096) take together.
    constexpr int kPorts = 100;
    for (int round = 0; round < 92; ++round) {
        MacAddr mac{{2, 0, 0, 0, 9, 0}};
        for (int i = 0; i < kPorts; ++i) {
            mac.octets[5] = static_cast<std::uint8_t>(i);
            say(init_reboot(mac, Ip::v4(0xc0a87a00U + 20 + static_cast<unsigned>(i))));
        }
        ASSERT_TRUE(hear_dhcp(mac, dhcp::MessageType::ack)) << "round " << round;
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::size_t events = 0;
    bool reset = false;
    while (!reset) {
        const auto heard = link_->hear(deadline);
        ASSERT_TRUE(heard);
        const auto* report = std::get_if<wire::Leases>(&heard->message);
        reset = report != nullptr && report->reset;
        events += report != nullptr ? report->events.size() : 0;
    }
    EXPECT_LT(events, 92U * kPorts);
    link_->until_synced(1);
    EXPECT_EQ(connect()->until_synced(1).size(), std::size_t{kPorts});
    kill_service();
    ::umount((folder_ / "leases").c_str());
}

// With another's chaddr, in a frame of one's own.
TEST_F(Netsvc, NobodyIsHeardInTheNameOfAnothersNic) {
    start();
    wire::Network what = network();
    what.spec.dns.guests = {{kMac1, "vm1"}};
    push(*link_, what, 1);
    link_->until_synced(1);
    const auto address = get_lease(kMac1);
    ASSERT_TRUE(address);
    ASSERT_EQ(link_->next_event()->kind, dhcp::LeaseEventKind::added);
    const auto forge = [&](dhcp::Message m) {
        send_frame(dhcp::udp_frame({kMac2, *parse_mac("ff:ff:ff:ff:ff:ff"), *address, "192.168.122.1"_ip, 68, 67},
                                   dhcp::encode(m)));
    };
    forge(release(kMac1, *address));
    forge(decline(kMac1, *address));
    forge(discover(kMac1));
    // What was heard before this was.
    ASSERT_TRUE(get_lease(kMac2, "vm2"));
    const auto event = link_->next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->lease.port, kMac2);
    EXPECT_EQ(event->kind, dhcp::LeaseEventKind::added);
    // A MAC address that is no guest's NIC may be behind one.
    forge(discover(MacAddr{{2, 0, 0, 0, 0, 77}}));
    EXPECT_TRUE(hear_dhcp(MacAddr{{2, 0, 0, 0, 0, 77}}, dhcp::MessageType::offer));
    say(release(kMac1, *address), *address, "192.168.122.1"_ip);
    EXPECT_EQ(link_->next_event()->kind, dhcp::LeaseEventKind::released);
}

TEST_F(Netsvc, GarbageAndFloodsDoNotHarm) {
    serve();
    std::mt19937 random(3);
    for (int i = 0; i < 3000; ++i) {
        if (i % 2 == 0) {
            Bytes junk(random() % 600);
            for (std::byte& b : junk) {
                b = static_cast<std::byte>(random());
            }
            static const MacAddr everybody{{255, 255, 255, 255, 255, 255}};
            const auto port = static_cast<std::uint16_t>(i % 4 == 0 ? 67 : 53);
            send_frame(dhcp::udp_frame({kMac2, everybody, Ip(), Ip::v4(0xffffffffU), 68, port}, junk));
        } else {
            say(discover(
                MacAddr{{2, 0, 0, 1, static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random())}}));
        }
    }
    // The flood may fill receive buffers; a client asks again until it is heard.
    std::optional<Ip> address;
    for (int attempt = 0; attempt < 20 && !address; ++attempt) {
        say(discover(kMac1));
        if (const auto offer = hear_dhcp(kMac1, dhcp::MessageType::offer, std::chrono::milliseconds(500))) {
            say(selecting(kMac1, offer->yiaddr));
            if (hear_dhcp(kMac1, dhcp::MessageType::ack)) {
                address = offer->yiaddr;
            }
        }
    }
    EXPECT_TRUE(logs("messages dropped: "));
    EXPECT_TRUE(address);
    EXPECT_TRUE(running());
}

TEST_F(Netsvc, WithoutItsLeaseFileANetworkHasNoDhcpAndTheDaemonIsTold) {
    std::ofstream(folder_ / "leases" / (format(kUuid) + ".leases")) << [] {
        const std::string body = "bascule-leases 99 " + format(kUuid);
        char crc[16];
        std::snprintf(crc, sizeof crc, "%08x ", dhcp::journal::crc32c(body));
        return crc + body + "\n";
    }();
    serve();
    ASSERT_EQ(link_->troubles.size(), 1U);
    EXPECT_TRUE(link_->troubles[0].what.contains("lease file of format 99")) << link_->troubles[0].what;
    say(discover(kMac1));
    EXPECT_FALSE(hear_dhcp(kMac1, dhcp::MessageType::offer, std::chrono::milliseconds(200)));
}

TEST_F(Netsvc, NobodyIsAcknowledgedWhatAFullDiskDidNotTake) {
    ASSERT_EQ(::mount("none", (folder_ / "leases").c_str(), "tmpfs", 0, "size=32k"), 0) << std::strerror(errno);
    serve();
    std::ofstream filler(folder_ / "leases" / "filler");
    while (filler << std::string(4096, 'x') << std::flush) {
    }
    filler.close();
    // The last page of the journal has room left; then comes the end.
    std::set<Ip> acknowledged;
    for (int i = 0; i < 200 && !log_text_.contains("nobody is acknowledged"); ++i) {
        const MacAddr mac{{2, 0, 0, 0, 7, static_cast<std::uint8_t>(i)}};
        say(discover(mac));
        const auto offer = hear_dhcp(mac, dhcp::MessageType::offer);
        ASSERT_TRUE(offer);
        say(selecting(mac, offer->yiaddr));
        const auto ack = hear_dhcp(mac, dhcp::MessageType::ack, std::chrono::milliseconds(300));
        if (ack) {
            acknowledged.insert(ack->yiaddr);
        } else {
            EXPECT_TRUE(logs("nobody is acknowledged"));
        }
    }
    EXPECT_TRUE(log_text_.contains("No space left on device")) << log_text_;
    const auto on_disk = dhcp::journal::replay(kUuid, content(folder_ / "leases" / (format(kUuid) + ".leases")));
    ASSERT_TRUE(on_disk);
    EXPECT_GE(on_disk->records.size(), acknowledged.size());

    std::filesystem::remove(folder_ / "leases" / "filler");
    std::optional<dhcp::Message> ack;
    for (int attempt = 0; attempt < 20 && !ack; ++attempt) {  // it tries the disk once a second
        say(init_reboot(kMac1, "192.168.122.77"_ip));
        ack = hear_dhcp(kMac1, dhcp::MessageType::ack, std::chrono::milliseconds(300));
    }
    EXPECT_TRUE(ack);
    kill_service();
    const auto leases = serve();
    for (const Ip& address : acknowledged) {
        EXPECT_TRUE(leases.contains(address)) << format(address);
    }
    kill_service();
    ::umount((folder_ / "leases").c_str());
}

TEST_F(Netsvc, KilledUnderTrafficItLosesNoAcknowledgedLease) {
    std::mt19937 random(11);
    std::map<MacAddr, Ip> acknowledged;
    std::uint8_t next = 0;
    for (int kills = 0; kills < 25; ++kills) {
        const auto leases = serve();
        for (const auto& [mac, address] : acknowledged) {
            ASSERT_TRUE(leases.contains(address))
                << "kill " << kills << ": " << format(mac) << " lost " << format(address);
            ASSERT_EQ(leases.at(address).port, mac);
        }
        // Many at once, so that the kill hits a batch half done; nobody waits for anybody.
        std::vector<MacAddr> clients;
        for (int i = 0; i < 8; ++i) {
            clients.push_back(MacAddr{{2, 0, 0, 0, 5, next++}});
            say(init_reboot(clients.back(), Ip::v4(0xc0a87a00U + 10 + clients.back().octets[5] % 240U)));
        }
        const int wanted = static_cast<int>(random() % 8);
        for (int heard = 0; heard < wanted; ++heard) {
            hear(67, [&](const Datagram& d) { return note(d, acknowledged); }, std::chrono::milliseconds(1000));
        }
        kill_service();
        while (hear(67, [&](const Datagram& d) { return note(d, acknowledged); }, std::chrono::milliseconds(1))) {
        }
    }
    EXPECT_GE(acknowledged.size(), 50U);
}

}  // namespace
}  // namespace bascule::netsvc::test
