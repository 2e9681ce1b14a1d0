// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/transfer.h"

#include <gtest/gtest.h>

#include "rpc/proto_storage.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

struct Log {
    std::string text;
    bool gone = false;
};

// Pieces that were prepared, given at once or when the test says so.
class Pieces : public Source {
public:
    Pieces(Log& log, std::vector<Result<Piece>> pieces, Source::Done* later)
        : log_(log), pieces_(std::move(pieces)), later_(later) {}
    ~Pieces() override { log_.gone = true; }
    void read(std::size_t most, Done done) override {
        EXPECT_EQ(most, kMaxStreamData);
        log_.text += "read ";
        if (later_ != nullptr) {
            *later_ = std::move(done);
        } else {
            done(at_ < pieces_.size() ? pieces_[at_++] : Result<Piece>(Piece{}));
        }
    }

private:
    Log& log_;
    std::vector<Result<Piece>> pieces_;
    std::size_t at_ = 0;
    Source::Done* later_;
};

class Written : public Sink {
public:
    Written(Log& log, Sink::Done* later) : log_(log), later_(later) {}
    ~Written() override { log_.gone = true; }
    void write(Bytes data, Done done) override { say(std::string(as_text(data)), std::move(done)); }
    void skip(std::uint64_t length, Done done) override { say("<" + std::to_string(length) + ">", std::move(done)); }
    void finish(Done done) override { say(" finished", std::move(done)); }

private:
    void say(const std::string& what, Done done) {
        log_.text += what;
        if (later_ != nullptr) {
            *later_ = std::move(done);
        } else {
            done({});
        }
    }
    Log& log_;
    Sink::Done* later_;
};

class Transfers : public testing::Test {
protected:
    void download_of(std::vector<Result<Piece>> pieces, Source::Done* later = nullptr, const Limits& limits = {}) {
        rig_ = std::make_unique<Rig>(Peer{}, limits);
        rig_->handlers.add<proto::storage_vol_download>(
            [this, pieces, later](Call&, const proto::storage_vol_download_args&,
                                  Responder<proto::storage_vol_download> r) {
                download(r, {}, std::make_unique<Pieces>(log_, pieces, later));
            });
        rig_->open();
        rig_->call<proto::storage_vol_download>({}, 4);
        call_ = Rig::header<proto::storage_vol_download>(4);
    }
    void upload_to(Sink::Done* later = nullptr) {
        rig_ = std::make_unique<Rig>(Peer{});
        rig_->handlers.add<proto::storage_vol_upload>(
            [this, later](Call&, const proto::storage_vol_upload_args&, Responder<proto::storage_vol_upload> r) {
                upload(r, {}, std::make_unique<Written>(log_, later));
            });
        rig_->open();
        EXPECT_EQ(rig_->ask<proto::storage_vol_upload>({}, 4).header.status, Status::ok);
        call_ = Rig::header<proto::storage_vol_upload>(4);
    }
    void client_sends(Status status, std::string_view data = {}, MessageType type = MessageType::stream) {
        Header header = Rig::stream_header(call_, status);
        header.type = type;
        rig_->session->receive(encode_packet(header, as_bytes(data)));
    }
    static Piece piece(std::string_view text, std::uint64_t hole = 0) {
        const ByteView bytes = as_bytes(text);
        return {.data = Bytes(bytes.begin(), bytes.end()), .hole = hole};
    }

    Log log_;
    std::unique_ptr<Rig> rig_;
    Header call_;
};

TEST_F(Transfers, ADownloadIsReplyDataHolesAndAnEnd) {
    download_of({piece("ab"), piece("cd", 4096), piece("", 512)});
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 6u);
    EXPECT_EQ(packets[0].header.type, MessageType::reply);
    EXPECT_EQ(as_text(packets[1].payload), "ab");
    EXPECT_EQ(packets[2].header.type, MessageType::stream_hole);
    EXPECT_EQ(as_text(packets[3].payload), "cd");
    EXPECT_EQ(packets[4].payload, from_hex("000000000000020000000000"));
    EXPECT_EQ(packets[5].header, Rig::stream_header(call_, Status::more));
    EXPECT_TRUE(packets[5].payload.empty());
    client_sends(Status::ok);
    EXPECT_EQ(rig_->received().at(0).header.status, Status::ok);
    EXPECT_TRUE(log_.gone);
}

TEST_F(Transfers, ADownloadIsReadOnlyAsFastAsTheClientReads) {
    download_of(std::vector<Result<Piece>>(100, piece(std::string(1000, 'd'))), nullptr, {.stream_high = 10000});
    const auto reads = [this] { return std::ranges::count(log_.text, ' '); };
    EXPECT_LE(reads(), 11);
    EXPECT_LT(rig_->session->queued(), 12000u);
    std::size_t bytes = 0;
    for (const Received& packet : rig_->received()) {
        bytes += packet.header.type == MessageType::stream ? packet.payload.size() : 0;
    }
    EXPECT_EQ(bytes, 100'000u);
    EXPECT_EQ(reads(), 101);
}

TEST_F(Transfers, ADownloadThatFailsSaysWhy) {
    download_of({piece("ab"), bascule::fail(Code::system, "reading: Input/output error")});
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 3u);
    EXPECT_EQ(packets[2].error().message, "reading: Input/output error");
    EXPECT_TRUE(log_.gone);
}

TEST_F(Transfers, AnswersThatComeLateForADownloadThatIsOverAreLost) {
    Source::Done done;
    download_of({}, &done);
    rig_->received();
    done(piece("ab"));
    EXPECT_EQ(as_text(rig_->received().at(0).payload), "ab");
    client_sends(Status::error);
    rig_->received();
    EXPECT_TRUE(log_.gone);
    done(piece("cd"));
    EXPECT_TRUE(rig_->received().empty());
}

TEST_F(Transfers, AnUploadIsConfirmedWhenItIsDone) {
    upload_to();
    client_sends(Status::more, "ab");
    client_sends(Status::more, std::string_view("\0\0\0\0\0\0\x10\0\0\0\0\0", 12), MessageType::stream_hole);
    client_sends(Status::more, "cd");
    EXPECT_TRUE(rig_->received().empty());
    client_sends(Status::ok);
    EXPECT_EQ(log_.text, "ab<4096>cd finished");
    EXPECT_EQ(rig_->received().at(0).header.status, Status::ok);
    EXPECT_TRUE(log_.gone);
}

TEST_F(Transfers, AnUploadTakesNoMoreThanIsWritten) {
    Sink::Done done;
    upload_to(&done);
    client_sends(Status::more, "a");
    client_sends(Status::more, "b");
    client_sends(Status::ok);
    EXPECT_EQ(log_.text, "a");
    done({});
    rig_->received();
    EXPECT_EQ(log_.text, "ab");
    std::exchange(done, {})({});
    EXPECT_TRUE(rig_->received().empty());
    EXPECT_EQ(log_.text, "ab finished");
    done({});
    EXPECT_EQ(rig_->received().at(0).header.status, Status::ok);
}

TEST_F(Transfers, AnUploadThatCannotBeWrittenEnds) {
    Sink::Done done;
    upload_to(&done);
    client_sends(Status::more, "a");
    client_sends(Status::more, "b");
    done(bascule::fail(Code::system, "writing: No space left on device"));
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].error().message, "writing: No space left on device");
    EXPECT_EQ(log_.text, "a");
    EXPECT_TRUE(log_.gone);
}

TEST_F(Transfers, AnUploadWhoseClientIsGoneIsNeverFinished) {
    Sink::Done done;
    upload_to(&done);
    client_sends(Status::more, "a");
    rig_->session.reset();
    EXPECT_TRUE(log_.gone);
    done({});
    EXPECT_EQ(log_.text, "a");
}

}  // namespace
}  // namespace bascule::rpc::test
