// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/handlers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/session.h"

namespace bascule::rpc {

// --- Answer

Answer& Answer::operator=(Answer&& other) noexcept {
    if (this != &other) {
        Answer dropped(std::move(*this));  // answers, if it has to
        session_ = std::move(other.session_);
        sink_ = std::exchange(other.sink_, nullptr);
        call_ = other.call_;
        procedure_ = std::exchange(other.procedure_, nullptr);
    }
    return *this;
}

Answer::~Answer() {
    if (procedure_ != nullptr) {
        fail({Code::internal, "the request was dropped without an answer"});
    }
}

std::shared_ptr<Session> Answer::take() {
    if (procedure_ == nullptr) {
        return nullptr;
    }
    procedure_ = nullptr;
    return std::exchange(session_, {}).lock();
}

// True when there was one, which then has it.
bool Answer::take_sink(Result<Bytes> result) {
    if (procedure_ == nullptr || !sink_) {
        return false;
    }
    procedure_ = nullptr;
    auto sink = std::exchange(sink_, nullptr);
    sink(std::move(result));
    return true;
}

void Answer::ok(std::optional<Bytes> result, std::vector<UniqueFd> fds) {
    if (sink_) {
        take_sink(result ? Result<Bytes>(*std::move(result))
                         : Result<Bytes>(bascule::fail(Code::malformed, "Unable to encode message payload")));
        return;
    }
    const auto session = session_.lock();
    if (procedure_ == nullptr || !session) {
        procedure_ = nullptr;
        return;
    }
    Handlers::Hold& hold = session->handlers_.hold_;
    if (procedure_->read_only_ok() || !hold.pending || !hold.pending()) {
        return send(std::move(result), std::move(fds));
    }
    hold.when_safe([answer = std::move(*this), result = std::move(result),
                    fds = std::move(fds)](const Result<void>& safe) mutable {
        if (safe) {
            answer.send(std::move(result), std::move(fds));
        } else {
            answer.fail(safe.error());
        }
    });
}

void Answer::send(std::optional<Bytes> result, std::vector<UniqueFd> fds) {
    if (const auto session = take()) {
        session->send_reply(call_, std::move(result), std::move(fds));
    }
}

Stream Answer::open(std::optional<Bytes> result, std::unique_ptr<StreamHandler> handler) {
    const auto session = take();
    return session ? session->send_reply_and_open(call_, std::move(result), std::move(handler)) : Stream();
}

void Answer::fail(const Error& error, std::optional<std::int32_t> domain) {
    if (sink_) {
        take_sink(std::unexpected(error));
        return;
    }
    const std::int32_t speaker = domain ? *domain : procedure_ != nullptr ? procedure_->domain : error_domain::rpc;
    if (const auto session = take()) {
        session->send_error(call_, to_wire(error, speaker));
        session->answered(call_, false);
    }
}

// --- Handlers

namespace {

bool is_login(const ProcedureInfo& procedure) {
    if (procedure.program != program::remote) {
        return false;
    }
    switch (procedure.number) {
        case proto::auth_list::number:
        case proto::auth_sasl_init::number:
        case proto::auth_sasl_start::number:
        case proto::auth_sasl_step::number:
        case proto::auth_polkit::number: return true;
        default: return false;
    }
}

// Asked before connect-open by every client, or about it.
bool needs_open(const ProcedureInfo& procedure) {
    if (is_login(procedure)) {
        return false;
    }
    if (procedure.program != program::remote) {
        return true;
    }
    switch (procedure.number) {
        case proto::connect_open::number:
        case proto::connect_close::number:
        case proto::connect_supports_feature::number: return false;
        default: return true;
    }
}

// What the protocol itself can do. The migration family waits for migration.
bool is_feature_there(std::int32_t number, const Peer& peer) {
    switch (number) {
        case feature::fd_passing: return peer.fd_passing;
        case feature::typed_param_string:
        case feature::program_keepalive:
        case feature::remote_event_callback:
        case feature::remote_close_callback:
        case feature::network_update_has_correct_order: return true;
        default: return false;
    }
}

void log_in(Call& call, Responder<proto::auth_polkit> responder,
            std::move_only_function<void(Call&, Handlers::Verdict)>& polkit) {
    const auto& offered = call.session.peer().auth;
    if (call.session.authenticated() || !polkit || std::ranges::find(offered, auth_type::polkit) == offered.end()) {
        responder.fail({Code::auth_failed, "the server did not ask for polkit on this connection"},
                       error_domain::polkit);
        return;
    }
    polkit(call, [weak = call.session.weak_from_this(), r = std::move(responder)](Result<void> said) mutable {
        const auto session = weak.lock();
        if (!said) {
            // Clients start an agent that asks for a password when polkit says that there is none.
            r.fail(said.error(), error_domain::polkit);
        } else if (session) {
            session->set_authenticated();
            r.ok({.complete = 1});
        }
    });
}

}  // namespace

Handlers::Handlers() : thunks_(procedures().size()) {
    add<proto::auth_list>([](Call& call, const Nothing&) -> Result<proto::auth_list_ret> {
        const std::vector<std::int32_t>& offered = call.session.peer().auth;
        return proto::auth_list_ret{.types = call.session.authenticated() || offered.empty()
                                                 ? std::vector<std::int32_t>{auth_type::none}
                                                 : offered};
    });
    add<proto::auth_polkit>([this](Call& call, const Nothing&, Responder<proto::auth_polkit> responder) {
        log_in(call, std::move(responder), polkit_);
    });
    add<proto::connect_close>([](Call&, const Nothing&) -> Result<void> { return {}; });
    add<proto::connect_supports_feature>(
        [](Call& call,
           const proto::connect_supports_feature_args& args) -> Result<proto::connect_supports_feature_ret> {
            if (args.feature == feature::program_keepalive) {
                call.session.arm_keepalive();  // only who asks has a library that answers pings
            }
            const bool there = is_feature_there(args.feature, call.session.peer());
            return proto::connect_supports_feature_ret{.supported = there ? 1 : 0};
        });
    // We have no connection of our own to lose, so the callback is never due.
    add<proto::connect_register_close_callback>([](Call&, const Nothing&) -> Result<void> { return {}; });
    add<proto::connect_unregister_close_callback>([](Call&, const Nothing&) -> Result<void> { return {}; });
}

void Handlers::put(std::uint32_t program, std::int32_t number, Thunk thunk) {
    const ProcedureInfo* info = find_procedure(program, number);
    assert(info != nullptr && info->is_call);
    thunks_[static_cast<std::size_t>(info - procedures().data())] = std::move(thunk);
}

Handlers::Thunk* Handlers::find(const ProcedureInfo& procedure) {
    Thunk& thunk = thunks_[static_cast<std::size_t>(&procedure - procedures().data())];
    return thunk ? &thunk : nullptr;
}

// The handshake is not: it is before anything that could be decided on.
bool Handlers::is_checked(const Call& call) const {
    const ProcedureInfo& procedure = call.procedure;
    return check_ && !call.checked &&
           (needs_open(procedure) ||
            (procedure.program == program::remote && procedure.number == proto::connect_open::number));
}

void Handlers::ask(Call& call, const Subject& subject, Answer answer,
                   std::move_only_function<void(Call&, Answer)> run) {
    // The verdict may come at once, while `call` is the caller's, or later; what the handler needs is kept for both.
    struct Waiting {
        std::weak_ptr<Session> session;
        const ProcedureInfo& procedure;
        std::uint32_t serial;
        std::vector<UniqueFd> fds;
        Answer answer;
        std::move_only_function<void(Call&, Answer)> run;
    };
    auto waiting = std::make_unique<Waiting>(Waiting{call.session.weak_from_this(), call.procedure, call.serial,
                                                     std::move(call.fds), std::move(answer), std::move(run)});
    check_(call, subject, [waiting = std::move(waiting)](Result<void> said) {
        const auto session = waiting->session.lock();
        if (!said) {
            waiting->answer.fail(said.error(), waiting->procedure.api_domain);
        } else if (session && waiting->answer) {
            Call later{*session, waiting->procedure, waiting->serial, std::move(waiting->fds), true};
            waiting->run(later, std::move(waiting->answer));
        }
    });
}

bool Handlers::admit(Call& call, const Error* undecodable, Answer& answer) {
    if (!call.session.authenticated() && !is_login(call.procedure)) {
        // Not one of the newer codes for authentication: clients of all ages know this one.
        answer.fail({Code::malformed, "authentication required"}, error_domain::rpc);
        return false;
    }
    if (undecodable != nullptr) {
        answer.fail(*undecodable, error_domain::rpc);
        return false;
    }
    if (call.session.phase() != Session::Phase::open && needs_open(call.procedure)) {
        answer.fail({Code::internal, "hypervisor connection not open"}, error_domain::rpc);
        return false;
    }
    if (call.session.read_only() && !call.procedure.read_only_ok()) {
        answer.fail({Code::read_only, fmt::format("read only access prevents {}", call.procedure.prevents)},
                    call.procedure.api_domain);
        return false;
    }
    return true;
}

}  // namespace bascule::rpc
