// SPDX-License-Identifier: GPL-2.0-or-later
// A client that sends what it likes to a session whose handlers answer at once, later, never, with a stream, a transfer
// or with an error, behind a log-in and a check that take their time. The input is a list of steps {what, argument};
// raw bytes among them. Held to, whatever happens: every call of a correct packet is answered at most once, no more
// calls are in flight than allowed, memory stays within its limits and is given back, and what the session says is
// well-formed packets.
#include <array>
#include <cstdlib>
#include <vector>

#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_keepalive.h"
#include "rpc/proto_network.h"
#include "rpc/proto_storage.h"
#include "rpc/session.h"
#include "rpc/transfer.h"

namespace {

using namespace bascule;
using namespace bascule::rpc;

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

class Console : public StreamHandler {
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

// Gives pieces and takes them, at once or when it is told to.
class Content : public Source, public Sink {
public:
    explicit Content(std::vector<std::move_only_function<void()>>& later) : later_(later) {}
    void read(std::size_t, Source::Done done) override {
        ++pieces_;
        Result<Piece> piece = Piece{.data = Bytes(pieces_ * 100), .hole = pieces_ % 3};
        if (pieces_ % 7 == 0) {
            piece = fail(Code::system, "unreadable");
        } else if (pieces_ % 11 == 0) {
            piece = Piece{};
        }
        settle([d = std::move(done), p = std::move(piece)]() mutable { d(std::move(p)); });
    }
    void write(Bytes data, Sink::Done done) override { answer(data.size() % 13 != 1, std::move(done)); }
    void skip(std::uint64_t length, Sink::Done done) override { answer(length % 13 != 1, std::move(done)); }
    void finish(Sink::Done done) override { answer(pieces_ % 5 != 4, std::move(done)); }

private:
    void answer(bool good, Sink::Done done) {
        ++pieces_;
        settle([good, d = std::move(done)]() mutable { d(good ? Result<void>{} : fail(Code::system, "no space")); });
    }
    void settle(std::move_only_function<void()> what) {
        if (pieces_ % 2 == 0) {
            later_.push_back(std::move(what));
        } else {
            what();
        }
    }
    std::vector<std::move_only_function<void()>>& later_;
    std::size_t pieces_ = 0;
};

class World {
public:
    explicit World(std::uint8_t how) {
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
                streams_.push_back(responder.open({}, std::make_unique<Console>()));
            });
        handlers_.add<proto::domain_destroy>(
            [this](Call&, const proto::domain_destroy_args&, Responder<proto::domain_destroy> responder) {
                later_.push_back([r = std::move(responder)]() mutable { r.ok(); });
            });
        handlers_.add<proto::storage_vol_download>(
            [this](Call&, const proto::storage_vol_download_args&, Responder<proto::storage_vol_download> responder) {
                download(responder, {}, std::make_unique<Content>(later_));
            });
        handlers_.add<proto::storage_vol_upload>(
            [this](Call&, const proto::storage_vol_upload_args&, Responder<proto::storage_vol_upload> responder) {
                upload(responder, {}, std::make_unique<Content>(later_));
            });
        const auto decide = [this](Handlers::Verdict verdict) {
            if (++asked_ % 3 == 0) {
                verdict(fail(Code::denied, "no"));
            } else if (asked_ % 3 == 1) {
                later_.push_back([v = std::move(verdict)]() mutable { v({}); });
            } else {
                verdict({});
            }
        };
        handlers_.set_polkit([decide](Call&, Handlers::Verdict verdict) { decide(std::move(verdict)); });
        if ((how & 2) != 0) {
            handlers_.set_check(
                [decide](Call&, const Subject&, Handlers::Verdict verdict) { decide(std::move(verdict)); });
        }
        session_ =
            Session::create(handlers_,
                            {.read_only = (how & 4) != 0,
                             .fd_passing = true,
                             .auth = (how & 1) != 0 ? std::vector<std::int32_t>{2} : std::vector<std::int32_t>{}},
                            nullptr,
                            {.parked = 6,
                             .parked_bytes = 2000,
                             .turn = 8,
                             .streams = 4,
                             .stream_high = 2048,
                             .queue_high = 4096,
                             .event_max = 40000,
                             .queue_max = 65536,
                             .free = 1024,
                             .budget = budget_});
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World() {
        session_.reset();
        check(budget_->held(0) == 0);
    }

    void step(std::uint8_t what, std::uint8_t arg, ByteReader& in) {
        switch (what % 19) {
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
            case 12: call<proto::auth_polkit>({}, arg); break;
            case 13: call<proto::domain_destroy>({}, arg); break;
            case 14: call<proto::storage_vol_download>({}, arg % 4u); break;
            case 15: call<proto::storage_vol_upload>({}, arg % 4u); break;
            case 16: settle(arg); break;
            case 17: pass_time(arg); break;
            case 18: session_->event<proto::network_event_lifecycle>({.net = {.name = std::string(arg, 'e')}}); break;
        }
        check(session_->calls_in_flight() <= 10);
        check(session_->queued() <= 65536);
        check(session_->finished() || !session_->wants_input() || session_->queued() < 4096);
    }

private:
    template <class P>
    void call(const typename P::Args& args, std::uint32_t serial) {
        Header header;
        header.program = P::program;
        header.procedure = P::number;
        header.serial = serial;
        session_->receive(encode_packet(header, encode(args).value()), {}, now_);
    }
    void stream_packet(std::uint8_t arg, ByteReader& in) {
        Header header;
        header.program = program::remote;
        header.procedure = arg % 3 == 0   ? proto::domain_open_console::number
                           : arg % 3 == 1 ? proto::storage_vol_upload::number
                                          : proto::storage_vol_download::number;
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
    void settle(std::uint8_t arg) {
        if (!later_.empty()) {
            const auto at = later_.begin() + arg % static_cast<std::ptrdiff_t>(later_.size());
            auto what = std::move(*at);
            later_.erase(at);
            if (arg % 16 != 15) {  // else it is dropped
                what();
            }
        }
    }
    void pass_time(std::uint8_t arg) {
        now_ += std::chrono::seconds(arg % 8);
        if (const auto due = session_->next_check()) {
            session_->check(now_);
            check(session_->finished() || *session_->next_check() > now_);
        }
    }
    void use_stream(std::uint8_t arg) {
        if (streams_.empty()) {
            return;
        }
        Stream& stream = streams_[arg / 8 % streams_.size()];
        switch (arg % 7) {
            case 0: stream.send(Bytes(arg * 16u)); break;
            case 1: stream.end(); break;
            case 2: stream.finish(); break;
            case 3: stream.fail({Code::system, "gone", EIO}); break;
            case 4: stream.pause(); break;
            case 5: stream.resume(); break;
            case 6: stream.send_hole(arg); break;
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

    std::shared_ptr<Budget> budget_ = std::make_shared<Budget>(50000);
    std::vector<std::move_only_function<void()>> later_;
    unsigned asked_ = 0;
    Session::Time now_{};
    Handlers handlers_;
    std::vector<Responder<proto::domain_create>> waiting_;
    std::vector<Stream> streams_;
    std::shared_ptr<Session> session_;
    FrameReader said_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    ByteReader in(std::as_bytes(std::span(data, size)));
    World world(in.u8());
    for (int steps = 0; steps < 2000 && in.left() >= 2; ++steps) {
        const std::uint8_t what = in.u8();
        world.step(what, in.u8(), in);
    }
    return 0;
}
