// SPDX-License-Identifier: GPL-2.0-or-later
// org.freedesktop.PolicyKit1.Authority.CheckAuthorization (polkit's D-Bus reference), over sd-bus on our loop.
#include "kernel/linux/polkit.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <map>
#include <optional>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr const char* kName = "org.freedesktop.PolicyKit1";
constexpr const char* kPath = "/org/freedesktop/PolicyKit1/Authority";
constexpr const char* kInterface = "org.freedesktop.PolicyKit1.Authority";
// A rule is evaluated in milliseconds; a person types a password.
constexpr std::uint64_t kRuleUsec = 20'000'000, kPersonUsec = 120'000'000;

struct Unref {
    void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, Unref>;

Error unavailable(std::string_view why) {
    return {Code::unreachable, fmt::format("polkit cannot be asked: {}; is polkit.service running?", why), 0};
}

int append_question(sd_bus_message* m, const Question& question) {
    int r = sd_bus_message_append(m, "(sa{sv})", "unix-process", 3, "pid", "u",
                                  static_cast<std::uint32_t>(question.who.pid), "start-time", "t",
                                  question.who.start_time, "uid", "i", static_cast<std::int32_t>(question.who.uid));
    r = r < 0 ? r : sd_bus_message_append(m, "s", question.action.c_str());
    r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "{ss}");
    for (const auto& [key, value] : question.details) {
        r = r < 0 ? r : sd_bus_message_append(m, "{ss}", key.c_str(), value.c_str());
    }
    r = r < 0 ? r : sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_append(m, "us", question.may_ask_user ? 1U : 0U, "");
}

// (bba{ss}): yes; could become yes if the user proved himself; details.
Result<void> read_answer(sd_bus_message* reply, const std::string& action) {
    int authorized = 0, challenge = 0;
    bool dismissed = false;
    int r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
    r = r < 0 ? r : sd_bus_message_read(reply, "bb", &authorized, &challenge);
    r = r < 0 ? r : sd_bus_message_enter_container(reply, 'a', "{ss}");
    const char *key = nullptr, *value = nullptr;
    while (r >= 0 && (r = sd_bus_message_read(reply, "{ss}", &key, &value)) > 0) {
        dismissed = dismissed || std::string_view(key) == "polkit.dismissed";
    }
    if (r < 0) {
        return std::unexpected(unavailable(fmt::format("its answer: {}", errno_text(-r))));
    }
    if (authorized != 0) {
        return {};
    }
    if (dismissed) {
        return fail(Code::auth_cancelled, "user cancelled authentication process");
    }
    if (challenge != 0) {
        return fail(Code::auth_unavailable,
                    fmt::format("no polkit agent available to authenticate action '{}'", action));
    }
    return fail(Code::auth_failed, "access denied by policy");
}

class Polkit : public Authority {
public:
    explicit Polkit(Loop& loop) : loop_(loop), alive_(std::make_shared<bool>(true)) {}
    ~Polkit() override { *alive_ = false; }
    void ask(const Question& question, Done done) override;

private:
    struct Asked {
        Polkit* polkit;
        std::uint64_t number;
        std::string action;
        Done done;
    };
    Result<void> connect();
    Result<void> send(const Question& question, Asked& asked);
    void disconnect(std::string_view why);
    void process();
    void arm();
    void answer(std::uint64_t number, Result<void> result);
    static int on_reply(sd_bus_message* reply, void* data, sd_bus_error*);

    Loop& loop_;
    std::shared_ptr<bool> alive_;
    std::unique_ptr<sd_bus, Unref> bus_;
    std::unique_ptr<Watch> watch_, timer_;
    std::map<std::uint64_t, Asked> asked_;
    std::uint64_t next_ = 0;
};

void Polkit::ask(const Question& question, Done done) {
    auto sent = connect();
    const std::uint64_t number = next_++;
    Asked& asked = asked_.try_emplace(number, Asked{this, number, question.action, std::move(done)}).first->second;
    if (sent) {
        sent = send(question, asked);
    }
    if (!sent) {  // later, as every answer
        loop_.defer([this, alive = alive_, number, error = sent.error()]() mutable {
            if (*alive) {
                answer(number, std::unexpected(std::move(error)));
            }
        });
        return;
    }
    arm();
}

Result<void> Polkit::connect() {
    if (bus_ && sd_bus_is_open(bus_.get()) > 0) {
        return {};
    }
    disconnect("the system bus is gone");
    sd_bus* bus = nullptr;
    if (const int r = sd_bus_open_system(&bus); r < 0) {
        return std::unexpected(unavailable(fmt::format("the system bus: {}", errno_text(-r))));
    }
    bus_.reset(bus);
    return {};
}

Result<void> Polkit::send(const Question& question, Asked& asked) {
    sd_bus_message* made = nullptr;
    int r = sd_bus_message_new_method_call(bus_.get(), &made, kName, kPath, kInterface, "CheckAuthorization");
    const Message message(made);
    r = r < 0 ? r : append_question(message.get(), question);
    r = r < 0 ? r
              : sd_bus_call_async(bus_.get(), nullptr, message.get(), on_reply, &asked,
                                  question.may_ask_user ? kPersonUsec : kRuleUsec);
    return r < 0 ? Result<void>(std::unexpected(unavailable(errno_text(-r)))) : Result<void>();
}

int Polkit::on_reply(sd_bus_message* reply, void* data, sd_bus_error*) {
    auto& asked = *static_cast<Asked*>(data);
    const sd_bus_error* const error = sd_bus_message_get_error(reply);
    asked.polkit->answer(asked.number, error == nullptr ? read_answer(reply, asked.action)
                                                        : Result<void>(std::unexpected(unavailable(error->message))));
    return 0;
}

void Polkit::answer(std::uint64_t number, Result<void> result) {
    const auto found = asked_.find(number);
    if (found != asked_.end()) {
        Done done = std::move(found->second.done);
        asked_.erase(found);
        done(std::move(result));
    }
}

void Polkit::disconnect(std::string_view why) {
    watch_.reset();
    timer_.reset();
    if (bus_) {
        bus_.reset();
        auto lost = std::exchange(asked_, {});  // whoever hears it may ask again
        for (auto& [number, asked] : lost) {
            asked.done(std::unexpected(unavailable(why)));
        }
    }
}

void Polkit::process() {
    const auto alive = alive_;
    for (int r = 1; r > 0 && *alive && bus_;) {
        r = sd_bus_process(bus_.get(), nullptr);
        if (r < 0 && *alive) {
            disconnect(errno_text(-r));
        }
    }
    if (*alive && bus_) {
        arm();
    }
}

// What sd-bus waits for now.
void Polkit::arm() {
    const int events = sd_bus_get_events(bus_.get());
    std::uint64_t until = 0;
    if (events < 0 || sd_bus_get_timeout(bus_.get(), &until) < 0) {
        return;
    }
    watch_.reset();  // first, since epoll takes a descriptor once
    watch_ = loop_.watch(sd_bus_get_fd(bus_.get()), (events & POLLIN) != 0, (events & POLLOUT) != 0,
                         [this](Ready) { process(); });
    timer_.reset();
    if (until != UINT64_MAX) {  // of CLOCK_MONOTONIC, which stands still while the host sleeps; the loop's does not
        const auto left = std::chrono::microseconds(until) - std::chrono::steady_clock::now().time_since_epoch();
        timer_ = loop_.at(loop_.clock().now() + left, [this] { process(); });
    }
}

}  // namespace

std::unique_ptr<Authority> make_polkit(Loop& loop) { return std::make_unique<Polkit>(loop); }

}  // namespace bascule::kernel::os
