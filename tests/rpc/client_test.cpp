// SPDX-License-Identifier: GPL-2.0-or-later
// The client against a session, without a socket.
#include "rpc/client.h"

#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_keepalive.h"
#include "rpc/proto_network.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

// What the client writes the session receives at once; what the session says is read in small portions.
class Wire : public Transport {
public:
    explicit Wire(Rig& rig) : rig_(rig) {}
    Result<void> write(ByteView all) override {
        rig_.session->receive(all);
        return {};
    }
    Result<std::size_t> read(std::span<std::byte> into) override {
        if (!raw.empty()) {
            const std::size_t n = std::min(raw.size(), into.size());
            std::copy_n(raw.begin(), n, into.begin());
            raw.erase(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(n));
            return n;
        }
        const auto chunk = rig_.session->next_output();
        const std::size_t n = std::min<std::size_t>({chunk.bytes.size(), into.size(), 11});
        std::copy_n(chunk.bytes.begin(), n, into.begin());
        rig_.session->sent(n);
        return n;  // nothing to read would be waiting for ever: 0, closed
    }
    Bytes raw;  // read before anything else

private:
    Rig& rig_;
};

class ClientTest : public testing::Test {
protected:
    ClientTest() {
        rig_.handlers.add<proto::network_lookup_by_name>(
            [](Call& call,
               const proto::network_lookup_by_name_args& args) -> Result<proto::network_lookup_by_name_ret> {
                call.session.event<proto::network_event_lifecycle>({.callback_id = 1, .net = {.name = args.name}});
                if (args.name == "nope") {
                    return bascule::fail(Code::no_network, "no network with matching name 'nope'");
                }
                return proto::network_lookup_by_name_ret{.net = {.name = args.name}};
            });
        rig_.handlers.add<proto::domain_open_console>(
            [](Call&, const proto::domain_open_console_args&, Responder<proto::domain_open_console> r) {
                r.open({}, std::make_unique<Echo>());
            });
    }
    class Echo : public StreamHandler {
        void on_data(Stream& stream, ByteView data) override {
            if (as_text(data) == "bye") {
                stream.end();
            } else {
                stream.send(data);
            }
        }
    };

    Rig rig_;
    Wire wire_{rig_};
    Client client_{wire_};
};

TEST_F(ClientTest, OpensCallsAndCloses) {
    ASSERT_TRUE(client_.open("qemu:///system"));
    const auto found = client_.call<proto::network_lookup_by_name>({.name = "default"});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->net.name, "default");
    EXPECT_TRUE(client_.close());
    EXPECT_TRUE(rig_.session->finished());
    const auto late = client_.call<proto::network_lookup_by_name>({.name = "default"});
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::unreachable);
}

TEST_F(ClientTest, HearsTheDaemonsErrors) {
    EXPECT_EQ(client_.open("foo:///").error().code, Code::unreachable);
    ASSERT_TRUE(client_.open("qemu:///system"));
    const auto missing = client_.call<proto::network_lookup_by_name>({.name = "nope"});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::no_network);
    EXPECT_EQ(missing.error().message, "Network not found: no network with matching name 'nope'");
    EXPECT_EQ(client_.call<proto::network_create>().error().code, Code::not_implemented);
}

TEST_F(ClientTest, KeepsEventsThatComeBeforeTheReply) {
    ASSERT_TRUE(client_.open("qemu:///system"));
    EXPECT_FALSE(client_.try_event());
    ASSERT_TRUE(client_.call<proto::network_lookup_by_name>({.name = "default"}));
    const auto event = client_.next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(Client::as<proto::network_event_lifecycle>(*event)->net.name, "default");
    EXPECT_FALSE(Client::as<proto::domain_event_callback_lifecycle>(*event));
    rig_.session->event<proto::network_event_lifecycle>({.callback_id = 7});
    EXPECT_EQ(Client::as<proto::network_event_lifecycle>(*client_.next_event())->callback_id, 7);
}

TEST_F(ClientTest, AnswersPings) {
    ASSERT_TRUE(client_.open("qemu:///system"));
    Header ping;
    ping.program = program::keepalive;
    ping.procedure = proto::ping::number;
    ping.type = MessageType::event;
    wire_.raw = encode_packet(ping, {});
    ASSERT_TRUE(client_.call<proto::network_lookup_by_name>({.name = "default"}));
}

TEST_F(ClientTest, TalksThroughAStream) {
    ASSERT_TRUE(client_.open("qemu:///system"));
    const auto stream = client_.open_stream<proto::domain_open_console>({});
    ASSERT_TRUE(stream);
    ASSERT_TRUE(client_.write_stream(*stream, as_bytes("hello")));
    EXPECT_EQ(as_text(*client_.read_stream(*stream)), "hello");
    ASSERT_TRUE(client_.call<proto::network_lookup_by_name>({.name = "in between"}));
    ASSERT_TRUE(client_.write_stream(*stream, as_bytes("bye")));
    EXPECT_TRUE(client_.read_stream(*stream)->empty());
    EXPECT_TRUE(client_.finish_stream(*stream));
}

}  // namespace
}  // namespace bascule::rpc::test
