// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/lease_news.h"

#include <gtest/gtest.h>

#include "rpc/proto_bascule.h"
#include "rpc/proto_qemu.h"
#include "tests/rpc/support.h"
#include "tests/support/fake_io.h"

namespace bascule::daemon {
namespace {

namespace proto = rpc::proto;

const MacAddr kGuestMac{{0x52, 0x54, 0, 0, 0, 1}};

Uuid uuid(std::uint8_t last) {
    Uuid out;
    out.octets[15] = last;
    return out;
}

dhcp::LeaseEvent given(std::uint8_t network, std::uint32_t host = 10) {
    dhcp::Lease lease{.network = uuid(network), .port = kGuestMac, .address = Ip::v4(0x0a000000 + host)};
    lease.prefix_length = 24;
    lease.expires = std::chrono::sys_seconds(std::chrono::seconds(1000));
    lease.hostname = "web";
    return {dhcp::LeaseEventKind::added, lease};
}

class LeaseNewsTest : public testing::Test {
protected:
    LeaseNewsTest() {
        rig_.open();
        lookups_.network = [](const Uuid& id) -> std::optional<proto::Network> {
            return id == uuid(9) ? std::nullopt : std::optional(proto::Network{.name = "lab", .uuid = id});
        };
        lookups_.guest = [](const Uuid& id, const MacAddr& mac) -> std::optional<proto::Domain> {
            return id == uuid(1) && mac == kGuestMac ? std::optional(proto::Domain{.name = "vm", .uuid = uuid(7)})
                                                     : std::nullopt;
        };
    }
    void listen(const std::optional<proto::Network>& network) {
        ASSERT_TRUE(subscriptions_.add(*rig_.session, Subscriptions::Class::lease, 0, network));
    }
    std::vector<proto::network_event_lease_msg> heard() {
        std::vector<proto::network_event_lease_msg> out;
        for (const auto& packet : rig_.received()) {
            EXPECT_EQ(packet.header.program, rpc::program::bascule);
            out.push_back(packet.as<proto::network_event_lease_msg>());
        }
        return out;
    }
    test::FakeLoop loop_;
    rpc::test::Rig rig_;
    Subscriptions subscriptions_;
    LeaseNews::Lookups lookups_;
};

TEST_F(LeaseNewsTest, SaysWhatBecameOfALeaseToWhoAskedForItsNetwork) {
    LeaseNews news(loop_, subscriptions_, lookups_);
    news.tell(given(1));
    EXPECT_TRUE(heard().empty());
    listen(proto::Network{.name = "lab", .uuid = uuid(1)});
    news.tell(given(2));
    EXPECT_TRUE(heard().empty());
    news.tell(given(1));
    auto event = given(1);
    event.kind = dhcp::LeaseEventKind::expired;
    event.lease.expires = dhcp::kNever;
    news.tell(event);
    const auto all = heard();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].event, LeaseNews::added);
    EXPECT_EQ(all[0].net.name, "lab");
    EXPECT_EQ(all[0].mac, "52:54:00:00:00:01");
    EXPECT_EQ(all[0].address, "10.0.0.10");
    EXPECT_EQ(all[0].prefix, 24U);
    EXPECT_EQ(all[0].hostname, "web");
    EXPECT_EQ(all[0].expires, 1000);
    EXPECT_EQ(all[1].event, LeaseNews::expired);
    EXPECT_EQ(all[1].expires, 0);
}

TEST_F(LeaseNewsTest, OfAFloodTheRestIsCounted) {
    LeaseNews news(loop_, subscriptions_, lookups_);
    listen(std::nullopt);
    for (std::uint32_t i = 0; i < LeaseNews::kOfNetwork + 50; ++i) {
        news.tell(given(1, i));
    }
    news.tell(given(2));
    news.tell(given(9));  // a network that has just gone
    EXPECT_EQ(heard().size(), LeaseNews::kOfNetwork + 1);
    loop_.advance(std::chrono::seconds(2));
    const auto rest = heard();
    ASSERT_EQ(rest.size(), 1U);
    EXPECT_EQ(rest[0].event, LeaseNews::missed);
    EXPECT_EQ(rest[0].net.uuid, uuid(1));
    EXPECT_EQ(rest[0].missed, 50U);
    news.tell(given(1));
    EXPECT_EQ(heard().size(), 1U);
}

TEST_F(LeaseNewsTest, ClientsOfNoNewKindHearOfTheirGuests) {
    LeaseNews news(loop_, subscriptions_, lookups_);
    ASSERT_TRUE(subscriptions_.add_monitor(*rig_.session, std::nullopt, "BASCULE_LEASE", false));
    news.tell(given(1));
    news.tell(given(2));  // nobody's NIC
    const auto packets = rig_.received();
    ASSERT_EQ(packets.size(), 1U);
    const auto event = packets[0].as<proto::domain_monitor_event_msg>();
    EXPECT_EQ(event.dom.name, "vm");
    EXPECT_EQ(event.event, "BASCULE_LEASE");
    EXPECT_EQ(event.details, R"({"address":"10.0.0.10","event":"added","expires":1000,"hostname":"web",)"
                             R"("mac":"52:54:00:00:00:01","network":"lab","prefix":24})");
}

}  // namespace
}  // namespace bascule::daemon
