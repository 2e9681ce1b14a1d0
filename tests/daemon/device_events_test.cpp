// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/device_events.h"

#include <gtest/gtest.h>

#include "daemon/subscriptions.h"
#include "rpc/proto_node_device.h"
#include "tests/rpc/support.h"
#include "tests/support/fake_io.h"

namespace bascule::daemon {
namespace {

using namespace std::chrono_literals;
namespace proto = rpc::proto;
using kernel::HostDevice;

class DeviceEventsTest : public testing::Test {
protected:
    DeviceEventsTest() {
        rig.open();
        devices = {{.name = "computer"}, {.name = "net_eth0_x"}, {.name = "pci_1"}};
    }
    void subscribe() {
        ASSERT_TRUE(events.begin());
        for (const std::int32_t event : {0, 1}) {
            ASSERT_TRUE(subscriptions.add<proto::NodeDevice>(*rig.session, Subscriptions::Class::node_device, event,
                                                             std::nullopt));
        }
    }
    // What comes of events of the kernel, many in a row: "+name", "-name", "~name".
    std::vector<std::string> told() {
        heard();
        heard();
        EXPECT_TRUE(rig.received().empty());
        loop.advance(DeviceEvents::kSettle);
        std::vector<std::string> out;
        for (const auto& packet : rig.received()) {
            if (packet.header.procedure == proto::node_device_event_update::number) {
                out.push_back("~" + packet.as<proto::node_device_event_update_msg>().dev.name);
            } else {
                const auto message = packet.as<proto::node_device_event_lifecycle_msg>();
                out.push_back((message.event == 0 ? "+" : "-") + message.dev.name);
            }
        }
        return out;
    }

    test::FakeLoop loop;
    rpc::test::Rig rig;
    Subscriptions subscriptions;
    std::vector<HostDevice> devices;
    std::function<void()> heard;
    int listening = 0;
    struct Ear : kernel::Watch {
        explicit Ear(int& ears) : count(ears) { ++count; }
        ~Ear() override { --count; }
        int& count;
    };
    DeviceEvents events{loop, subscriptions, [this] { return devices; },
                        [this](std::function<void()> on) -> Result<std::unique_ptr<kernel::Watch>> {
                            heard = std::move(on);
                            return std::make_unique<Ear>(listening);
                        }};
};

TEST_F(DeviceEventsTest, TellWhatCameWentAndChanged) {
    subscribe();
    EXPECT_EQ(told(), std::vector<std::string>{});
    devices[1].facts["operstate"] = "up";
    devices.insert(devices.begin() + 1, HostDevice{.name = "net_a"});
    devices.push_back({.name = "usb_1"});
    EXPECT_EQ(told(), (std::vector<std::string>{"+net_a", "~net_eth0_x", "+usb_1"}));
    devices.erase(devices.begin() + 1, devices.begin() + 3);
    devices.pop_back();
    EXPECT_EQ(told(), (std::vector<std::string>{"-net_a", "-net_eth0_x", "-usb_1"}));
    devices[0].facts["ifindex"] = "7";
    EXPECT_EQ(told(), (std::vector<std::string>{"~computer"}));
    devices[0].facts["ifindex"] = "8";
    EXPECT_EQ(told(), (std::vector<std::string>{"-computer", "+computer"}));
    devices[1].name = "pci_2";
    EXPECT_EQ(told(), (std::vector<std::string>{"-pci_1", "+pci_2"}));
}

TEST_F(DeviceEventsTest, NobodyIsListenedForWhenNobodyListens) {
    EXPECT_EQ(listening, 0);
    subscribe();
    EXPECT_EQ(listening, 1);
    ASSERT_TRUE(events.begin());
    EXPECT_EQ(listening, 1);
    ASSERT_TRUE(subscriptions.remove(*rig.session, Subscriptions::Class::node_device, 0));
    devices.pop_back();
    told();
    EXPECT_EQ(listening, 1);
    ASSERT_TRUE(subscriptions.remove(*rig.session, Subscriptions::Class::node_device, 1));
    told();
    EXPECT_EQ(listening, 0);
    devices.pop_back();
    subscribe();
    EXPECT_EQ(told(), std::vector<std::string>{});
}

}  // namespace
}  // namespace bascule::daemon
