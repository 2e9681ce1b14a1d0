// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/command.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "kernel/linux/facts.h"

namespace bascule::kernel::os {

namespace {

// Memory that cannot grow beyond `limit`, so that a program that never stops talking costs no more.
Result<UniqueFd> bounded_memory(std::size_t limit) {
    UniqueFd fd(::memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(limit)) < 0 ||
        ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
        return fail_errno("memory for a program's output");
    }
    return fd;
}

std::string written(const UniqueFd& fd, std::size_t limit) {
    const off_t end = ::lseek(fd.get(), 0, SEEK_CUR);  // shared with the child, so where it stopped writing
    return read_whole(fd, std::min(limit, static_cast<std::size_t>(std::max<off_t>(end, 0))));
}

class RunningCommand : public Running {
public:
    RunningCommand(Loop& loop, std::string program, const CommandLimits& limits,
                   std::move_only_function<void(Result<Output>)> done)
        : loop_(loop), program_(std::move(program)), limits_(limits), done_(std::move(done)) {}
    ~RunningCommand() override {
        if (process_ && process_->running()) {
            (void)process_->signal(SIGKILL);  // it may have ended meanwhile
        }
    }

    Result<void> start(Spawner& spawner, Command command) {
        TRY(out_, bounded_memory(limits_.output));
        TRY(err_, bounded_memory(limits_.output));
        command.stdout_fd = out_.get();
        command.stderr_fd = err_.get();
        TRY(process_, spawner.spawn(command));
        ended_ = loop_.watch(process_->pidfd(), true, false, [this](Ready) { finish(); });
        patience_ = loop_.at(loop_.clock().now() + limits_.time, [this] { give_up(); });
        return {};
    }
    // From the loop, as every answer.
    void refuse(Error error) {
        patience_ = loop_.at(loop_.clock().now(), [this, error = std::move(error)] { answer(std::unexpected(error)); });
    }

private:
    void finish() {
        (void)process_->running();
        const int status = process_->exit_status().value_or(0);
        answer(Output{.status = status, .out = written(out_, limits_.output), .err = written(err_, limits_.output)});
    }
    void give_up() {
        (void)process_->signal(SIGKILL);  // it may have ended this moment
        answer(fail(Code::timeout, fmt::format("{} did not end within {} s", program_, limits_.time.count())));
    }
    void answer(Result<Output> output) {
        auto done = std::move(done_);
        ended_.reset();
        patience_.reset();
        done(std::move(output));  // may destroy us
    }

    Loop& loop_;
    std::string program_;
    CommandLimits limits_;
    std::move_only_function<void(Result<Output>)> done_;
    UniqueFd out_, err_;
    std::unique_ptr<Process> process_;
    std::unique_ptr<Watch> ended_, patience_;
};

}  // namespace

std::unique_ptr<Running> run_command(Spawner& spawner, Loop& loop, Command command, const CommandLimits& limits,
                                     std::move_only_function<void(Result<Output>)> done) {
    auto out = std::make_unique<RunningCommand>(loop, command.program, limits, std::move(done));
    if (auto started = out->start(spawner, std::move(command)); !started) {
        out->refuse(std::move(started).error());
    }
    return out;
}

Result<std::string> output_of(const std::string& program, Result<Output> output) {
    if (!output) {
        return std::unexpected(std::move(output).error());
    }
    if (output->status == 0) {
        return std::move(output->out);
    }
    constexpr std::size_t kMostWords = 2000;
    std::string words = output->err.substr(output->err.size() - std::min(output->err.size(), kMostWords));
    while (words.ends_with('\n')) {
        words.pop_back();
    }
    std::ranges::replace(words, '\n', ' ');
    return fail(Code::internal,
                fmt::format("{} ended with status {}{}{}", program, output->status, words.empty() ? "" : ": ", words));
}

}  // namespace bascule::kernel::os
