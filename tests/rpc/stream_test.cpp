// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/stream.h"

#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_storage.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

struct Log {
    std::string data;
    bool finished = false, aborted = false, gone = false;
    int writable = 0;
};

class Console : public StreamHandler {
public:
    Console(Log& log, bool confirm_later, bool holes) : log_(log), confirm_later_(confirm_later), holes_(holes) {}
    ~Console() override { log_.gone = true; }
    void on_data(Stream& stream, ByteView data) override {
        log_.data += as_text(data);
        if (data.size() == 4 && as_text(data) == "fail") {
            stream.fail({Code::internal, "asked to"});
            stream.send(as_bytes("never seen"));
        }
    }
    void on_finish(Stream& stream) override {
        log_.finished = true;
        if (!confirm_later_) {
            stream.finish();
        }
    }
    void on_hole(Stream& stream, std::uint64_t length) override {
        if (!holes_) {
            StreamHandler::on_hole(stream, length);
            return;
        }
        log_.data += "<" + std::to_string(length) + ">";
    }
    void on_abort() override { log_.aborted = true; }
    void on_writable(Stream&) override { ++log_.writable; }

private:
    Log& log_;
    const bool confirm_later_, holes_;
};

class Streams : public testing::Test {
protected:
    void open(bool confirm_later = false, const Limits& limits = {}) {
        rig_ = std::make_unique<Rig>(Peer{}, limits);
        rig_->handlers.add<proto::domain_open_console>([this, confirm_later](Call&,
                                                                             const proto::domain_open_console_args&,
                                                                             Responder<proto::domain_open_console> r) {
            stream_ = r.open({}, std::make_unique<Console>(log_, confirm_later, understands_holes_));
        });
        rig_->handlers.add<proto::connect_get_hostname>(
            [](Call&, const Nothing&) -> Result<proto::connect_get_hostname_ret> {
                return proto::connect_get_hostname_ret{.hostname = "here"};
            });
        rig_->open();
        EXPECT_EQ(rig_->ask<proto::domain_open_console>({}, 4).header.status, Status::ok);
    }
    void client_sends(Status status, std::string_view data = {}, MessageType type = MessageType::stream) {
        Header header = Rig::stream_header(call_, status);
        header.type = type;
        rig_->session->receive(encode_packet(header, as_bytes(data)));
    }
    void expect_packet(const Received& packet, Status status, std::string_view data = {}) {
        EXPECT_EQ(packet.header, Rig::stream_header(call_, status));
        EXPECT_EQ(as_text(packet.payload), data);
    }

    const Header call_ = Rig::header<proto::domain_open_console>(4);
    bool understands_holes_ = false;
    Log log_;
    std::unique_ptr<Rig> rig_;
    Stream stream_;
};

TEST_F(Streams, CarryDataBothWaysUnaligned) {
    open();
    client_sends(Status::more, "l");
    client_sends(Status::more, "s\n");
    EXPECT_EQ(log_.data, "ls\n");
    EXPECT_TRUE(stream_.send(as_bytes("total 0")));
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    expect_packet(packets[0], Status::more, "total 0");
}

TEST_F(Streams, TheClientLeaves) {
    open();
    client_sends(Status::ok);
    EXPECT_TRUE(log_.finished);
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    expect_packet(packets[0], Status::ok);
    EXPECT_FALSE(stream_.alive());
    EXPECT_TRUE(log_.gone);
    client_sends(Status::more, "late");
    client_sends(Status::ok);
    client_sends(Status::error);
    EXPECT_TRUE(rig_->received().empty());
    EXPECT_EQ(log_.data, "");
}

TEST_F(Streams, TheGuestStops) {
    open();
    stream_.end();
    stream_.end();
    EXPECT_FALSE(stream_.send(as_bytes("after the end")));
    auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    expect_packet(packets[0], Status::more);
    client_sends(Status::ok);
    packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    expect_packet(packets[0], Status::ok);
    EXPECT_FALSE(stream_.alive());
}

TEST_F(Streams, AnUploadConfirmsWhenItIsSafe) {
    open(true);
    client_sends(Status::ok);
    client_sends(Status::more, "after the finish");
    EXPECT_TRUE(rig_->received().empty());
    EXPECT_EQ(log_.data, "");
    EXPECT_TRUE(stream_.alive());
    stream_.finish();
    ASSERT_EQ(rig_->received().size(), 1u);
    EXPECT_FALSE(stream_.alive());
}

TEST_F(Streams, AnAbortIsConfirmed) {
    open();
    client_sends(Status::error);
    EXPECT_TRUE(log_.aborted);
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    expect_packet(packets[0], Status::ok);
    EXPECT_FALSE(stream_.alive());
    EXPECT_TRUE(log_.gone);
}

TEST_F(Streams, MayFailFromInsideTheirOwnCallback) {
    open();
    client_sends(Status::more, "fail");
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].header.status, Status::error);
    EXPECT_EQ(packets[0].error().domain, error_domain::streams);
    EXPECT_EQ(packets[0].error().message, "internal error: asked to");
    EXPECT_FALSE(stream_.alive());
    EXPECT_TRUE(log_.gone);
}

TEST_F(Streams, AnEmptyPacketFromTheClientIsNothing) {
    open();
    client_sends(Status::more);
    EXPECT_TRUE(rig_->received().empty());
    EXPECT_TRUE(stream_.alive());
}

TEST_F(Streams, LargeDataIsSplitAsOldClientsNeedIt) {
    open(false, {.stream_high = 1 << 20});
    const std::string data(2 * kMaxStreamData + 1, 'd');
    stream_.send(as_bytes(data));
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 3u);
    EXPECT_EQ(packets[0].payload.size(), kMaxStreamData);
    EXPECT_EQ(packets[2].payload.size(), 1u);
}

TEST_F(Streams, TellTheSourceToWaitAndToGoOn) {
    open(false, {.stream_high = 1000});
    EXPECT_FALSE(stream_.send(as_bytes(std::string(2000, 'd'))));
    EXPECT_EQ(log_.writable, 0);
    rig_->received();
    EXPECT_EQ(log_.writable, 1);
    EXPECT_TRUE(stream_.send(as_bytes("more")));
}

TEST_F(Streams, ASinkThatIsFullHoldsOnlyItsOwnPackets) {
    open();
    stream_.pause();
    rig_->call<proto::connect_get_hostname>({}, 8);
    EXPECT_EQ(rig_->received().size(), 1u);
    client_sends(Status::more, "a");
    client_sends(Status::more, "b");
    client_sends(Status::ok);
    EXPECT_EQ(log_.data, "");
    EXPECT_TRUE(rig_->session->wants_input());
    EXPECT_EQ(rig_->ask<proto::connect_get_hostname>({}, 9).header.serial, 9u) << "calls behind them are not held up";
    stream_.resume();
    EXPECT_EQ(rig_->received().size(), 1u);
    EXPECT_EQ(log_.data, "ab");
    EXPECT_TRUE(log_.finished);
    EXPECT_TRUE(rig_->session->wants_input());
}

TEST_F(Streams, CannotShareASerial) {
    open();
    const Received second = rig_->ask<proto::domain_open_console>({}, 4);
    EXPECT_EQ(second.header.status, Status::error);
    EXPECT_FALSE(stream_.alive()) << "the handle of the second";
    client_sends(Status::more, "first");
    EXPECT_EQ(log_.data, "first");
}

TEST_F(Streams, AreNotWithoutNumber) {
    open(false, {.streams = 3});
    EXPECT_EQ(rig_->ask<proto::domain_open_console>({}, 5).header.status, Status::ok);
    EXPECT_EQ(rig_->ask<proto::domain_open_console>({}, 6).header.status, Status::ok);
    EXPECT_EQ(rig_->ask<proto::domain_open_console>({}, 7).header.status, Status::error);
}

TEST_F(Streams, HolesAreRefusedWhereNobodyUnderstandsThem) {
    open();
    client_sends(Status::more, std::string_view("\0\0\0\0\0\0\x10\0\0\0\0\0", 12), MessageType::stream_hole);
    EXPECT_EQ(rig_->received().at(0).header.status, Status::error);
    EXPECT_EQ(log_.data, "");
}

TEST_F(Streams, HolesTravelBothWaysInOrder) {
    understands_holes_ = true;
    open();
    client_sends(Status::more, "a");
    client_sends(Status::more, std::string_view("\0\0\0\1\0\0\0\0\0\0\0\0", 12), MessageType::stream_hole);
    client_sends(Status::more, "b");
    EXPECT_EQ(log_.data, "a<4294967296>b");
    EXPECT_TRUE(stream_.send(as_bytes("x")));
    EXPECT_TRUE(stream_.send_hole(65536));
    EXPECT_FALSE(stream_.send_hole(std::uint64_t{1} << 63)) << "it travels as a signed number";
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 2u);
    Header hole = Rig::stream_header(call_, Status::more);
    hole.type = MessageType::stream_hole;
    EXPECT_EQ(packets[1].header, hole);
    EXPECT_EQ(packets[1].payload, from_hex("0000000000010000"
                                           "00000000"));
}

TEST_F(Streams, AHoleThatDoesNotDecodeFailsTheStream) {
    for (const std::string hex : {"", "0000", "000000000000100000000001", "ffffffffffffffff00000000"}) {
        understands_holes_ = true;
        open();
        const Bytes payload = from_hex(hex);
        client_sends(Status::more, as_text(payload), MessageType::stream_hole);
        const auto packets = rig_->received();
        ASSERT_EQ(packets.size(), 1u) << hex;
        EXPECT_EQ(packets[0].header.status, Status::error) << hex;
        EXPECT_FALSE(stream_.alive());
    }
}

TEST_F(Streams, EndWithTheConnection) {
    open();
    rig_->session->receive(from_hex("00000000"));
    EXPECT_FALSE(stream_.alive());
    rig_->session->next_output();
    EXPECT_TRUE(log_.gone);
    Log other;
    std::swap(other, log_);
    open();
    rig_.reset();
    EXPECT_TRUE(log_.gone);
    EXPECT_FALSE(stream_.send(as_bytes("x")));
    stream_.end();
    stream_.finish();
    stream_.fail({});
    stream_.pause();
    stream_.resume();
}

}  // namespace
}  // namespace bascule::rpc::test
