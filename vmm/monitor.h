// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/io.h"
#include "vmm/qmp.h"

namespace bascule::vmm {

// A conversation with one QEMU: waits for its greeting, negotiates, then carries commands and their answers.
//
// Lost (closed, garbage, an answer nobody asked for) it stays lost: every pending and later command fails with the
// reason. Handlers may close() the monitor or drop the last reference to it.
class Monitor : public std::enable_shared_from_this<Monitor> {
public:
    struct Handlers {
        std::function<void()> ready;  // once: commands may be given
        std::function<void(const qmp::Event&)> event;
        std::function<void(const Error&)> lost;  // once; not after close()
    };
    using Answer = std::move_only_function<void(Result<qmp::Json>)>;

    static std::shared_ptr<Monitor> over(kernel::Loop& loop, std::unique_ptr<kernel::Stream> stream, Handlers handlers);

    // The answer comes from the loop; Code::timeout when it does not come in time (a late one is passed over). A
    // descriptor travels with the command ("getfd", "add-fd").
    void execute(std::string_view name, const qmp::Json& arguments, Answer answer,
                 std::chrono::milliseconds timeout = std::chrono::seconds(30), UniqueFd fd = {});

    // Reads whatever is still there: QEMU has ended, and its last event says why.
    void drain();
    // Hangs up; pending commands are forgotten without an answer.
    void close();
    bool lost() const { return !failure_.message.empty(); }
    const Error& failure() const { return failure_; }

private:
    struct Pending {
        std::string name;
        Answer answer;
        std::unique_ptr<kernel::Watch> deadline;
    };

    Monitor(kernel::Loop& loop, std::unique_ptr<kernel::Stream> stream, Handlers handlers)
        : loop_(loop), stream_(std::move(stream)), handlers_(std::move(handlers)) {}

    bool open() const { return stream_ != nullptr; }
    void watch();
    void on_ready(kernel::Ready ready);
    bool read_once();  // false: nothing was there, or it is over
    void flush();
    void send(std::string_view text, UniqueFd fd);
    void dispatch(qmp::Message message);
    void greeted();
    void answer(std::uint64_t id, Result<qmp::Json> result);
    void lose(Error error);

    kernel::Loop& loop_;
    std::unique_ptr<kernel::Stream> stream_;
    Handlers handlers_;
    qmp::Decoder decoder_;
    struct Carried {
        std::size_t before = 0;  // bytes of out_ that go first
        UniqueFd fd;
    };
    std::string out_;
    std::deque<Carried> carried_;  // in order
    bool watching_write_ = false, greeted_ = false, negotiated_ = false;
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, Pending> pending_;
    std::unique_ptr<kernel::Watch> watch_;
    Error failure_;
};

}  // namespace bascule::vmm
