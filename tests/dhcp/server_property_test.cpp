// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever clients send and whatever is reconfigured: one address never has two clients, and nobody ever gets an
// address that is not a guest's.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "dhcp/journal.h"
#include "dhcp/server.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

// What the clients believe: who was acknowledged which address until when. Judged from the outside, by replies only.
class Clients {
public:
    void heard(const Message& request, const Outcome& out, const Now& now) {
        if (!out.reply || out.reply->type != MessageType::ack || request.type != MessageType::request) {
            return;
        }
        const Ip address = out.reply->yiaddr;
        const auto holder = held_.find(address);
        ASSERT_TRUE(holder == held_.end() || holder->second.first == request.chaddr ||
                    holder->second.second <= now.time)
            << format(address) << " is " << format(holder->second.first) << "'s, given to " << format(request.chaddr);
        ASSERT_TRUE(Prefix::of(kServer, 24).contains(address));
        ASSERT_NE(address, kServer);
        ASSERT_NE(address, "192.168.122.0"_ip);
        ASSERT_NE(address, "192.168.122.255"_ip);
        gave_up(request.chaddr);
        held_[address] = {request.chaddr, now.time + std::chrono::seconds(*out.reply->options.u32(Opt::lease_time))};
    }
    void gave_up(const MacAddr& mac) {
        std::erase_if(held_, [&](const auto& entry) { return entry.second.first == mac; });
    }

private:
    std::map<Ip, std::pair<MacAddr, Time>> held_;
};

Message random_message(std::mt19937& random, const std::vector<MacAddr>& macs) {
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    const MacAddr mac = macs[pick(static_cast<unsigned>(macs.size()))];
    // Mostly sensible addresses, sometimes the forbidden ones.
    const Ip address = Ip::v4(0xc0a87a00U + (pick(4) == 0 ? pick(256) : 7 + pick(16)));
    Message m;
    switch (pick(10)) {
        case 0:
        case 1: m = discover(mac); break;
        case 2: m = init_reboot(mac, address); break;
        case 3: m = renewing(mac, address); break;
        case 4: m = release(mac, address); break;
        case 5: m = pick(4) == 0 ? decline(mac, address) : discover(mac); break;
        case 6: m = from_client(MessageType::request, mac); break;
        default: m = selecting(mac, address, pick(20) == 0 ? "10.9.9.9"_ip : kServer); break;
    }
    if (pick(3) == 0) {
        m = named(m, pick(2) == 0 ? "byname" : "vm" + std::to_string(pick(6)));
    }
    return m;
}

TEST(DhcpServerProperty, OneAddressNeverHasTwoClients) {
    const std::vector<MacAddr> macs{
        kMac1, kMac2, kMac3, kReserved, "52:54:00:00:00:04"_mac, "52:54:00:00:00:05"_mac, "52:54:00:00:00:06"_mac};
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        Server server(small_network());
        std::string file = journal::header(kUuid);
        Clients clients;
        std::int64_t time = 0;
        for (int step = 0; step < 2000; ++step) {
            time += static_cast<std::int64_t>(random() % 60);
            const Now now = at(time);
            const Message m = random_message(random, macs);
            const Outcome out = server.handle(m, random() % 2 == 0, now);
            for (const LeaseEvent& event : out.events) {
                file += journal::line_for(event);
                if (event.kind == LeaseEventKind::released) {
                    clients.gave_up(event.lease.port);
                }
            }
            clients.heard(m, out, now);
            ASSERT_FALSE(HasFatalFailure()) << "seed " << seed << " step " << step;
            if (random() % 200 == 0) {  // a crash: only the journal is left
                const auto replay = journal::replay(kUuid, file);
                ASSERT_TRUE(replay && replay->clean());
                Server again(small_network());
                again.restore(replay->records, now);
                ASSERT_EQ(again.leases().active(), server.leases().active());
                server = std::move(again);
            }
            if (random() % 300 == 0) {  // an edit of the network
                Spec spec = small_network();
                spec.subnets[0].ranges = {{"192.168.122.0"_ip, Ip::v4(0xc0a87a00U + 9 + random() % 8)}};
                spec.subnets[0].hosts.push_back(
                    {macs[random() % macs.size()], "", Ip::v4(0xc0a87a00U + 10 + random() % 6)});
                server.configure(spec);
            }
        }
    }
}

}  // namespace
}  // namespace bascule::dhcp
