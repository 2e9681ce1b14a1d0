// SPDX-License-Identifier: GPL-2.0-or-later
// The independent judge: every golden command line is accepted by a real QEMU (TCG), which is then driven by Guest.
// Its taps live in a network namespace of its own, made in the child.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/support/fake_io.h"
#include "tests/support/golden.h"
#include "tests/vmm/peer.h"
#include "tests/vmm/support.h"
#include "vmm/guest.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

namespace fs = std::filesystem;

constexpr int kParked = 200;  // descriptor numbers out of the way of 3, 4, 5 …

bool own_network() { return ::unshare(CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0; }

int open_tap(std::size_t nic, bool multi_queue) {
    const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    ifreq request{};
    std::strncpy(request.ifr_name, fmt::format("tap{}", nic).c_str(), IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
    return fd >= 0 && ::ioctl(fd, TUNSETIFF, &request) == 0 ? fd : -1;
}

class RealProcess : public kernel::Process {
public:
    explicit RealProcess(int pid) : pid_(pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
    int pid() const override { return pid_; }
    int pidfd() const override { return pidfd_.get(); }
    bool running() const override {
        pollfd p{pidfd_.get(), POLLIN, 0};
        return ::poll(&p, 1, 0) == 0;
    }
    Result<void> signal(int number) override {
        return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0 ? Result<void>()
                                                                                       : fail_errno("signal");
    }

private:
    int pid_;
    UniqueFd pidfd_;
};

class RealSpawner : public kernel::Spawner {
public:
    explicit RealSpawner(std::vector<Slot> slots, std::vector<unsigned> queues)
        : slots_(std::move(slots)), queues_(std::move(queues)) {}
    ~RealSpawner() override {
        for (const int pid : pids_) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }

    Result<std::unique_ptr<kernel::Process>> spawn(const kernel::Command& command) override {
        std::vector<const char*> argv{command.program.c_str()};
        for (const std::string& arg : command.args) {
            argv.push_back(arg.c_str());
        }
        argv.push_back(nullptr);
        const int pid = ::fork();
        if (pid == 0) {
            ::dup2(command.stderr_fd, 2);
            if (!own_network() || !descriptors(command)) {
                ::_exit(120);
            }
            ::execv(argv[0], const_cast<char* const*>(argv.data()));
            ::_exit(121);
        }
        pids_.push_back(pid);
        return std::make_unique<RealProcess>(pid);
    }
    Result<std::unique_ptr<kernel::Process>> adopt(int pid, const std::string& /*executable*/) override {
        return std::make_unique<RealProcess>(pid);
    }

private:
    bool descriptors(const kernel::Command& command) {
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            const Slot& slot = slots_[i];
            const int from =
                slot.kind == Slot::Kind::tap ? open_tap(slot.index, queues_[slot.index] > 1) : command.fds[i];
            if (::fcntl(from, F_DUPFD_CLOEXEC, kParked + static_cast<int>(i)) != kParked + static_cast<int>(i)) {
                return false;
            }
        }
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            ::dup2(kParked + static_cast<int>(i), 3 + static_cast<int>(i));
        }
        return true;
    }

    std::vector<Slot> slots_;
    std::vector<unsigned> queues_;
    std::vector<int> pids_;
};

std::string why_not() {
    if (::access("/usr/bin/qemu-system-x86_64", X_OK) != 0) {
        return "needs qemu-system-x86_64";
    }
    const int pid = ::fork();
    if (pid == 0) {
        ::_exit(own_network() && open_tap(0, false) >= 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status == 0 ? "" : "needs a network namespace of its own and /dev/net/tun";
}

class RealQemu : public testing::TestWithParam<fs::path> {
protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) {
            GTEST_SKIP() << reason;
        }
        char name[] = "/tmp/bascule-vmm-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
    }
    void TearDown() override {
        guest_.reset();
        spawner_.reset();
        if (!folder_.empty()) {
            fs::remove_all(folder_);
        }
    }

    // What this machine cannot do is replaced by what asks the same of QEMU's command line.
    Spec adapted(const fs::path& file) {
        auto spec = parse(test::read_file(file));
        EXPECT_TRUE(spec && complete(*spec, test::counted()));
        spec->accelerator = Accelerator::tcg;
        for (Interface& nic : spec->interfaces) {
            nic.backend = NicBackend::qemu;
        }
        for (Graphics& one : spec->graphics) {
            one.live = GraphicsLive{.address = "127.0.0.1", .socket = folder_ / "vnc"};
        }
        for (Disk& disk : spec->disks) {  // images are in memory here
            disk.type = Disk::Type::file;
            disk.cache = disk.cache == "none" || disk.cache == "directsync" ? "" : disk.cache;
            disk.io = disk.io == "native" ? "" : disk.io;
        }
        spec->features.hyperv.clear();
        spec->features.hyperv_mode.clear();
        std::erase_if(spec->clock.timers, [](const Timer& timer) { return timer.name == "hypervclock"; });
        if (!spec->os.kernel.empty()) {
            // The boot protocol's mark and version where a kernel has them, and nothing else.
            std::string image(64 << 10, '\0');
            image[0x1f1] = 1;
            image.replace(0x202, 6, std::string("HdrS\x02\x02", 6));
            spec->os.kernel = folder_ / "vmlinuz";
            std::ofstream(spec->os.kernel) << image;
            spec->os.initrd = folder_ / "initrd";
            std::ofstream(spec->os.initrd) << std::string(4096, 'i');
        }
        return *spec;
    }

    // As little as QEMU takes for an image of that format.
    UniqueFd image(const Disk& disk) {
        std::string bytes(1 << 20, '\0');
        if (disk.format == Disk::Format::qcow2) {
            const std::string path = folder_ / "qcow2";
            EXPECT_EQ(std::system(("qemu-img create -q -f qcow2 " + path + " 1M").c_str()), 0);
            bytes = test::read_file(path);
        }
        UniqueFd fd(static_cast<int>(::syscall(SYS_memfd_create, "image", MFD_CLOEXEC)));
        EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
        const std::string again = fmt::format("/proc/self/fd/{}", fd.get());
        return disk.readonly ? UniqueFd(::open(again.c_str(), O_RDONLY | O_CLOEXEC)) : std::move(fd);
    }
    UniqueFd listener(const std::string& name) {
        UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const sockaddr_un address = where(name);
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(fd.get(), 4), 0);
        return fd;
    }
    sockaddr_un where(const std::string& name) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = folder_ / name;
        std::memcpy(address.sun_path, path.data(), path.size());
        return address;
    }
    Guest::Deps deps() {
        return {loop_, *spawner_, [this](const std::string&) -> Result<std::unique_ptr<kernel::Stream>> {
                    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
                    const sockaddr_un address = where("monitor");
                    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
                        return fail_errno("connect");
                    }
                    return std::make_unique<test::SocketStream>(std::move(fd));
                }};
    }
    Guest::Callbacks callbacks() {
        return {.ended = [this](const Guest::Ended& end) { ended_ = end; }};
    }

    Result<void> start(Spec spec, bool paused) {
        auto launch = compile(spec, std::vector<NicPlan>(spec.interfaces.size()));
        EXPECT_TRUE(launch);
        std::vector<unsigned> queues;
        for (const Interface& nic : spec.interfaces) {
            queues.push_back(nic.queue_count());
        }
        spawner_ = std::make_unique<RealSpawner>(launch->slots, queues);
        StartPlan plan{.spec = std::move(spec), .launch = *launch};
        for (const Slot& slot : launch->slots) {
            plan.fds.push_back(slot.kind == Slot::Kind::monitor   ? listener("monitor")
                               : slot.kind == Slot::Kind::channel ? listener(fmt::format("channel{}", slot.index))
                               : slot.kind == Slot::Kind::disk    ? image(plan.spec.disks[slot.index])
                                                                  : UniqueFd(::open("/dev/null", O_RDWR)));
        }
        const std::string log = folder_ / "log";
        plan.log = UniqueFd(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        plan.last_words = [log] { return test::read_file(log); };
        plan.monitor = folder_ / "monitor";
        plan.paused = paused;
        guest_ = std::make_unique<Guest>(deps(), callbacks());
        return wait([&](Done done) { guest_->start(std::move(plan), std::move(done)); });
    }

    // The answer, or an error of our own when none comes within 60 s.
    Result<void> wait(const std::function<void(Done)>& call) {
        std::optional<Result<void>> answer;
        call([&](Result<void> result) { answer = std::move(result); });
        until([&] { return answer.has_value(); });
        return answer.value_or(fail(Code::timeout, "nothing happened within 60 s"));
    }
    void until(const std::function<bool()>& happened) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!happened() && std::chrono::steady_clock::now() < deadline) {
            if (!loop_.turn()) {
                ::usleep(1000);
            }
        }
    }
    static std::string said(const Result<void>& result) { return result ? "ok" : result.error().message; }

    fs::path folder_;
    test::FakeLoop loop_;
    std::unique_ptr<RealSpawner> spawner_;
    std::unique_ptr<Guest> guest_;
    std::optional<Guest::Ended> ended_;
};

std::vector<fs::path> good() {
    auto files = test::cases("golden/vmm", ".xml");
    // These name files, hosts and groups that are nowhere; nic-sockets is like them for this.
    std::erase_if(files,
                  [](const fs::path& file) { return file.stem() == "nic-types" || file.stem() == "nic-options"; });
    std::erase_if(files, [](const fs::path& file) { return file.filename().string().starts_with("bad-"); });
    return files;
}

TEST_P(RealQemu, AcceptsTheCommandLineAndEndsWhenDestroyed) {
    const Spec spec = adapted(GetParam());
    ASSERT_EQ(said(start(spec, true)), "ok");
    EXPECT_EQ(guest_->status(), (Status{State::paused, reason::kPausedUser}));
    if (!spec.serials.empty()) {
        EXPECT_TRUE(guest_->console_path()->starts_with("/dev/pts/"));
    }
    EXPECT_EQ(said(wait([&](Done done) { guest_->destroy(false, std::move(done)); })), "ok");
    ASSERT_TRUE(ended_);
    EXPECT_EQ(ended_->status, (Status{State::shutoff, reason::kShutoffDestroyed}));
}

INSTANTIATE_TEST_SUITE_P(Files, RealQemu, testing::ValuesIn(good()),
                         [](const auto& file) { return test::case_name(file.param); });

class RealQemuLife : public RealQemu {};

TEST_P(RealQemuLife, RunsPausesChangesItsLinkAndIsTakenOverByANewDaemon) {
    ASSERT_EQ(said(start(adapted(GetParam()), false)), "ok");
    EXPECT_EQ(guest_->status(), (Status{State::running, reason::kRunningBooted}));
    EXPECT_EQ(said(wait([&](Done done) { guest_->suspend(std::move(done)); })), "ok");
    EXPECT_EQ(said(wait([&](Done done) { guest_->set_link(0, false, std::move(done)); })), "ok");
    const Live live = guest_->live();
    guest_.reset();
    guest_ = std::make_unique<Guest>(deps(), callbacks());
    EXPECT_EQ(said(wait([&](Done done) { guest_->attach(live, std::move(done)); })), "ok");
    EXPECT_EQ(guest_->status().state, State::paused);
    EXPECT_EQ(said(wait([&](Done done) { guest_->resume(std::move(done)); })), "ok");
    EXPECT_EQ(said(wait([&](Done done) { guest_->press_power_button(std::move(done)); })), "ok");
    guest_->reset([](const Result<void>&) {});  // on_reboot is destroy: QEMU ends, and says why
    until([&] { return ended_.has_value(); });
    ASSERT_TRUE(ended_);
    EXPECT_EQ(ended_->status, (Status{State::shutoff, reason::kShutoffShutdown})) << ended_->words;
}

INSTANTIATE_TEST_SUITE_P(Everything, RealQemuLife,
                         testing::Values(fs::path(TEST_SOURCE_DIR) / "tests/golden/vmm/everything.xml"));

class RealQemuScreen : public RealQemu {};

TEST_P(RealQemuScreen, HandsOutItsScreenItsDisplayAndItsMemory) {
    ASSERT_EQ(said(start(adapted(GetParam()), false)), "ok");
    const auto file = [this](const char* name) {
        return UniqueFd(::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    };
    EXPECT_EQ(said(wait([&](Done done) {
                  guest_->screenshot(file("screen"), Guest::VideoHead{.device = 0, .head = 0}, std::move(done));
              })),
              "ok");
    EXPECT_TRUE(test::read_file(folder_ / "screen").starts_with("P6\n"));
    EXPECT_EQ(said(wait([&](Done done) { guest_->dump(file("core"), "elf", std::move(done)); })), "ok");
    EXPECT_TRUE(test::read_file(folder_ / "core").starts_with("\177ELF"));
    EXPECT_NE(said(wait([&](Done done) { guest_->dump(file("core"), "nonsense", std::move(done)); })), "ok");

    int ends[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd ours(ends[0]);
    EXPECT_EQ(said(wait([&](Done done) { guest_->add_display_client(UniqueFd(ends[1]), true, std::move(done)); })),
              "ok");
    std::string hello(12, '\0');
    until([&] { return ::recv(ours.get(), hello.data(), hello.size(), MSG_PEEK | MSG_DONTWAIT) == 12; });
    EXPECT_EQ(::recv(ours.get(), hello.data(), hello.size(), MSG_DONTWAIT), 12);
    EXPECT_EQ(hello, "RFB 003.008\n");
    EXPECT_EQ(said(wait([&](Done done) { guest_->destroy(false, std::move(done)); })), "ok");
}

INSTANTIATE_TEST_SUITE_P(Display, RealQemuScreen,
                         testing::Values(fs::path(TEST_SOURCE_DIR) / "tests/golden/vmm/seat.xml"));

class RealQemuRefusal : public RealQemu {};

TEST_P(RealQemuRefusal, ItsOwnWordsAreTheError) {
    Spec spec = adapted(GetParam());
    spec.os.machine = "pc-q35-99.9";
    const std::string words = said(start(spec, false));
    EXPECT_TRUE(words.starts_with("QEMU ended: ")) << words;
    EXPECT_NE(words.find("unsupported machine type"), std::string::npos) << words;
    EXPECT_FALSE(guest_->active());
    EXPECT_FALSE(ended_) << "it never ran";
}

INSTANTIATE_TEST_SUITE_P(Minimal, RealQemuRefusal,
                         testing::Values(fs::path(TEST_SOURCE_DIR) / "tests/golden/vmm/minimal.xml"));

}  // namespace
}  // namespace bascule::vmm
