// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/qemu_events.h"

#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "tests/rpc/support.h"
#include "vmm/defaults.h"
#include "vmm/xml.h"

namespace bascule::daemon {
namespace {

namespace proto = rpc::proto;

vmm::Spec a_spec() {
    auto spec = vmm::parse(R"(<domain type='qemu'><name>g</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><source file='/srv/g.img'/><target dev='vda' bus='virtio'/></disk></devices>
</domain>)");
    EXPECT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(vmm::complete(*spec, {.mac = [] { return MacAddr{}; }}));
    return *spec;
}

class QemuEvents : public testing::Test {
protected:
    QemuEvents() {
        rig_.open();
        for (const std::int32_t event : {2, 3, 4, 5, 6, 10, 11, 12, 14, 25}) {
            EXPECT_TRUE(
                subscriptions_.add(*rig_.session, Subscriptions::Class::domain, event, std::optional<proto::Domain>()));
        }
    }
    std::vector<rpc::test::Received> told(const std::string& event, const std::string& data) {
        publish_qemu_event(subscriptions_, spec_,
                           {.name = "g", .uuid = spec_.uuid, .id = 7, .what = DomainNews::Monitor{event, data}});
        return rig_.received();
    }

    rpc::test::Rig rig_;
    Subscriptions subscriptions_;
    vmm::Spec spec_ = a_spec();
};

TEST_F(QemuEvents, AWatchdogThatBarkedIsTold) {
    const auto got = told("WATCHDOG", R"({"action": "inject-nmi"})");
    ASSERT_EQ(got.size(), 1u);
    const auto msg = got[0].as<proto::domain_event_callback_watchdog::Msg>().msg;
    EXPECT_EQ(msg.action, 6);
    EXPECT_EQ(msg.dom, (proto::Domain{.name = "g", .uuid = spec_.uuid, .id = 7}));
}

TEST_F(QemuEvents, ADiskThatFailedIsToldWithItsImage) {
    const std::string device = "/machine/peripheral/" + vmm::disk_alias(spec_.disks[0]) + "/virtio-backend";
    const auto got = told("BLOCK_IO_ERROR", R"({"device": "", "operation": "write", "action": "stop", "nospace": true,
"qdev": ")" + device + R"("})");
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0].header.procedure, proto::domain_event_callback_io_error::number);
    const auto msg = got[1].as<proto::domain_event_callback_io_error_reason::Msg>().msg;
    EXPECT_EQ(msg.src_path, "/srv/g.img");
    EXPECT_EQ(msg.dev_alias, "virtio-disk0");
    EXPECT_EQ(msg.action, 1);
    EXPECT_EQ(msg.reason, "enospc");
}

TEST_F(QemuEvents, ATrayThatMovedIsTold) {
    const auto got = told("DEVICE_TRAY_MOVED", R"({"device": "", "id": "sata0-0-0", "tray-open": true})");
    ASSERT_EQ(got.size(), 1u);
    const auto msg = got[0].as<proto::domain_event_callback_tray_change::Msg>().msg;
    EXPECT_EQ(msg.dev_alias, "sata0-0-0");
    EXPECT_EQ(msg.reason, 0);
}

TEST_F(QemuEvents, AClientOfTheDisplayIsToldWithBothEnds) {
    const auto got = told("VNC_DISCONNECTED", R"({
"server": {"auth": "none", "family": "ipv4", "service": "5900", "host": "127.0.0.1", "websocket": false},
"client": {"family": "ipv6", "service": "40000", "host": "::1", "sasl_username": "fred"}})");
    ASSERT_EQ(got.size(), 1u);
    const auto msg = got[0].as<proto::domain_event_callback_graphics::Msg>().msg;
    EXPECT_EQ(msg.phase, 2);
    EXPECT_EQ(msg.local, (proto::DomainEventGraphicsAddress{.family = 0, .node = "127.0.0.1", .service = "5900"}));
    EXPECT_EQ(msg.remote, (proto::DomainEventGraphicsAddress{.family = 1, .node = "::1", .service = "40000"}));
    EXPECT_EQ(msg.auth_scheme, "none");
    ASSERT_EQ(msg.subject.size(), 1u);
    EXPECT_EQ(msg.subject[0], (proto::DomainEventGraphicsIdentity{.type = "saslUsername", .name = "fred"}));
}

TEST_F(QemuEvents, SleepClockAndBrokenMemoryAreTold) {
    EXPECT_EQ(told("SUSPEND", "").at(0).header.procedure, proto::domain_event_callback_pmsuspend::number);
    EXPECT_EQ(told("SUSPEND_DISK", "").at(0).header.procedure, proto::domain_event_callback_pmsuspend_disk::number);
    EXPECT_EQ(told("WAKEUP", "").at(0).header.procedure, proto::domain_event_callback_pmwakeup::number);
    EXPECT_EQ(told("RTC_CHANGE", R"({"offset": -78, "qom-path": "/machine"})")
                  .at(0)
                  .as<proto::domain_event_callback_rtc_change::Msg>()
                  .msg.offset,
              -78);
    const auto got = told("MEMORY_FAILURE", R"({"recipient": "guest", "action": "inject",
"flags": {"action-required": true, "recursive": true}})");
    const auto msg = got.at(0).as<proto::domain_event_memory_failure::Msg>();
    EXPECT_EQ(msg.recipient, 1);
    EXPECT_EQ(msg.action, 1);
    EXPECT_EQ(msg.flags, 3u);
}

// QEMU may have been taken over by its guest.
TEST_F(QemuEvents, WhatIsNoSuchEventIsNobodys) {
    for (const char* const event :
         {"WATCHDOG", "BLOCK_IO_ERROR", "DEVICE_TRAY_MOVED", "RTC_CHANGE", "MEMORY_FAILURE", ""}) {
        for (const char* const data : {"", "{", "[]", "7", "{}", R"({"action": 7, "id": {}, "qdev": []})"}) {
            EXPECT_TRUE(told(event, data).empty()) << event << " " << data;
        }
    }
    const auto got = told("VNC_CONNECTED", R"({"server": 5, "client": {"host": ["x"]}})");
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].as<proto::domain_event_callback_graphics::Msg>().msg.remote.node, "");
}

}  // namespace
}  // namespace bascule::daemon
