// SPDX-License-Identifier: GPL-2.0-or-later
// A console between a session and a terminal whose other end, the guest's, is the test's.
#include "daemon/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "tests/rpc/support.h"
#include "tests/support/fake_io.h"

namespace bascule::daemon {
namespace {

using rpc::test::Rig;
namespace proto = rpc::proto;

class ConsoleTest : public testing::Test {
protected:
    ConsoleTest() : guest_(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) {
        ::grantpt(guest_.get());
        ::unlockpt(guest_.get());
        termios raw{};
        ::tcgetattr(guest_.get(), &raw);
        ::cfmakeraw(&raw);
        ::tcsetattr(guest_.get(), TCSANOW, &raw);
        std::array<char, 64> name{};
        EXPECT_EQ(::ptsname_r(guest_.get(), name.data(), name.size()), 0);
        terminal_ = name.data();
        rig_.handlers.add<proto::domain_open_console>(
            [this](Call&, const proto::domain_open_console_args& args, rpc::Responder<proto::domain_open_console> r) {
                auto console = consoles_.open({uuid_, terminal_}, Consoles::Kind::terminal, (args.flags & 1) != 0);
                if (!console) {
                    r.fail(console.error());
                    return;
                }
                consoles_.attach({uuid_, terminal_}, r.open({}, *std::move(console)));
            });
        rig_.handlers.add<proto::connect_get_hostname>(
            [](Call&, const rpc::Nothing&) -> Result<proto::connect_get_hostname_ret> {
                return proto::connect_get_hostname_ret{.hostname = "here"};
            });
        rig_.open();
    }
    using Call = rpc::Call;
    void open(std::uint32_t serial, std::uint32_t flags = 0) {
        rig_.call<proto::domain_open_console>({.flags = flags}, serial);
    }
    void type(std::string_view text) {
        rig_.session->receive(rpc::encode_packet(
            Rig::stream_header(Rig::header<proto::domain_open_console>(1), rpc::Status::more), as_bytes(text)));
        settle();
    }
    void settle() {
        while (loop_.turn()) {
        }
    }
    std::string guest_reads(std::size_t most = 1 << 20) {
        std::string out(most, '\0');
        const ssize_t n = ::read(guest_.get(), out.data(), out.size());
        out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        settle();
        return out;
    }

    UniqueFd guest_;
    std::string terminal_;
    Uuid uuid_;
    test::FakeLoop loop_;
    Consoles consoles_{loop_};
    Rig rig_;
};

TEST_F(ConsoleTest, CarriesBothWays) {
    open(1);
    EXPECT_EQ(rig_.received().at(0).header.status, rpc::Status::ok);
    type("ls\n");
    EXPECT_EQ(guest_reads(), "ls\n");
    EXPECT_EQ(::write(guest_.get(), "total 0", 7), 7);
    settle();
    const auto packets = rig_.received();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(as_text(packets[0].payload), "total 0");
}

TEST_F(ConsoleTest, IsForOneClientUnlessForced) {
    open(1);
    rig_.received();
    open(2);
    EXPECT_EQ(rig_.received().at(0).error().message, "operation failed: Active console session exists for this domain");
    open(3, 1);
    const auto packets = rig_.received();
    ASSERT_EQ(packets.size(), 2u);
    EXPECT_EQ(packets[0].header.serial, 3u);
    EXPECT_EQ(packets[0].header.status, rpc::Status::ok);
    EXPECT_EQ(packets[1].header.serial, 1u);
    EXPECT_EQ(packets[1].error().code, rpc::error_number::rpc);
    EXPECT_EQ(packets[1].error().domain, rpc::error_domain::streams);
}

TEST_F(ConsoleTest, AGuestThatReadsNothingHoldsUpNoCallAndInTheEndNothingAtAll) {
    open(1);
    rig_.received();
    const std::string much(60000, 'x');
    for (int i = 0; i < 5; ++i) {
        type(much);
        EXPECT_EQ(rig_.ask<proto::connect_get_hostname>({}, 7).header.serial, 7u);
    }
    EXPECT_TRUE(rig_.session->wants_input());
    while (rig_.session->wants_input()) {
        type(much);
    }
    loop_.advance(std::chrono::seconds(31));
    settle();
    rig_.received();
    EXPECT_TRUE(rig_.session->wants_input());
    for (int i = 0; i < 100; ++i) {
        type(much);
        ASSERT_TRUE(rig_.session->wants_input()) << "what a deaf guest is told is lost";
    }
    // It listens again.
    while (!guest_reads().empty()) {
    }
    type("hello");
    EXPECT_EQ(guest_reads(), "hello");
    type("again");
    EXPECT_EQ(guest_reads(), "again");
}

TEST_F(ConsoleTest, ASlowGuestLosesNothing) {
    open(1);
    rig_.received();
    const std::string much(60000, 'y');
    std::size_t sent = 0, got = 0;
    while (rig_.session->wants_input()) {
        type(much);
        sent += much.size();
    }
    for (int i = 0; i < 1000 && got < sent; ++i) {
        got += guest_reads(4000).size();
        loop_.advance(std::chrono::seconds(4));
        settle();
        rig_.received();
    }
    EXPECT_EQ(got, sent);
}

}  // namespace
}  // namespace bascule::daemon
