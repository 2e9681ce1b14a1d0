// SPDX-License-Identifier: GPL-2.0-or-later
// What one client may take, and what never waits behind what.
#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_keepalive.h"
#include "rpc/proto_network.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Sink : public StreamHandler {
public:
    explicit Sink(std::string& data) : data_(data) {}
    void on_data(Stream&, ByteView data) override { data_ += as_text(data); }

private:
    std::string& data_;
};

// Guests that do not answer, one console, and calls that need neither.
class Fairness : public testing::Test {
protected:
    void open(const Limits& limits = {}) {
        rig_ = std::make_unique<Rig>(Peer{.uid = 7, .fd_passing = true}, limits);
        rig_->handlers.add<proto::domain_shutdown>(
            [this](Call&, const proto::domain_shutdown_args&, Responder<proto::domain_shutdown> r) {
                stuck_.push_back(std::move(r));
            });
        rig_->handlers.add<proto::domain_destroy>(
            [this](Call&, const proto::domain_destroy_args&, Responder<proto::domain_destroy> r) {
                if (destroys_hang_) {
                    destroying_.push_back(std::move(r));
                } else {
                    r.ok();
                }
            });
        rig_->handlers.add<proto::domain_open_console>(
            [this](Call&, const proto::domain_open_console_args&, Responder<proto::domain_open_console> r) {
                console_ = r.open({}, std::make_unique<Sink>(typed_));
            });
        rig_->handlers.add<proto::domain_get_xml_desc>(
            [](Call&, const proto::domain_get_xml_desc_args&) -> Result<proto::domain_get_xml_desc_ret> {
                return proto::domain_get_xml_desc_ret{.xml = "<domain/>"};
            });
        rig_->open();
    }
    void get_stuck(std::uint32_t calls) {
        for (std::uint32_t i = 0; i < calls; ++i) {
            rig_->call<proto::domain_shutdown>({}, 100 + i);
        }
    }
    Session& session() { return *rig_->session; }

    bool destroys_hang_ = false;
    std::vector<Responder<proto::domain_shutdown>> stuck_;
    std::vector<Responder<proto::domain_destroy>> destroying_;
    Stream console_;
    std::string typed_;
    std::unique_ptr<Rig> rig_;
};

TEST_F(Fairness, AStuckCallNeverKeepsAClientFromDestroying) {
    open();
    get_stuck(5);
    EXPECT_EQ(session().calls_in_flight(), 5u);
    EXPECT_EQ(rig_->ask<proto::domain_destroy>({}, 1).header.serial, 1u);
    get_stuck(10);  // more than are worked on, in front of it
    EXPECT_EQ(stuck_.size(), 5u);
    EXPECT_EQ(rig_->ask<proto::domain_destroy>({}, 2).header.serial, 2u);
    EXPECT_EQ(rig_->ask<proto::connect_close>({}, 3).header.status, Status::ok);
    EXPECT_TRUE(session().finished());
}

TEST_F(Fairness, UrgentCallsHaveALimitOfTheirOwn) {
    destroys_hang_ = true;
    open({.in_flight = 2});
    for (std::uint32_t serial = 1; serial <= 4; ++serial) {
        rig_->call<proto::domain_destroy>({}, serial);
    }
    EXPECT_EQ(destroying_.size(), 2u);
    EXPECT_EQ(session().calls_in_flight(), 2u);
    EXPECT_EQ(rig_->ask<proto::domain_get_xml_desc>({}, 9).header.serial, 9u) << "and keep no others waiting";
    destroying_[1].ok();
    rig_->received();
    EXPECT_EQ(destroying_.size(), 3u);
}

TEST_F(Fairness, ParkedCallsKeepTheirOrder) {
    open({.in_flight = 1});
    get_stuck(1);
    rig_->call<proto::domain_get_xml_desc>({}, 1);
    rig_->call<proto::domain_get_xml_desc>({}, 2);
    rig_->call<proto::domain_get_xml_desc>({}, 3);
    EXPECT_TRUE(rig_->received().empty());
    stuck_[0].ok();
    const auto replies = rig_->received();
    ASSERT_EQ(replies.size(), 4u);
    for (std::uint32_t i = 1; i < 4; ++i) {
        EXPECT_EQ(replies[i].header.serial, i);
    }
}

TEST_F(Fairness, TheParkingPlaceIsBoundedInPacketsAndBytes) {
    open({.parked = 3});
    get_stuck(7);
    EXPECT_TRUE(session().wants_input());
    get_stuck(1);
    EXPECT_FALSE(session().wants_input());
    get_stuck(20);
    EXPECT_FALSE(session().wants_input());
    EXPECT_EQ(stuck_.size(), 5u);

    open({.parked_bytes = 1000});
    console_ = {};
    rig_->ask<proto::domain_open_console>({}, 1);
    console_.pause();
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(session().wants_input());
        session().receive(
            encode_packet(Rig::stream_header(Rig::header<proto::domain_open_console>(1), Status::more), Bytes(400)));
    }
    EXPECT_FALSE(session().wants_input());
    console_.resume();
    rig_->received();
    EXPECT_EQ(typed_.size(), 1200u);
    EXPECT_TRUE(session().wants_input());
}

TEST_F(Fairness, DescriptorsFillTheParkingPlace) {
    open();
    get_stuck(5);
    Header header = Rig::header<proto::domain_shutdown>(1);
    header.type = MessageType::call_with_fds;
    session().receive(encode_packet(header, encode(proto::domain_shutdown_args{}).value(), 32));
    session().receive(Bytes(32), some_fds(32));
    EXPECT_FALSE(session().wants_input());
}

TEST_F(Fairness, AConsoleThatIsNotReadStarvesNoCalls) {
    open();
    rig_->ask<proto::domain_open_console>({}, 1);
    while (console_.send(Bytes(65536))) {
    }
    EXPECT_GE(session().queued(), Limits{}.stream_high);
    EXPECT_TRUE(session().wants_input());
    // The client has begun to read, and the reply comes before the rest of what the guest said.
    const auto chunk = session().next_output();
    rig_->reader.append(chunk.bytes.first(100));
    session().sent(100);
    rig_->call<proto::domain_get_xml_desc>({}, 2);
    std::size_t before = 0;
    for (const Received& packet : rig_->received()) {
        if (packet.header.type == MessageType::reply) {
            break;
        }
        before += packet.payload.size();
    }
    EXPECT_LE(before, 65536u);
}

TEST_F(Fairness, ABusyClientIsServedInTurns) {
    open({.turn = 3});
    Bytes all;
    for (std::uint32_t serial = 0; serial < 8; ++serial) {
        append_packet(all, Rig::header<proto::domain_get_xml_desc>(serial),
                      encode(proto::domain_get_xml_desc_args{}).value());
    }
    const int wakes = rig_->wakes;
    session().receive(all);
    EXPECT_GT(rig_->wakes, wakes);
    EXPECT_FALSE(session().wants_input()) << "before it has had what is here";
    const std::size_t after_one_turn = session().queued();
    rig_->received();
    rig_->received();
    EXPECT_TRUE(session().wants_input());
    EXPECT_LT(after_one_turn, 4 * 60u);
}

TEST_F(Fairness, AGoThatWroteNothingCountsAsNone) {
    open({.turn = 1});
    Bytes all;
    for (std::uint32_t serial = 0; serial < 4; ++serial) {
        append_packet(all, Rig::header<proto::domain_get_xml_desc>(serial),
                      encode(proto::domain_get_xml_desc_args{}).value());
    }
    session().receive(all);
    std::size_t written = 0;
    for (int go = 0; go < 10; ++go) {  // as a server with a layer between does it
        for (auto chunk = session().next_output(); !chunk.bytes.empty(); chunk = session().next_output()) {
            written += chunk.bytes.size();
            session().sent(chunk.bytes.size());
        }
        session().sent(0);
    }
    EXPECT_EQ(written, 4 * 44u);
    EXPECT_TRUE(session().wants_input());
}

TEST_F(Fairness, AUsersConnectionsShareABudget) {
    const auto budget = std::make_shared<Budget>(3 << 20);
    const Limits limits{.budget = budget};
    open(limits);
    const Bytes part = [] {
        Bytes bytes = encode_packet(Rig::header<proto::domain_define_xml>(1), Bytes(4 << 20));
        bytes.resize(2 << 20);
        return bytes;
    }();
    session().receive(part);
    EXPECT_FALSE(session().finished());
    EXPECT_EQ(budget->held(7), part.size() - limits.free);
    {
        Rig second({.uid = 7}, limits), other({.uid = 8}, limits);
        second.session->receive(part);
        EXPECT_TRUE(second.session->finished());
        EXPECT_NE(second.session->why().find("too much memory"), std::string::npos);
        other.session->receive(part);
        EXPECT_FALSE(other.session->finished()) << "another user has his own";
    }
    EXPECT_EQ(budget->held(8), 0u);
    rig_.reset();
    EXPECT_EQ(budget->held(7), 0u);
}

TEST_F(Fairness, ASourcesConnectionsShareATurn) {
    std::function<void()> next_turn;
    const auto pace = std::make_shared<Pace>(3, [&](std::function<void()> reset) { next_turn = std::move(reset); });
    const auto answers = [](Rig& rig) {
        std::vector<int> fds;
        rig.write_out(1 << 30, fds);
        std::size_t count = 0;
        for (auto head = rig.reader.peek(); head && *head; head = rig.reader.peek()) {
            (void)rig.reader.take();
            ++count;
        }
        return count;
    };
    open({.pace = pace});
    Rig second({.uid = 7}, {.pace = pace}), another({.uid = 8});
    second.open();
    another.open();
    next_turn();
    for (std::uint32_t serial = 1; serial <= 5; ++serial) {
        rig_->call<proto::domain_get_xml_desc>({}, serial);
    }
    second.call<proto::domain_get_xml_desc>({}, 1);
    another.call<proto::domain_get_xml_desc>({}, 1);
    EXPECT_EQ(answers(*rig_), 3u);
    EXPECT_EQ(answers(second), 0u);
    EXPECT_FALSE(second.session->wants_input());
    EXPECT_EQ(answers(another), 1u) << "another source has its own";
    next_turn();
    EXPECT_EQ(answers(second), 1u);
    EXPECT_EQ(answers(*rig_), 2u);
    next_turn();
    EXPECT_EQ(answers(*rig_), 0u);
    EXPECT_TRUE(session().wants_input());
}

TEST_F(Fairness, EventsThatPileUpEndTheConnectionLongBeforeRepliesDo) {
    open({.event_max = 10000});
    for (int i = 0; i < 1000 && !session().finished(); ++i) {
        session().event<proto::network_event_lifecycle>({.callback_id = i, .net = {.name = "default"}});
    }
    EXPECT_TRUE(session().finished());
    EXPECT_EQ(session().why().substr(0, 35), "the client does not read its events");
}

// --- keepalive

class Keepalive : public Fairness {
protected:
    using Time = Session::Time;
    static Time at(milliseconds when) { return Time(seconds(1000)) + when; }
    void ask(milliseconds when) {
        session().receive(encode_packet(Rig::header<proto::connect_supports_feature>(1),
                                        encode(proto::connect_supports_feature_args{.feature = 10}).value()),
                          {}, at(when));
        rig_->received();
    }
    void expect_ping() {
        const auto packets = rig_->received();
        ASSERT_EQ(packets.size(), 1u);
        EXPECT_EQ(packets[0].header, (Header{.program = program::keepalive,
                                             .version = 1,
                                             .procedure = 1,
                                             .type = MessageType::event,
                                             .serial = 0,
                                             .status = Status::ok}));
        EXPECT_TRUE(packets[0].payload.empty());
    }
};

TEST_F(Keepalive, IsNotForWhoNeverAskedForIt) {
    open();
    EXPECT_FALSE(session().next_check());
    session().check(at(seconds(3600)));
    EXPECT_TRUE(rig_->received().empty());
    EXPECT_FALSE(session().finished());
}

TEST_F(Keepalive, PingsAfterSilenceAndGivesUpAfterFive) {
    open();
    ask(milliseconds(0));
    for (int ping = 1; ping <= 5; ++ping) {
        ASSERT_EQ(session().next_check(), at(seconds(5 * ping)));
        session().check(at(milliseconds(5000 * ping - 1)));
        EXPECT_TRUE(rig_->received().empty());
        session().check(at(seconds(5 * ping)));
        expect_ping();
    }
    EXPECT_FALSE(session().finished());
    session().check(at(seconds(30)));
    EXPECT_TRUE(session().finished());
    EXPECT_EQ(session().why(), "no answer to 5 pings");
    EXPECT_FALSE(session().next_check());
}

TEST_F(Keepalive, AnySignOfLifeCounts) {
    open();
    ask(milliseconds(0));
    Header pong = Rig::header<proto::connect_supports_feature>(0);
    pong.program = program::keepalive;
    pong.procedure = proto::pong::number;
    pong.type = MessageType::event;
    for (int ping = 1; ping <= 20; ++ping) {
        session().check(at(seconds(5 * ping)));
        expect_ping();
        session().receive(encode_packet(pong, {}), {}, at(seconds(5 * ping)));
        ASSERT_FALSE(session().finished());
    }
    session().receive(Bytes(1), {}, at(seconds(103)));  // part of a packet
    EXPECT_EQ(session().next_check(), at(seconds(108)));
}

TEST_F(Keepalive, IntervalAndCountCanBeSet) {
    open({.keepalive_interval = seconds(2), .keepalive_count = 1});
    ask(milliseconds(0));
    session().check(at(seconds(2)));
    expect_ping();
    session().check(at(seconds(4)));
    EXPECT_TRUE(session().finished());
    open({.keepalive_interval = seconds(0)});
    ask(milliseconds(0));
    EXPECT_FALSE(session().next_check());
}

TEST_F(Keepalive, APingIsAnsweredAtOnceWhateverIsStuck) {
    open();
    get_stuck(20);
    Header ping;
    ping.program = program::keepalive;
    ping.procedure = proto::ping::number;
    ping.type = MessageType::event;
    session().receive(encode_packet(ping, {}));
    const auto packets = rig_->received();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].header.procedure, proto::pong::number);
}

}  // namespace
}  // namespace bascule::rpc::test
