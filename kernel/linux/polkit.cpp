// SPDX-License-Identifier: GPL-2.0-or-later
// org.freedesktop.PolicyKit1.Authority.CheckAuthorization (polkit's D-Bus reference), over sd-bus on our loop.
#include "kernel/linux/polkit.h"

#include <map>
#include <optional>

#include <fmt/format.h>

#include "kernel/linux/bus.h"

namespace bascule::kernel::os {

namespace {

constexpr const char* kName = "org.freedesktop.PolicyKit1";
constexpr const char* kPath = "/org/freedesktop/PolicyKit1/Authority";
constexpr const char* kInterface = "org.freedesktop.PolicyKit1.Authority";
// A rule is evaluated in milliseconds; a person types a password.
constexpr std::uint64_t kRuleUsec = 20'000'000, kPersonUsec = 120'000'000;

using Message = BusMessage;

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
    explicit Polkit(Loop& loop)
        : loop_(loop), alive_(std::make_shared<bool>(true)), bus_(loop, [this](std::string_view why) { lost(why); }) {}
    ~Polkit() override { *alive_ = false; }
    void ask(const Question& question, Done done) override;

private:
    struct Asked {
        Polkit* polkit;
        std::uint64_t number;
        std::string action;
        Done done;
    };
    Result<void> send(const Question& question, Asked& asked);
    void lost(std::string_view why);
    void answer(std::uint64_t number, Result<void> result);
    static int on_reply(sd_bus_message* reply, void* data, sd_bus_error*);

    Loop& loop_;
    std::shared_ptr<bool> alive_;
    std::map<std::uint64_t, Asked> asked_;
    std::uint64_t next_ = 0;
    Bus bus_;
};

void Polkit::ask(const Question& question, Done done) {
    const bool connected = bus_.connect().has_value();  // first: losing the bus answers all who wait
    const std::uint64_t number = next_++;
    Asked& asked = asked_.try_emplace(number, Asked{this, number, question.action, std::move(done)}).first->second;
    const Result<void> sent =
        connected ? send(question, asked) : Result<void>(std::unexpected(unavailable("there is no system bus")));
    if (!sent) {  // later, as every answer
        loop_.defer([this, alive = alive_, number, error = sent.error()]() mutable {
            if (*alive) {
                answer(number, std::unexpected(std::move(error)));
            }
        });
        return;
    }
    bus_.arm();
}

Result<void> Polkit::send(const Question& question, Asked& asked) {
    const auto bus = bus_.connect();
    if (!bus) {
        return std::unexpected(unavailable(bus.error().message));
    }
    sd_bus_message* made = nullptr;
    int r = sd_bus_message_new_method_call(*bus, &made, kName, kPath, kInterface, "CheckAuthorization");
    const Message message(made);
    r = r < 0 ? r : append_question(message.get(), question);
    r = r < 0 ? r
              : sd_bus_call_async(*bus, nullptr, message.get(), on_reply, &asked,
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

// Whoever hears it may ask again.
void Polkit::lost(std::string_view why) {
    auto all = std::exchange(asked_, {});
    for (auto& [number, asked] : all) {
        asked.done(std::unexpected(unavailable(why)));
    }
}

}  // namespace

std::unique_ptr<Authority> make_polkit(Loop& loop) { return std::make_unique<Polkit>(loop); }

}  // namespace bascule::kernel::os
