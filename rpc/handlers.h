// SPDX-License-Identifier: GPL-2.0-or-later
// Which procedure is answered by what. See rpc/session.h for the whole picture and an example.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "rpc/frame.h"
#include "rpc/procedure.h"
#include "rpc/stream.h"
#include "rpc/subject.h"
#include "rpc/xdr.h"

namespace bascule::rpc {

class Session;

// What a handler is told besides the arguments. The session is valid while the handler runs; keep
// session.weak_from_this() for later.
struct Call {
    Session& session;
    const ProcedureInfo& procedure;
    std::uint32_t serial = 0;
    std::vector<UniqueFd> fds{};  // that came with the call
    bool checked = false;         // Handlers' check has been asked about it
};

// The duty to answer one call. Move-only; the answer may come in any later turn of the loop, and when the session is
// gone by then it goes nowhere. Dropped without an answer it answers "internal error", so no client waits forever.
class Answer {
public:
    Answer() = default;
    Answer(std::weak_ptr<Session> session, const Header& call, const ProcedureInfo& procedure)
        : session_(std::move(session)), call_(call), procedure_(&procedure) {}
    // One that goes to a function: of a handler that is called by another.
    using Sink = std::move_only_function<void(Result<Bytes>)>;
    Answer(Sink sink, const ProcedureInfo& procedure) : sink_(std::move(sink)), procedure_(&procedure) {}
    Answer(Answer&& other) noexcept
        : session_(std::move(other.session_)),
          sink_(std::exchange(other.sink_, nullptr)),
          call_(other.call_),
          procedure_(std::exchange(other.procedure_, nullptr)) {}
    Answer& operator=(Answer&& other) noexcept;
    ~Answer();

    explicit operator bool() const { return procedure_ != nullptr; }  // still to be answered

    // nullopt: the result does not fit its limits; the client gets an error saying so.
    void ok(std::optional<Bytes> result, std::vector<UniqueFd> fds = {});
    Stream open(std::optional<Bytes> result, std::unique_ptr<StreamHandler> handler);
    // In the name of the procedure's driver, or of another error_domain.
    void fail(const Error& error, std::optional<std::int32_t> domain = {});

private:
    // Nobody is there (any more), or answered before: null.
    std::shared_ptr<Session> take();
    void send(std::optional<Bytes> result, std::vector<UniqueFd> fds);

    bool take_sink(Result<Bytes> result);

    std::weak_ptr<Session> session_;
    Sink sink_;
    Header call_;
    const ProcedureInfo* procedure_ = nullptr;  // null once answered
};

// The same, typed.
template <class P>
class Responder {
public:
    using Ret = typename P::Ret;

    Responder() = default;
    explicit Responder(Answer answer) : answer_(std::move(answer)) {}
    explicit operator bool() const { return static_cast<bool>(answer_); }

    void ok(const Ret& ret = {}, std::vector<UniqueFd> fds = {}) { answer_.ok(encode(ret), std::move(fds)); }
    void fail(const Error& error, std::optional<std::int32_t> domain = {}) { answer_.fail(error, domain); }
    void answer(const Result<Ret>& result) {
        if (result) {
            ok(*result);
        } else {
            fail(result.error());
        }
    }
    void answer(const Result<void>& result)
        requires std::is_same_v<Ret, Nothing>
    {
        if (result) {
            ok();
        } else {
            fail(result.error());
        }
    }
    // Answers ok and opens the stream. The handle is dead when that was not possible (the client is gone, or has the
    // most streams it may have: it got an error).
    Stream open(const Ret& ret, std::unique_ptr<StreamHandler> handler)
        requires P::opens_stream
    {
        return answer_.open(encode(ret), std::move(handler));
    }

private:
    Answer answer_;
};

class Handlers {
public:
    // What was decided, now or in a later turn of the loop. Called once; dropped, it means no.
    using Verdict = std::move_only_function<void(Result<void>)>;

    // Knows already, and add() may replace: auth-list and auth-polkit, connect-close, connect-supports-feature, and
    // the close-callback pair, none of which needs more than the session.
    Handlers();

    // Asked when a client that was offered polkit logs in through it. The error should be Code::auth_*.
    void set_polkit(std::move_only_function<void(Call&, Verdict)> ask) { polkit_ = std::move(ask); }

    // Asked before each handler but those of the log-in and connect-open, connect-close and connect-supports-feature:
    // may this client (call.session.peer(), identity()) make this call (call.procedure) on this subject? The error is
    // what the client gets, in the name of `procedure.api_domain`. While the verdict is out the call counts as in
    // flight, and nothing of it is looked at: XML that it carries is parsed by the handler.
    using Check = std::move_only_function<void(Call&, const Subject&, Verdict)>;
    void set_check(Check check) { check_ = std::move(check); }

    // Calls that may change something are answered when what they changed is safe: `hold` says whether anything is not
    // yet, and then calls its argument when it is. An error is the answer.
    using Safe = std::move_only_function<void(Result<void>)>;
    struct Hold {
        std::function<bool()> pending;
        std::function<void(Safe)> when_safe;
    };
    void set_hold(Hold hold) { hold_ = std::move(hold); }

    // Either form, P being a tag of a proto header and Args, Ret its structs (Result<void> where Ret is Nothing):
    //   Result<Ret>(Call&, const Args&)              answers at once
    //   void(Call&, const Args&, Responder<P>)       answers when it likes
    template <class P, class F>
    void add(F handler) {
        using Args = typename P::Args;
        auto run = [handler = std::move(handler)](Call& call, const Args& args, Answer answer) mutable {
            Responder<P> responder(std::move(answer));
            if constexpr (std::is_invocable_v<F&, Call&, const Args&, Responder<P>>) {
                handler(call, args, std::move(responder));
            } else {
                responder.answer(handler(call, args));
            }
        };
        put(P::program, P::number, [this, run = std::move(run)](Call& call, ByteView payload, Answer answer) mutable {
            Result<Args> args = decode<Args>(payload);
            if (!admit(call, args ? nullptr : &args.error(), answer)) {
                return;
            }
            if (!is_checked(call)) {
                run(call, *args, std::move(answer));
                return;
            }
            const Subject subject = subject_of(*args);
            // Handlers live as long as every session, so `run` is there when the verdict comes.
            ask(call, subject, std::move(answer), [&run, args = *std::move(args)](Call& later, Answer allowed) mutable {
                run(later, args, std::move(allowed));
            });
        });
    }
    // Calls P's handler for another one's sake, without a check; `then` gets a Result<Ret>. No streams, no descriptors.
    template <class P, class Then>
    void invoke(Call& call, const typename P::Args& args, Then then) {
        const ProcedureInfo& procedure = *find_procedure(P::program, P::number);
        Thunk* const thunk = find(procedure);
        if (thunk == nullptr) {
            then(Result<typename P::Ret>(bascule::fail(Code::not_implemented, std::string(procedure.name))));
            return;
        }
        invoke_thunk<P>(*thunk, call, procedure, args, std::move(then));
    }
    // Puts something around P's handler, where there is one: `around(call, args, next, responder)` answers instead, and
    // calls next(call, args, then) for what the handler would have answered: then(Result<Ret>).
    template <class P, class F>
    void wrap(F around) {
        const ProcedureInfo& procedure = *find_procedure(P::program, P::number);
        Thunk* const thunk = find(procedure);
        if (thunk == nullptr) {
            return;
        }
        add<P>([inner = std::move(*thunk), around = std::move(around), &procedure](
                   Call& call, const typename P::Args& args, Responder<P> responder) mutable {
            const auto next = [&inner, &procedure](Call& its, const typename P::Args& changed, auto then) {
                invoke_thunk<P>(inner, its, procedure, changed, std::move(then));
            };
            around(call, args, next, std::move(responder));
        });
    }
    // Is this procedure answered here?
    bool has(const ProcedureInfo& procedure) { return find(procedure) != nullptr; }

private:
    friend class Answer;
    friend class Session;
    using Thunk = std::move_only_function<void(Call&, ByteView, Answer)>;

    template <class P, class Then>
    static void invoke_thunk(Thunk& thunk, Call& call, const ProcedureInfo& procedure, const typename P::Args& args,
                             Then then) {
        using Ret = typename P::Ret;
        Call inner{.session = call.session, .procedure = procedure, .serial = call.serial, .checked = true};
        const auto payload = encode(args);
        Answer answer(
            [then = std::move(then)](const Result<Bytes>& result) mutable {
                then(result ? decode<Ret>(*result) : Result<Ret>(std::unexpected(result.error())));
            },
            procedure);
        if (!payload) {
            answer.fail({Code::internal, "the arguments of the inner call do not fit", 0});
            return;
        }
        thunk(inner, *payload, std::move(answer));
    }
    void put(std::uint32_t program, std::int32_t number, Thunk thunk);
    // Arguments that decode, a connection that is open, a caller who may: or the answer is given here.
    static bool admit(Call& call, const Error* undecodable, Answer& answer);
    bool is_checked(const Call& call) const;
    void ask(Call& call, const Subject& subject, Answer answer, std::move_only_function<void(Call&, Answer)> run);
    Thunk* find(const ProcedureInfo& procedure);  // null where nothing was added

    std::vector<Thunk> thunks_;  // in the order of procedures()
    std::move_only_function<void(Call&, Verdict)> polkit_;
    Check check_;
    Hold hold_;
};

}  // namespace bascule::rpc
