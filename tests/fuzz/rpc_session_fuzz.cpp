// SPDX-License-Identifier: GPL-2.0-or-later
// A client that sends what it likes to a session whose handlers answer at once, later, never, with a stream or with an
// error. The input is a list of steps {what, argument}; raw bytes among them. Held to, whatever happens: every call
// of a correct packet is answered at most once, no more calls are in flight than allowed, and what the session says is
// well-formed packets.
#include <array>
#include <cstdlib>
#include <vector>

#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_keepalive.h"
#include "rpc/proto_network.h"
#include "rpc/session.h"

namespace {

using namespace bascule;
using namespace bascule::rpc;

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

class Sink : public StreamHandler {
public:
    void on_data(Stream& stream, ByteView data) override {
        switch (data.size() % 5) {
            case 0: stream.fail({Code::internal, "no more"}); break;
            case 1: stream.end(); break;
            case 2: stream.pause(); break;
            default: stream.send(data);
        }
    }
    void on_writable(Stream& stream) override { stream.send(as_bytes("more")); }
};

class World {
public:
    World() {
        handlers_.add<proto::connect_open>([](Call&, const proto::connect_open_args&) -> Result<void> { return {}; });
        handlers_.add<proto::network_lookup_by_name>(
            [](Call& call,
               const proto::network_lookup_by_name_args& args) -> Result<proto::network_lookup_by_name_ret> {
                call.session.event<proto::network_event_lifecycle>({.callback_id = call.session.next_callback_id()});
                if (args.name.empty()) {
                    return fail(Code::no_network, "no network without a name");
                }
                return proto::network_lookup_by_name_ret{.net = {.name = args.name}};
            });
        handlers_.add<proto::domain_create>(
            [this](Call&, const proto::domain_create_args&, Responder<proto::domain_create> responder) {
                waiting_.push_back(std::move(responder));
            });
        handlers_.add<proto::domain_open_console>(
            [this](Call&, const proto::domain_open_console_args&, Responder<proto::domain_open_console> responder) {
                streams_.push_back(responder.open({}, std::make_unique<Sink>()));
            });
        session_ = Session::create(handlers_, {.read_only = false, .fd_passing = true}, nullptr,
                                   {.streams = 4, .queue_high = 4096, .queue_max = 65536});
    }

    void step(std::uint8_t what, std::uint8_t arg, ByteReader& in) {
        switch (what % 12) {
            case 0: call<proto::connect_open>({.name = "", .flags = static_cast<std::uint32_t>(arg & 1)}, arg); break;
            case 1: call<proto::network_lookup_by_name>({.name = std::string(arg % 8, 'n')}, arg); break;
            case 2: call<proto::domain_create>({}, arg); break;
            case 3: call<proto::domain_open_console>({}, arg % 4u); break;
            case 4: stream_packet(arg, in); break;
            case 5: session_->receive(in.take(std::min<std::size_t>(arg, in.left()))); break;
            case 6: answer(arg); break;
            case 7: drain(arg); break;
            case 8: use_stream(arg); break;
            case 9: call<proto::connect_supports_feature>({.feature = arg}, arg); break;
            case 10: any_packet(arg, in); break;
            case 11: arg % 16 == 0 ? call<proto::connect_close>({}, arg) : drain(1); break;
        }
        check(session_->calls_in_flight() <= 5);
        check(session_->queued() <= 65536);
    }

private:
    template <class P>
    void call(const typename P::Args& args, std::uint32_t serial) {
        Header header;
        header.program = P::program;
        header.procedure = P::number;
        header.serial = serial;
        session_->receive(encode_packet(header, encode(args).value()));
    }
    void stream_packet(std::uint8_t arg, ByteReader& in) {
        Header header;
        header.program = program::remote;
        header.procedure = proto::domain_open_console::number;
        header.type = arg & 64 ? MessageType::stream_hole : MessageType::stream;
        header.serial = arg % 4u;
        header.status = static_cast<Status>(arg / 4 % 4);
        session_->receive(encode_packet(header, in.take(std::min<std::size_t>(arg / 16, in.left()))));
    }
    // A packet that is one, with a header as it comes.
    void any_packet(std::uint8_t arg, ByteReader& in) {
        Header header;
        header.program = arg & 1 ? program::remote : in.u32();
        header.version = arg & 2 ? 1 : in.u8();
        header.procedure = static_cast<std::int16_t>(in.u16());
        header.type = static_cast<MessageType>(in.u8() % 8);
        header.status = static_cast<Status>(arg & 4 ? 0 : in.u8());
        if (header.type == MessageType::call_with_fds || header.type == MessageType::reply_with_fds) {
            return;  // raw bytes may make them
        }
        session_->receive(encode_packet(header, in.take(std::min<std::size_t>(arg, in.left()))));
    }
    void answer(std::uint8_t arg) {
        if (waiting_.empty()) {
            return;
        }
        const auto at = waiting_.begin() + arg / 4 % static_cast<std::ptrdiff_t>(waiting_.size());
        switch (arg % 4) {
            case 0: at->ok(); break;
            case 1: at->fail({Code::invalid_state, "not now"}); break;
            case 2: at->answer(Result<void>{}); break;
            case 3: break;  // dropped
        }
        waiting_.erase(at);
    }
    void use_stream(std::uint8_t arg) {
        if (streams_.empty()) {
            return;
        }
        Stream& stream = streams_[arg / 8 % streams_.size()];
        switch (arg % 6) {
            case 0: stream.send(Bytes(arg * 16u)); break;
            case 1: stream.end(); break;
            case 2: stream.finish(); break;
            case 3: stream.fail({Code::system, "gone", EIO}); break;
            case 4: stream.pause(); break;
            case 5: stream.resume(); break;
        }
    }
    void drain(std::uint8_t portion) {
        for (auto chunk = session_->next_output(); !chunk.bytes.empty(); chunk = session_->next_output()) {
            const std::size_t n = std::min<std::size_t>(chunk.bytes.size(), portion + 1u);
            said_.append(chunk.bytes.first(n));
            session_->sent(n);
        }
        for (auto header = said_.peek(); *header; header = said_.peek()) {  // the session makes no bad packets
            const Frame frame = said_.take();
            check(frame.header.type != MessageType::call);
        }
    }

    Handlers handlers_;
    std::vector<Responder<proto::domain_create>> waiting_;
    std::vector<Stream> streams_;
    std::shared_ptr<Session> session_;
    FrameReader said_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    ByteReader in(std::as_bytes(std::span(data, size)));
    World world;
    for (int steps = 0; steps < 2000 && in.left() >= 2; ++steps) {
        const std::uint8_t what = in.u8();
        world.step(what, in.u8(), in);
    }
    return 0;
}
