// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/session.h"

#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_keepalive.h"
#include "rpc/proto_network.h"
#include "rpc/proto_qemu.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

// Answers with the name it was asked for.
void add_lookup(Rig& rig) {
    rig.handlers.add<proto::network_lookup_by_name>(
        [](Call&, const proto::network_lookup_by_name_args& args) -> Result<proto::network_lookup_by_name_ret> {
            if (args.name == "nope") {
                return bascule::fail(Code::no_network, "no network with matching name 'nope'");
            }
            return proto::network_lookup_by_name_ret{.net = {.name = args.name}};
        });
}

// Keeps the responders, so that the test answers.
std::vector<Responder<proto::domain_create>>& add_slow(Rig& rig) {
    auto waiting = std::make_shared<std::vector<Responder<proto::domain_create>>>();
    rig.handlers.add<proto::domain_create>(
        [waiting](Call&, const proto::domain_create_args&, Responder<proto::domain_create> responder) {
            waiting->push_back(std::move(responder));
        });
    return *waiting;
}

void expect_error(const Received& reply, std::int32_t code, std::int32_t domain, const std::string& text) {
    EXPECT_EQ(reply.header.type, MessageType::reply);
    EXPECT_EQ(reply.header.status, Status::error);
    const proto::Error error = reply.error();
    EXPECT_EQ(error.code, code);
    EXPECT_EQ(error.domain, domain);
    EXPECT_EQ(error.level, error_level::error);
    EXPECT_EQ(error.message, text);
    EXPECT_FALSE(error.dom);
    EXPECT_FALSE(error.net);
}

TEST(Session, DoesTheHandshakeOfEveryClient) {
    Rig rig({.fd_passing = true});
    EXPECT_EQ(rig.ask<proto::auth_list>({}, 0).as<proto::auth_list_ret>().types, std::vector<std::int32_t>{0});
    EXPECT_FALSE(rig.session->asked_keepalive());
    const auto supports = [&](std::int32_t feature) {
        return rig.ask<proto::connect_supports_feature>({.feature = feature})
            .as<proto::connect_supports_feature_ret>()
            .supported;
    };
    EXPECT_EQ(supports(10), 1);
    EXPECT_TRUE(rig.session->asked_keepalive());
    rig.open();
    for (std::int32_t feature = 0; feature < 20; ++feature) {
        const bool there =
            feature == 8 || feature == 9 || feature == 10 || feature == 14 || feature == 15 || feature == 16;
        EXPECT_EQ(supports(feature), there ? 1 : 0) << feature;
    }
    EXPECT_EQ(rig.ask<proto::connect_register_close_callback>({}).header.status, Status::ok);
    EXPECT_EQ(rig.ask<proto::connect_unregister_close_callback>({}).header.status, Status::ok);
    EXPECT_FALSE(rig.session->finished());
    EXPECT_EQ(rig.ask<proto::connect_close>({}).header.status, Status::ok);
    EXPECT_TRUE(rig.session->finished());
    EXPECT_EQ(rig.session->why(), "");
    EXPECT_FALSE(rig.session->wants_input());
}

TEST(Session, HasNoDescriptorsToPassOverTcp) {
    Rig rig({.fd_passing = false});
    EXPECT_EQ(
        rig.ask<proto::connect_supports_feature>({.feature = 8}).as<proto::connect_supports_feature_ret>().supported,
        0);
}

TEST(Session, EchoesProgramProcedureAndSerial) {
    Rig rig;
    add_lookup(rig);
    rig.open();
    for (const std::uint32_t serial : {0u, 1u, 77777u, 0xffffffffu}) {
        const Received reply = rig.ask<proto::network_lookup_by_name>({.name = "default"}, serial);
        EXPECT_EQ(reply.header, (Header{.program = program::remote,
                                        .version = 1,
                                        .procedure = 46,
                                        .type = MessageType::reply,
                                        .serial = serial,
                                        .status = Status::ok}));
        EXPECT_EQ(reply.as<proto::network_lookup_by_name_ret>().net.name, "default");
    }
}

struct Off {
    std::string what;
    Header header;
    Bytes payload;
    std::string text;
};

TEST(Session, AnswersWhatIsOffAsThePeerDoes) {
    Rig rig;
    add_lookup(rig);
    rig.open();
    const auto remote = [](std::int32_t procedure) {
        return Header{.program = program::remote, .procedure = procedure, .serial = 5};
    };
    Header bad_status = remote(46), bad_version = remote(46), bad_program = remote(46), keepalive = remote(1);
    bad_status.status = Status::error;
    bad_version.version = 2;
    bad_program.program = 0x12345678;
    keepalive.program = program::keepalive;
    Header qemu = remote(99);
    qemu.program = program::qemu;
    const std::string undecodable = "Unable to decode message payload";
    const Off rows[] = {
        {"unknown procedure", remote(9999), {}, "unknown procedure: 9999"},
        {"one that nobody has built", remote(53), {}, "unknown procedure: 53"},
        {"an event's number", remote(318), {}, "unknown procedure: 318"},
        {"procedure 0", remote(0), {}, "unknown procedure: 0"},
        {"procedure -1", remote(-1), {}, "unknown procedure: -1"},
        {"unknown procedure of another program", qemu, {}, "unknown procedure: 99"},
        {"unknown program", bad_program, {}, "Cannot find program 305419896 version 1"},
        {"unknown version", bad_version, {}, "Cannot find program 536903814 version 2"},
        {"a call to keepalive", keepalive, {}, "Cannot find program 1801807216 version 1"},
        {"a call with a status", bad_status, {}, "Unexpected message status 1"},
        {"no arguments", remote(46), {}, undecodable},
        {"arguments too short", remote(46), from_hex("000000646162"), undecodable},
        {"a string over the limit", remote(46), from_hex("004c4b40"), undecodable},
    };
    for (const Off& row : rows) {
        rig.session->receive(encode_packet(row.header, row.payload));
        const auto replies = rig.received();
        ASSERT_EQ(replies.size(), 1u) << row.what;
        SCOPED_TRACE(row.what);
        EXPECT_EQ(replies[0].header.serial, 5u);
        EXPECT_EQ(replies[0].header.program, row.header.program);
        EXPECT_EQ(replies[0].header.version, row.header.version);
        EXPECT_EQ(replies[0].header.procedure, row.header.procedure);
        expect_error(replies[0], 39, 7, row.text);
    }
    EXPECT_EQ(rig.session->calls_in_flight(), 0u);
    EXPECT_EQ(rig.ask<proto::network_lookup_by_name>({.name = "still here"}).header.status, Status::ok);
}

TEST(Session, IgnoresPacketsThatAreNoCalls) {
    Rig rig;
    add_lookup(rig);
    rig.open();
    for (const std::uint32_t type : {1u, 2u, 3u, 6u, 9u, 0xffffffffu}) {
        Header header = Rig::header<proto::network_lookup_by_name>(5);
        header.type = static_cast<MessageType>(type);
        for (const Status status : {Status::ok, Status::error, Status::more}) {
            header.status = status;
            rig.session->receive(encode_packet(header, Bytes(8)));
            EXPECT_TRUE(rig.received().empty()) << type;
        }
        header.program = 1;
        rig.session->receive(encode_packet(header, {}));
        EXPECT_TRUE(rig.received().empty()) << type;
    }
    EXPECT_FALSE(rig.session->finished());
}

TEST(Session, TrailingBytesAfterTheArgumentsAreIgnored) {
    Rig rig;
    add_lookup(rig);
    rig.open();
    Bytes args = encode(proto::network_lookup_by_name_args{.name = "n"}).value();
    args.resize(args.size() + 8);
    rig.session->receive(encode_packet(Rig::header<proto::network_lookup_by_name>(1), args));
    EXPECT_EQ(rig.received().at(0).header.status, Status::ok);
}

TEST(Session, RefusesCallsBeforeConnectOpenAndASecondOne) {
    Rig rig;
    add_lookup(rig);
    expect_error(rig.ask<proto::network_lookup_by_name>({.name = "n"}), 1, 7,
                 "internal error: hypervisor connection not open");
    expect_error(rig.ask<proto::connect_open>({.name = "foo:///x"}), 5, 10,
                 "no connection driver available for foo:///x");
    EXPECT_EQ(rig.session->phase(), Session::Phase::fresh);
    rig.open();
    EXPECT_EQ(rig.session->phase(), Session::Phase::open);
    expect_error(rig.ask<proto::connect_open>({.name = "qemu:///system"}), 1, 7,
                 "internal error: connection already open");
    EXPECT_EQ(rig.ask<proto::network_lookup_by_name>({.name = "n"}).header.status, Status::ok);
}

TEST(Session, ConnectCloseIsAnsweredEvenBeforeConnectOpen) {
    Rig rig;
    EXPECT_EQ(rig.ask<proto::connect_close>({}).header.status, Status::ok);
    EXPECT_TRUE(rig.session->finished());
}

TEST(Session, IsNotFinishedBeforeTheReplyToConnectCloseIsWritten) {
    Rig rig;
    rig.call<proto::connect_close>({}, 1);
    EXPECT_FALSE(rig.session->finished());
    rig.received(5);
    EXPECT_TRUE(rig.session->finished());
}

TEST(Session, CallsPipelinedBehindConnectOpenWaitForIt) {
    Rig rig;
    add_lookup(rig);
    std::optional<Responder<proto::connect_open>> opener;
    rig.handlers.add<proto::connect_open>(
        [&](Call&, const proto::connect_open_args&, Responder<proto::connect_open> r) { opener = std::move(r); });
    rig.call<proto::connect_open>({.name = "qemu:///system"}, 1);
    rig.call<proto::network_lookup_by_name>({.name = "n"}, 2);
    EXPECT_TRUE(rig.received().empty());
    opener->ok();
    const auto replies = rig.received();
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[1].header.serial, 2u);
    EXPECT_EQ(replies[1].header.status, Status::ok);
}

TEST(Session, ReadOnlyConnectionsMayLookAndNotTouch) {
    for (const bool by_socket : {true, false}) {
        Rig rig({.read_only = by_socket});
        add_lookup(rig);
        bool touched = false;
        rig.handlers.add<proto::network_create>([&](Call&, const proto::network_create_args&) -> Result<void> {
            touched = true;
            return {};
        });
        rig.handlers.add<proto::domain_destroy>([&](Call&, const proto::domain_destroy_args&) -> Result<void> {
            touched = true;
            return {};
        });
        rig.handlers.add<proto::domain_monitor_command>(
            [&](Call&, const proto::domain_monitor_command_args&) -> Result<proto::domain_monitor_command_ret> {
                touched = true;
                return proto::domain_monitor_command_ret{};
            });
        rig.open(by_socket ? 0 : connect_flags::ro);
        EXPECT_TRUE(rig.session->read_only());
        EXPECT_EQ(rig.ask<proto::network_lookup_by_name>({.name = "n"}).header.status, Status::ok);
        expect_error(rig.ask<proto::network_create>({}), 29, 19,
                     "operation forbidden: read only access prevents virNetworkCreate");
        expect_error(rig.ask<proto::domain_destroy>({}), 29, 20,
                     "operation forbidden: read only access prevents virDomainDestroy");
        expect_error(rig.ask<proto::domain_monitor_command>({}), 29, 0,
                     "operation forbidden: read only access prevents virDomainQemuMonitorCommand");
        EXPECT_FALSE(touched);
    }
}

TEST(Session, ErrorsSpeakForTheDriverOfTheProcedure) {
    Rig rig;
    add_lookup(rig);
    rig.open();
    const Received reply = rig.ask<proto::network_lookup_by_name>({.name = "nope"});
    expect_error(reply, 43, 19, "Network not found: no network with matching name 'nope'");
    EXPECT_EQ(reply.error().str1, "Network not found: %s");
    EXPECT_EQ(reply.error().str2, "no network with matching name 'nope'");
}

TEST(Session, TheErrorOfARealDaemonHasTheSameFields) {
    const auto packets = captured_packets();
    const auto it = std::ranges::find_if(packets, [](const Captured& p) { return p.status == "error"; });
    ASSERT_NE(it, packets.end());
    const auto real = decode<proto::Error>(ByteView(it->bytes).subspan(kHeaderBytes));
    ASSERT_TRUE(real);
    proto::Error ours = to_wire({Code::no_domain, real->str2.value_or("")}, error_domain::qemu);
    EXPECT_EQ(ours.str3, "bascule:no-domain");  // the one thing that we add
    ours.str3.reset();
    EXPECT_EQ(ours, *real);
}

TEST(Session, AnswersMayOvertakeEachOther) {
    Rig rig;
    add_lookup(rig);
    auto& waiting = add_slow(rig);
    rig.open();
    rig.call<proto::domain_create>({}, 1);
    rig.call<proto::domain_create>({}, 2);
    rig.call<proto::network_lookup_by_name>({.name = "quick"}, 3);
    ASSERT_EQ(waiting.size(), 2u);
    waiting[1].ok();
    waiting[0].fail({Code::invalid_state, "domain is already running"});
    const auto replies = rig.received();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(replies[0].header.serial, 3u);
    EXPECT_EQ(replies[1].header.serial, 2u);
    EXPECT_EQ(replies[2].header.serial, 1u);
    expect_error(replies[2], 55, 10, "Requested operation is not valid: domain is already running");
}

TEST(Session, WorksOnFiveCallsAtATimeAndReadsNoFurtherMeanwhile) {
    Rig rig({}, {.parked = 2});
    auto& waiting = add_slow(rig);
    rig.open();
    for (std::uint32_t serial = 1; serial <= 5; ++serial) {
        rig.call<proto::domain_create>({}, serial);
    }
    EXPECT_EQ(waiting.size(), 5u);
    EXPECT_TRUE(rig.session->wants_input());  // what comes may be a ping
    Header ping = Rig::header<proto::network_lookup_by_name>(0);
    ping.program = program::keepalive;
    ping.procedure = proto::ping::number;
    ping.type = MessageType::event;
    rig.session->receive(encode_packet(ping, {}));
    auto replies = rig.received();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].header.procedure, proto::pong::number);
    EXPECT_EQ(replies[0].header.type, MessageType::event);

    for (std::uint32_t serial = 6; serial <= 12; ++serial) {
        EXPECT_EQ(rig.session->wants_input(), serial <= 7) << "there is room for two to park";
        rig.call<proto::domain_create>({}, serial);
    }
    EXPECT_EQ(waiting.size(), 5u);
    EXPECT_FALSE(rig.session->wants_input());
    const int wakes = rig.wakes;
    waiting[2].ok();
    EXPECT_GT(rig.wakes, wakes);
    EXPECT_EQ(waiting.size(), 5u) << "not from inside the answer";
    EXPECT_EQ(rig.received().size(), 1u);
    EXPECT_EQ(waiting.size(), 6u);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        waiting[i].ok();  // once answered it does nothing more
        rig.received();
    }
    EXPECT_EQ(waiting.size(), 12u);
    EXPECT_EQ(rig.session->calls_in_flight(), 0u);
    EXPECT_TRUE(rig.session->wants_input());
}

TEST(Session, AChangeIsAnsweredWhenItIsSafeAndALookIsNotHeldUp) {
    Rig rig;
    add_lookup(rig);
    bool pending = false;
    std::vector<Handlers::Safe> held;
    rig.handlers.set_hold({.pending = [&] { return pending; },
                           .when_safe = [&](Handlers::Safe then) { held.push_back(std::move(then)); }});
    rig.handlers.add<proto::domain_create>([](Call&, const proto::domain_create_args&) -> Result<void> { return {}; });
    rig.open();
    EXPECT_EQ(rig.ask<proto::domain_create>({}, 1).header.status, Status::ok) << "nothing is pending";
    pending = true;
    rig.call<proto::domain_create>({}, 2);
    rig.call<proto::domain_create>({}, 3);
    EXPECT_EQ(rig.ask<proto::network_lookup_by_name>({.name = "quick"}, 4).header.serial, 4u);
    ASSERT_EQ(held.size(), 2u);
    EXPECT_EQ(rig.session->calls_in_flight(), 2u);
    held[1]({});
    held[0](bascule::fail(Code::system, "/etc: the disk is broken"));
    const auto replies = rig.received();
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].header.serial, 3u);
    EXPECT_EQ(replies[0].header.status, Status::ok);
    EXPECT_EQ(replies[1].header.serial, 2u);
    EXPECT_EQ(replies[1].header.status, Status::error);
    EXPECT_EQ(rig.session->calls_in_flight(), 0u);
}

TEST(Session, AnAnswerThatNeverComesIsAnErrorAndNotSilence) {
    Rig rig;
    rig.handlers.add<proto::domain_create>(
        [](Call&, const proto::domain_create_args&, Responder<proto::domain_create>) {});
    rig.open();
    expect_error(rig.ask<proto::domain_create>({}), 1, 10, "internal error: the request was dropped without an answer");
}

TEST(Session, AnswersToAConnectionThatIsGoneGoNowhere) {
    auto rig = std::make_unique<Rig>();
    std::vector<Responder<proto::domain_create>> kept;
    rig->handlers.add<proto::domain_create>([&](Call&, const proto::domain_create_args&,
                                                Responder<proto::domain_create> r) { kept.push_back(std::move(r)); });
    rig->open();
    rig->call<proto::domain_create>({}, 1);
    rig->call<proto::domain_create>({}, 2);
    rig.reset();
    ASSERT_EQ(kept.size(), 2u);
    kept[0].ok();
    kept.clear();
}

TEST(Session, AHandlerMayLetGoOfTheSessionThatCallsIt) {
    Rig rig;
    rig.handlers.add<proto::domain_create>([&](Call&, const proto::domain_create_args&) -> Result<void> {
        rig.session.reset();
        return {};
    });
    rig.open();
    const auto session = std::weak_ptr(rig.session);
    rig.session->receive(
        encode_packet(Rig::header<proto::domain_create>(1), encode(proto::domain_create_args{}).value()));
    EXPECT_TRUE(session.expired());
}

TEST(Session, TheSameWhenItComesByteByByte) {
    Rig rig;
    add_lookup(rig);
    Bytes all;
    const auto add = [&](const Bytes& packet) { all.insert(all.end(), packet.begin(), packet.end()); };
    add(encode_packet(Rig::header<proto::auth_list>(0), {}));
    add(encode_packet(Rig::header<proto::connect_open>(1),
                      encode(proto::connect_open_args{.name = "qemu:///system"}).value()));
    add(encode_packet(Rig::header<proto::network_lookup_by_name>(2),
                      encode(proto::network_lookup_by_name_args{.name = "default"}).value()));
    for (const std::byte b : all) {
        rig.session->receive(ByteView(&b, 1));
    }
    const auto replies = rig.received(1);
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(replies[2].as<proto::network_lookup_by_name_ret>().net.name, "default");
}

TEST(Session, BytesThatAreNoPacketsEndIt) {
    Rig rig;
    rig.open();
    rig.session->receive(from_hex("00000000"));
    EXPECT_TRUE(rig.session->finished());
    EXPECT_EQ(rig.session->why(), "a packet of 0 bytes; a packet has 28 to 33554436");
    EXPECT_FALSE(rig.session->wants_input());
    rig.session->receive(from_hex("00000000"));  // nothing more is looked at
    EXPECT_TRUE(rig.received().empty());
}

TEST(Session, EventsGoOnlyToOpenConnectionsAndIdsCountFromZero) {
    Rig rig;
    rig.session->event<proto::network_event_lifecycle>({.callback_id = 9});
    EXPECT_TRUE(rig.received().empty());
    rig.open();
    EXPECT_EQ(rig.session->next_callback_id(), 0);
    EXPECT_EQ(rig.session->next_callback_id(), 1);
    rig.session->event<proto::network_event_lifecycle>(
        {.callback_id = 1, .net = {.name = "default"}, .event = 2, .detail = 0});
    const auto events = rig.received();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].header.type, MessageType::event);
    EXPECT_EQ(events[0].header.procedure, 315);
    EXPECT_EQ(events[0].as<proto::network_event_lifecycle_msg>().net.name, "default");
}

TEST(Session, AResultOverItsLimitIsAnErrorReply) {
    Rig rig;
    rig.handlers.add<proto::connect_get_hostname>([](Call&, const Nothing&) -> Result<proto::connect_get_hostname_ret> {
        return proto::connect_get_hostname_ret{.hostname = std::string(kMaxString + 1, 'h')};
    });
    rig.open();
    expect_error(rig.ask<proto::connect_get_hostname>({}), 39, 7, "Unable to encode message payload");
    EXPECT_EQ(rig.session->calls_in_flight(), 0u);
}

TEST(Session, BeginsNothingNewForAClientThatDoesNotRead) {
    Rig rig({}, {.queue_high = 4096});
    int asked = 0;
    rig.handlers.add<proto::connect_get_hostname>(
        [&](Call&, const Nothing&) -> Result<proto::connect_get_hostname_ret> {
            ++asked;
            return proto::connect_get_hostname_ret{.hostname = std::string(1000, 'h')};
        });
    rig.open();
    for (std::uint32_t serial = 0; serial < 20; ++serial) {
        rig.session->receive(encode_packet(Rig::header<proto::connect_get_hostname>(serial), {}));
    }
    EXPECT_EQ(asked, 4);
    EXPECT_FALSE(rig.session->wants_input());
    EXPECT_EQ(rig.received().size(), 20u);
    EXPECT_EQ(asked, 20);
    EXPECT_TRUE(rig.session->wants_input());
    EXPECT_EQ(rig.session->queued(), 0u);
}

TEST(Session, AClientThatLetsEventsPileUpIsDropped) {
    Rig rig({}, {.queue_max = 10000});
    rig.open();
    for (int i = 0; i < 1000 && !rig.session->finished(); ++i) {
        rig.session->event<proto::network_event_lifecycle>({.callback_id = i, .net = {.name = "default"}});
    }
    EXPECT_TRUE(rig.session->finished());
    EXPECT_EQ(rig.session->queued(), 0u);
    EXPECT_EQ(rig.session->why().substr(0, 24), "the client does not read");
}

TEST(Session, DescriptorsComeWithCallsAndLeaveWithReplies) {
    Rig rig({.fd_passing = true});
    std::vector<UniqueFd> came;
    rig.handlers.add<proto::domain_fd_associate>(
        [&](Call& call, const proto::domain_fd_associate_args&) -> Result<void> {
            came = std::move(call.fds);
            return {};
        });
    int given = -1;
    rig.handlers.add<proto::domain_open_graphics_fd>(
        [&](Call&, const proto::domain_open_graphics_fd_args&, Responder<proto::domain_open_graphics_fd> r) {
            auto fds = some_fds(1);
            given = fds[0].get();
            r.ok({}, std::move(fds));
        });
    rig.open();
    Header header = Rig::header<proto::domain_fd_associate>(1);
    header.type = MessageType::call_with_fds;
    rig.session->receive(encode_packet(header, encode(proto::domain_fd_associate_args{}).value(), 2));
    rig.session->receive(Bytes(2), some_fds(2));
    EXPECT_EQ(came.size(), 2u);
    EXPECT_EQ(rig.received().at(0).header.type, MessageType::reply);

    rig.call<proto::domain_open_graphics_fd>({}, 2);
    rig.call<proto::connect_supports_feature>({}, 3);  // behind the descriptor
    const auto replies = rig.received(7);
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].header.type, MessageType::reply_with_fds);
    EXPECT_EQ(replies[0].fds, std::vector<int>{given});
    EXPECT_EQ(replies[1].header.serial, 3u);
}

}  // namespace
}  // namespace bascule::rpc::test
