// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/subscriptions.h"

#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_node_device.h"
#include "rpc/proto_qemu.h"
#include "rpc/proto_secret.h"
#include "rpc/proto_storage.h"
#include "tests/rpc/support.h"

namespace bascule::daemon {
namespace {

namespace proto = rpc::proto;
using Class = Subscriptions::Class;
using rpc::test::Rig;

Uuid uuid(std::uint8_t last) {
    Uuid out;
    out.octets[15] = last;
    return out;
}

class SubscriptionsTest : public testing::Test {
protected:
    SubscriptionsTest() { rig_.open(); }
    template <class T>
    std::int32_t add(Class what, std::int32_t event, const std::optional<T>& object) {
        const auto id = subscriptions_.add(*rig_.session, what, event, object);
        EXPECT_TRUE(id) << id.error().message;
        return id.value_or(-1);
    }
    template <class P>
    typename P::Msg only() {
        const auto packets = rig_.received();
        EXPECT_EQ(packets.size(), 1u);
        if (packets.empty()) {
            return {};
        }
        EXPECT_EQ(packets[0].header.program, P::program);
        EXPECT_EQ(packets[0].header.procedure, P::number);
        EXPECT_EQ(packets[0].header.type, rpc::MessageType::event);
        return packets[0].as<typename P::Msg>();
    }
    Rig rig_;
    Subscriptions subscriptions_;
};

TEST_F(SubscriptionsTest, EveryClassHasItsEventsAndIdsAreUniqueOverAll) {
    std::vector<std::int32_t> ids;
    for (std::int32_t event = 0; event < 28; ++event) {
        ids.push_back(add<proto::Domain>(Class::domain, event, std::nullopt));
    }
    for (std::int32_t event = 0; event < 2; ++event) {
        ids.push_back(add<proto::Network>(Class::network, event, std::nullopt));
        ids.push_back(add<proto::StoragePool>(Class::storage_pool, event, std::nullopt));
        ids.push_back(add<proto::NodeDevice>(Class::node_device, event, std::nullopt));
        ids.push_back(add<proto::Secret>(Class::secret, event, std::nullopt));
    }
    ids.push_back(subscriptions_.add_monitor(*rig_.session, std::nullopt, std::nullopt, false).value());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_EQ(ids[i], static_cast<std::int32_t>(i));
    }
    for (const auto& refused : {subscriptions_.add<proto::Domain>(*rig_.session, Class::domain, 28, std::nullopt),
                                subscriptions_.add<proto::Domain>(*rig_.session, Class::domain, -1, std::nullopt),
                                subscriptions_.add<proto::Secret>(*rig_.session, Class::secret, 2, std::nullopt),
                                subscriptions_.add<proto::Domain>(*rig_.session, Class::domain, 3, std::nullopt)}) {
        EXPECT_EQ(refused.error().code, Code::invalid_argument);
    }

    subscriptions_.publish<proto::storage_pool_event_refresh>({.pool = {.name = "p"}});
    EXPECT_EQ(only<proto::storage_pool_event_refresh>().callback_id, ids[33]);
    subscriptions_.publish<proto::node_device_event_lifecycle>({.dev = {.name = "d"}, .event = 1});
    EXPECT_EQ(only<proto::node_device_event_lifecycle>().callback_id, ids[30]);
    subscriptions_.publish<proto::secret_event_value_changed>({.secret = {.usage_id = "s"}});
    EXPECT_EQ(only<proto::secret_event_value_changed>().callback_id, ids[35]);
    subscriptions_.publish<proto::network_event_callback_metadata_change>({.net = {.name = "n"}, .type = 1});
    EXPECT_EQ(only<proto::network_event_callback_metadata_change>().callback_id, ids[32]);
    subscriptions_.publish<proto::domain_event_callback_tray_change>({.msg = {.dev_alias = "cd"}});
    const auto tray = only<proto::domain_event_callback_tray_change>();
    EXPECT_EQ(tray.callback_id, 10);
    EXPECT_EQ(tray.msg.dev_alias, "cd");
    subscriptions_.publish<proto::domain_event_nic_mac_change>({.alias = "net0"});
    EXPECT_EQ(only<proto::domain_event_nic_mac_change>().callback_id, 27);
    subscriptions_.publish_monitor({.name = "vm"}, "RTC_CHANGE", 1, 2, "{}");
    EXPECT_EQ(only<proto::domain_monitor_event>().callback_id, ids[36]);
}

TEST_F(SubscriptionsTest, OneObjectOrAll) {
    const auto one = add<proto::Domain>(Class::domain, 0, proto::Domain{.name = "a", .uuid = uuid(1)});
    subscriptions_.publish(DomainEvent{.name = "b", .uuid = uuid(2), .id = 2, .event = 2, .detail = 0});
    EXPECT_TRUE(rig_.received().empty());
    subscriptions_.publish(DomainEvent{.name = "a", .uuid = uuid(1), .id = 1, .event = 2, .detail = 0});
    EXPECT_EQ(only<proto::domain_event_callback_lifecycle>().callback_id, one);
    const auto all = add<proto::Domain>(Class::domain, 0, std::nullopt);
    subscriptions_.publish(DomainEvent{.name = "a", .uuid = uuid(1), .id = 1, .event = 2, .detail = 0});
    const auto packets = rig_.received();
    ASSERT_EQ(packets.size(), 2u);
    EXPECT_EQ(packets[0].as<proto::domain_event_callback_lifecycle_msg>().callback_id, one);
    EXPECT_EQ(packets[1].as<proto::domain_event_callback_lifecycle_msg>().callback_id, all);
}

TEST_F(SubscriptionsTest, WhoDeregistersOrHangsUpHearsNothingMore) {
    const auto id = add<proto::Network>(Class::network, 0, std::nullopt);
    EXPECT_FALSE(subscriptions_.remove(*rig_.session, Class::domain, id)) << "not of that class";
    EXPECT_TRUE(subscriptions_.remove(*rig_.session, Class::network, id));
    EXPECT_FALSE(subscriptions_.remove(*rig_.session, Class::network, id));
    subscriptions_.publish(NetworkEvent{.name = "n", .uuid = uuid(1), .event = 2});
    EXPECT_TRUE(rig_.received().empty());
    add<proto::Network>(Class::network, 0, std::nullopt);
    rig_.session.reset();
    subscriptions_.publish(NetworkEvent{.name = "n", .uuid = uuid(1), .event = 2});
}

TEST_F(SubscriptionsTest, NobodyDeregistersForAnother) {
    const auto id = add<proto::Network>(Class::network, 0, std::nullopt);
    Rig other;
    other.open();
    EXPECT_FALSE(subscriptions_.remove(*other.session, Class::network, id));
}

TEST_F(SubscriptionsTest, OldClientsGetTheOldForm) {
    ASSERT_TRUE(subscriptions_.add_old(*rig_.session, 0));
    ASSERT_TRUE(subscriptions_.add_old(*rig_.session, 12));
    EXPECT_FALSE(subscriptions_.add_old(*rig_.session, 0));
    EXPECT_FALSE(subscriptions_.add_old(*rig_.session, 16));
    subscriptions_.publish(DomainEvent{.name = "a", .uuid = uuid(1), .id = 1, .event = 2, .detail = 3});
    const auto life = only<proto::domain_event_lifecycle>();
    EXPECT_EQ(life.dom.name, "a");
    EXPECT_EQ(life.detail, 3);
    subscriptions_.publish<proto::domain_event_callback_pmsuspend>({.reason = 9, .msg = {.dom = {.name = "b"}}});
    EXPECT_EQ(only<proto::domain_event_pmsuspend>().dom.name, "b");
    EXPECT_TRUE(subscriptions_.remove_old(*rig_.session, 0));
    EXPECT_FALSE(subscriptions_.remove_old(*rig_.session, 0));
}

TEST_F(SubscriptionsTest, WhatHappensToAGuestReachesWhoAsked) {
    for (const std::int32_t event : {1, 7, 13, 18}) {
        add<proto::Domain>(Class::domain, event, std::nullopt);
    }
    const auto tell = [&](const auto& what) {
        subscriptions_.publish(DomainNews{.name = "a", .uuid = uuid(1), .id = 4, .what = what},
                               kernel::WallTime(std::chrono::microseconds(5'000'007)));
    };
    tell(DomainNews::Rebooted{});
    EXPECT_EQ(only<proto::domain_event_callback_reboot>().msg.dom.id, 4);
    tell(DomainNews::Resized{.memory_kib = 65536});
    EXPECT_EQ(only<proto::domain_event_callback_balloon_change>().msg.actual, 65536u);
    tell(DomainNews::ControlError{});
    EXPECT_EQ(only<proto::domain_event_callback_control_error>().msg.dom.name, "a");
    tell(DomainNews::Agent{.connected = true});
    EXPECT_EQ(only<proto::domain_event_callback_agent_lifecycle>().state, 1);
    tell(DomainNews::Monitor{.event = "RTC_CHANGE", .data = "{}"});
    EXPECT_TRUE(rig_.received().empty());
    ASSERT_TRUE(subscriptions_.add_monitor(*rig_.session, std::nullopt, std::nullopt, false));
    tell(DomainNews::Monitor{.event = "RTC_CHANGE", .data = ""});
    const auto event = only<proto::domain_monitor_event>();
    EXPECT_EQ(event.seconds, 5);
    EXPECT_EQ(event.micros, 7u);
    EXPECT_FALSE(event.details);
}

TEST_F(SubscriptionsTest, MonitorEventsAreChosenByNameAndDomain) {
    const proto::Domain a{.name = "a", .uuid = uuid(1)}, b{.name = "b", .uuid = uuid(2)};
    EXPECT_FALSE(subscriptions_.any(Subscriptions::Class::monitor));
    ASSERT_TRUE(subscriptions_.add_monitor(*rig_.session, a, "STOP", false));
    ASSERT_TRUE(subscriptions_.add_monitor(*rig_.session, std::nullopt, "resume", true));
    EXPECT_TRUE(subscriptions_.any(Subscriptions::Class::monitor));
    const auto heard = [&](const proto::Domain& domain, const std::string& event) {
        subscriptions_.publish_monitor(domain, event, 0, 0, std::nullopt);
        return rig_.received().size();
    };
    EXPECT_EQ(heard(a, "STOP"), 1u);
    EXPECT_EQ(heard(b, "STOP"), 0u);
    EXPECT_EQ(heard(a, "stop"), 0u);
    EXPECT_EQ(heard(b, "RESUME"), 1u);
}

}  // namespace
}  // namespace bascule::daemon
