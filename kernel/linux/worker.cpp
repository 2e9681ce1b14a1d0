// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"

namespace bascule::kernel::os {

namespace {

constexpr std::chrono::seconds kIdle{2};

struct Job {
    std::move_only_function<void()> work, done;
};

struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Job> waiting;
    std::vector<Job> finished;
    std::size_t threads = 0, idle = 0;
    bool closed = false;
    UniqueFd wake;
};

void serve(const std::shared_ptr<Shared>& shared) {
    std::unique_lock lock(shared->mutex);
    while (true) {
        ++shared->idle;
        shared->changed.wait_for(lock, kIdle, [&] { return !shared->waiting.empty() || shared->closed; });
        --shared->idle;
        if (shared->waiting.empty() || shared->closed) {
            --shared->threads;
            return;
        }
        Job job = std::move(shared->waiting.front());
        shared->waiting.pop_front();
        lock.unlock();
        job.work();
        job.work = nullptr;  // what it holds goes here, not on the loop
        lock.lock();
        shared->finished.push_back(std::move(job));
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = ::write(shared->wake.get(), &one, sizeof(one));
    }
}

class ThreadWorker : public Worker {
public:
    ThreadWorker(Loop& loop, std::size_t threads, UniqueFd wake) : most_(threads) {
        shared_->wake = std::move(wake);
        watch_ = loop.watch(shared_->wake.get(), true, false, [this](Ready) { take_finished(); });
    }
    // Threads that are at work go on with what is theirs; nobody waits for them, so what they refer to stays.
    ~ThreadWorker() override {
        static auto& left_over = *new std::vector<std::shared_ptr<Shared>>();
        std::deque<Job> waiting;
        const std::scoped_lock lock(shared_->mutex);
        shared_->closed = true;
        waiting.swap(shared_->waiting);
        shared_->changed.notify_all();
        if (shared_->threads > shared_->idle || !shared_->finished.empty()) {
            left_over.push_back(shared_);
        }
    }

    void run(std::move_only_function<void()> work, std::move_only_function<void()> done) override {
        const std::scoped_lock lock(shared_->mutex);
        shared_->waiting.push_back({std::move(work), std::move(done)});
        if (shared_->idle < shared_->waiting.size() && shared_->threads < most_) {
            start_thread();
        }
        shared_->changed.notify_one();
    }

private:
    // Signals are the loop's: a thread inherits the mask that it is started with.
    void start_thread() {
        sigset_t all, before;
        sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before);
        ++shared_->threads;
        std::thread([shared = shared_] { serve(shared); }).detach();
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void take_finished() {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = ::read(shared_->wake.get(), &count, sizeof(count));
        std::vector<Job> finished;
        {
            const std::scoped_lock lock(shared_->mutex);
            finished.swap(shared_->finished);
        }
        const auto alive = shared_;  // a callback may end the worker
        for (Job& job : finished) {
            if (alive->closed) {  // only ever set by this thread
                return;
            }
            job.done();
        }
    }

    std::size_t most_;
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    std::unique_ptr<Watch> watch_;
};

}  // namespace

std::unique_ptr<Worker> make_worker(Loop& loop, std::size_t threads) {
    UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) {  // out of descriptors at start: nothing would work
        log::error("making a worker: {}", errno_text(errno));
        std::abort();
    }
    return std::make_unique<ThreadWorker>(loop, threads, std::move(wake));
}

}  // namespace bascule::kernel::os
