// SPDX-License-Identifier: GPL-2.0-or-later
// bascule-netsvc as the daemon starts it, on a bridge in a network namespace of the test process, with a guest that
// speaks raw Ethernet on the other side of a veth pair.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "dhcp/frame.h"
#include "dhcp/wire.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::netsvc::test {

using namespace dhcp::test;
namespace wire = dhcp::wire;

inline constexpr std::chrono::seconds kPatience{10};

inline int milliseconds_until(std::chrono::steady_clock::time_point deadline) {
    const auto left = deadline - std::chrono::steady_clock::now();
    return static_cast<int>(std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(left).count()));
}

inline bool readable(int fd, int milliseconds) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, milliseconds) == 1;
}

inline bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

// Why namespaces cannot be had; empty when the process is in fresh ones. A bridge br0 with 192.168.122.1/24, and a
// veth pair: guest0 is the guest's end.
inline std::string enter_namespaces() {
    static const std::string why = [] {
        if (::geteuid() != 0) {
            return std::string("needs root");
        }
        if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
            return std::string("needs network namespaces");
        }
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        const bool made =
            run("ip link set lo up && ip link add br0 type bridge && ip addr add 192.168.122.1/24 dev br0 && "
                "ip link add port0 type veth peer name guest0 && ip link set port0 master br0 up && "
                "ip link set guest0 up && ip link set br0 up");
        return made ? std::string() : std::string("needs bridges and veth pairs");
    }();
    return why;
}

// ---- the daemon's side

inline UniqueFd udp_socket(const char* address, std::uint16_t port, bool on_bridge = true) {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    ::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (on_bridge) {
        EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, "br0", 3), 0);
    }
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &where.sin_addr);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), 0) << std::strerror(errno);
    return fd;
}

inline UniqueFd packet_socket(const char* interface, std::uint16_t protocol) {
    UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(protocol);
    where.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), 0) << std::strerror(errno);
    return fd;
}

struct Heard {
    wire::ToDaemon message;
    std::vector<UniqueFd> fds;
};

// One connection to the service.
class Link {
public:
    explicit Link(UniqueFd socket) : socket_(std::move(socket)) {}
    int fd() const { return socket_.get(); }

    void send(const Bytes& bytes, const std::vector<int>& fds = {}) {
        alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {};
        iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        if (!fds.empty()) {
            header.msg_control = control;
            header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
            cmsghdr* const c = CMSG_FIRSTHDR(&header);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
        }
        EXPECT_GE(::sendmsg(socket_.get(), &header, MSG_NOSIGNAL), 0) << std::strerror(errno);
    }

    // The next message, or none when the deadline passes or the connection ends.
    std::optional<Heard> hear(std::chrono::steady_clock::time_point deadline) {
        if (!readable(socket_.get(), milliseconds_until(deadline))) {
            return std::nullopt;
        }
        std::vector<std::byte> buffer(64 * 1024);
        alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
        iovec vector{buffer.data(), buffer.size()};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
        if (got <= 0) {
            return std::nullopt;
        }
        Heard heard;
        if (cmsghdr* const c = CMSG_FIRSTHDR(&header); c != nullptr) {
            for (std::size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
                heard.fds.emplace_back(fd);
            }
        }
        auto message = wire::decode_to_daemon(ByteView(buffer.data(), static_cast<std::size_t>(got)));
        EXPECT_TRUE(message) << message.error().message;
        heard.message = *message;
        EXPECT_EQ(wire::descriptors(heard.message), heard.fds.size());
        return heard;
    }

    // Hears until a Synced of that generation; the leases reported meanwhile, by address.
    std::map<Ip, dhcp::Lease> until_synced(std::uint64_t generation) {
        std::map<Ip, dhcp::Lease> leases;
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (auto heard = hear(deadline)) {
            if (const auto* report = std::get_if<wire::Leases>(&heard->message)) {
                if (report->reset) {
                    leases.clear();
                }
                for (const auto& event : report->events) {
                    leases[event.lease.address] = event.lease;
                }
            } else if (const auto* synced = std::get_if<wire::Synced>(&heard->message);
                       synced && synced->generation == generation) {
                troubles = synced->troubles;
                takes_changes = synced->takes_changes;
                wants_all = synced->wants_all;
                return leases;
            }
        }
        ADD_FAILURE() << "the service did not say Synced " << generation;
        return leases;
    }

    // The next lease event.
    std::optional<dhcp::LeaseEvent> next_event() {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (auto heard = hear(deadline)) {
            const auto* report = std::get_if<wire::Leases>(&heard->message);
            if (report != nullptr && !report->events.empty()) {
                return report->events.front();
            }
        }
        return std::nullopt;
    }

    std::vector<wire::Trouble> troubles;
    bool takes_changes = false, wants_all = false;

private:
    UniqueFd socket_;
};

class Netsvc : public testing::Test {
protected:
    static constexpr std::size_t kUpstreams = 4;

    void SetUp() override {
        if (const std::string why = enter_namespaces(); !why.empty()) {
            GTEST_SKIP() << why;
        }
        folder_ = std::filesystem::temp_directory_path() / ("netsvc-" + std::to_string(::getpid()));
        std::filesystem::remove_all(folder_);
        std::filesystem::create_directories(folder_ / "leases");
        dhcp_ = udp_socket("0.0.0.0", 67);
        raw_ = packet_socket("br0", 0);
        dns_ = udp_socket("192.168.122.1", 53);
        for (std::size_t i = 0; i < kUpstreams; ++i) {
            upstreams_.push_back(udp_socket("0.0.0.0", 0, false));
        }
        guest_ = packet_socket("guest0", ETH_P_IP);
        listener_ = UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address()), sizeof(sockaddr_un)), 0);
        ASSERT_EQ(::listen(listener_.get(), 4), 0);
    }

    void TearDown() override {
        kill_service();
        if (!folder_.empty()) {
            std::filesystem::remove_all(folder_);
        }
    }

    const sockaddr_un& address() {
        address_.sun_family = AF_UNIX;
        std::strncpy(address_.sun_path, (folder_ / "sock").c_str(), sizeof address_.sun_path - 1);
        return address_;
    }

    // As the spawner of the daemon does it: descriptors from 3 on, nothing else.
    void start(bool connected = true) {
        int pair[2] = {-1, -1};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        int log[2] = {-1, -1};
        ASSERT_EQ(::pipe2(log, O_CLOEXEC), 0);
        const UniqueFd theirs(pair[1]), log_end(log[1]);
        const UniqueFd folder(::open((folder_ / "leases").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        log_ = UniqueFd(log[0]);
        const int wanted[] = {listener_.get(), folder.get(), connected ? theirs.get() : -1};
        pid_ = ::fork();
        if (pid_ == 0) {
            int high[3];
            for (int i = 0; i < 3; ++i) {
                high[i] = wanted[i] < 0 ? -1 : ::fcntl(wanted[i], F_DUPFD_CLOEXEC, 500);
            }
            ::dup2(log[1], STDERR_FILENO);
            for (int i = 0; i < 3; ++i) {
                high[i] < 0 ? ::close(3 + i) : ::dup2(high[i], 3 + i);
            }
            ::execl(TEST_BUILD_DIR "/bascule-netsvc", "bascule-netsvc", nullptr);
            ::_exit(127);
        }
        UniqueFd ours(pair[0]);
        link_.emplace(connected ? std::move(ours) : UniqueFd());
    }

    std::unique_ptr<Link> connect() {
        UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address()), sizeof(sockaddr_un)), 0);
        return std::make_unique<Link>(std::move(socket));
    }

    static wire::Network network() {
        dhcp::Spec spec = small_network();
        spec.bridge = *IfName::parse("br0");
        spec.subnets[0].ranges = {{"192.168.122.10"_ip, "192.168.122.254"_ip}};
        return {spec, {true, true, {0}}};
    }

    void push(Link& link, wire::Network what, std::uint64_t generation, bool with_sockets = true) {
        std::vector<int> fds{dhcp_.get(), raw_.get(), dns_.get()}, pool;
        if (!with_sockets) {
            what.sockets = {};
            fds.clear();
        } else {
            for (const UniqueFd& fd : upstreams_) {
                pool.push_back(fd.get());
            }
        }
        link.send(*wire::encode(wire::ToService(wire::Begin{generation})));
        const auto parts = wire::encode_network(what);
        for (std::size_t i = 0; i < parts->size(); ++i) {
            link.send((*parts)[i], i == 0 ? fds : std::vector<int>());
        }
        const wire::Upstreams servers{.servers = {{"127.0.0.1"_ip, 5300}},
                                      .sockets = {.v4_sockets = static_cast<std::uint16_t>(pool.size())},
                                      .search = {}};
        link.send(*wire::encode(wire::ToService(servers)), pool);
        link.send(*wire::encode(wire::ToService(wire::Commit{generation})));
    }

    // Started, told to serve network(), and serving. The leases it came up with.
    std::map<Ip, dhcp::Lease> serve() {
        start();
        push(*link_, network(), 1);
        return link_->until_synced(1);
    }

    void kill_service() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }

    bool running() const { return ::waitpid(pid_, nullptr, WNOHANG) == 0; }

    // What the service logs, until a line with this in it.
    bool logs(const std::string& text) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!log_text_.contains(text) && readable(log_.get(), milliseconds_until(deadline))) {
            char piece[4096];
            const ssize_t got = ::read(log_.get(), piece, sizeof piece);
            if (got <= 0) {
                break;
            }
            log_text_.append(piece, static_cast<std::size_t>(got));
        }
        return log_text_.contains(text);
    }

    // ---- the guest's side

    void send_frame(const Bytes& frame) {
        EXPECT_GE(::send(guest_.get(), frame.data(), frame.size(), 0), 0) << std::strerror(errno);
    }

    void say(const dhcp::Message& m, const Ip& from = Ip(), const Ip& to = Ip::v4(0xffffffffU)) {
        static const MacAddr everybody{{255, 255, 255, 255, 255, 255}};
        send_frame(dhcp::udp_frame({m.chaddr, everybody, from, to, 68, 67}, dhcp::encode(m)));
    }

    // Frames to the guest's side that carry UDP from this port, until one is accepted.
    struct Datagram {
        MacAddr to_mac;
        Ip to;
        ByteView payload;
    };
    bool hear(std::uint16_t from_port, const std::function<bool(const Datagram&)>& accept,
              std::chrono::milliseconds patience = kPatience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        std::vector<std::byte> buffer(2048);
        while (readable(guest_.get(), milliseconds_until(deadline))) {
            sockaddr_ll from{};
            socklen_t length = sizeof from;
            const ssize_t got =
                ::recvfrom(guest_.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
            if (got < 42 || from.sll_pkttype == PACKET_OUTGOING) {
                continue;
            }
            ByteReader in(ByteView(buffer).first(static_cast<std::size_t>(got)));
            Datagram d;
            d.to_mac.octets = in.array<6>();
            in.skip(24);
            d.to = Ip::v4(in.u32());
            const std::uint16_t port = in.u16();
            in.skip(2);
            const std::uint16_t udp = in.u16();
            in.skip(2);
            d.payload = in.take(std::max<std::size_t>(udp, 8) - 8);
            if (in.ok() && port == from_port && accept(d)) {
                return true;
            }
        }
        return false;
    }

    std::optional<dhcp::Message> hear_dhcp(const MacAddr& mac, dhcp::MessageType type,
                                           std::chrono::milliseconds patience = kPatience) {
        std::optional<dhcp::Message> out;
        hear(
            67,
            [&](const Datagram& d) {
                const auto m = dhcp::decode(d.payload);
                if (!m || m->chaddr != mac || m->type != type) {
                    return false;
                }
                out = *m;
                last_ = d;
                return true;
            },
            patience);
        return out;
    }

    std::optional<Ip> get_lease(const MacAddr& mac, std::string_view name = "vm1") {
        say(named(discover(mac), name));
        const auto offer = hear_dhcp(mac, dhcp::MessageType::offer);
        if (!offer) {
            return std::nullopt;
        }
        say(named(selecting(mac, offer->yiaddr), name));
        const auto ack = hear_dhcp(mac, dhcp::MessageType::ack);
        return ack ? std::optional(ack->yiaddr) : std::nullopt;
    }

    // Remembers an ACK.
    static bool note(const Datagram& d, std::map<MacAddr, Ip>& acknowledged) {
        const auto m = dhcp::decode(d.payload);
        if (!m || m->type != dhcp::MessageType::ack) {
            return false;
        }
        acknowledged[m->chaddr] = m->yiaddr;
        return true;
    }

    std::filesystem::path folder_;
    sockaddr_un address_{};
    UniqueFd dhcp_, raw_, dns_, guest_, listener_, log_;
    std::vector<UniqueFd> upstreams_;
    std::optional<Link> link_;
    std::string log_text_;
    pid_t pid_ = -1;
    Datagram last_;  // of hear_dhcp(), without its payload's bytes
};

}  // namespace bascule::netsvc::test
