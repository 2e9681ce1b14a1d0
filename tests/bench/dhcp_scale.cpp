// SPDX-License-Identifier: GPL-2.0-or-later
// How much memory one bascule-netsvc takes for many networks and leases, and how long it takes to serve them all again
// after it was started: `./bench dhcp --only scale`.
//
//   dhcp_scale NETSVC FOLDER NETWORKS LEASES
//
// Plays the daemon: writes the lease files of so many networks, starts the service, pushes all of the networks with
// sockets as the daemon would hand them over, and reads until it has told of every lease. Prints JSON: milliseconds
// from fork to there, processor time of the service in them, its PSS (/proc/PID/smaps_rollup) in KiB, and how many
// leases it told of.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/fd.h"
#include "dhcp/journal.h"
#include "dhcp/wire.h"

namespace {

using namespace bascule;
namespace wire = dhcp::wire;

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "dhcp_scale: %s\n", what.c_str());
    std::exit(1);
}

template <class T>
T must(Result<T> result, const char* what) {
    if (!result) {
        die(std::string(what) + ": " + result.error().message);
    }
    return *std::move(result);
}

Uuid uuid_of(unsigned network) {
    Uuid out;
    out.octets = {0xba, 0x5c, 0, 0, 0, 0, 0x40, 0, 0x80};
    out.octets[14] = static_cast<std::uint8_t>(network >> 8);
    out.octets[15] = static_cast<std::uint8_t>(network);
    return out;
}

// 10.X.Y.0/24 with as much of it as the daemon gives an ordinary network.
dhcp::Spec spec_of(unsigned network) {
    const std::uint32_t base = 0x0a000000 + (network << 8);
    dhcp::Spec spec{.uuid = uuid_of(network),
                    .network = fmt::format("net{}", network),
                    .bridge = *IfName::parse(fmt::format("bench{}", network))};
    dhcp::Subnet v4{.server = {Ip::v4(base + 1), 24}};
    v4.ranges = {{Ip::v4(base + 2), Ip::v4(base + 254)}};
    dhcp::Subnet v6{.server = {Ip::v6({0xfd, 0, 0, static_cast<std::uint8_t>(network >> 8),
                                       static_cast<std::uint8_t>(network), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}),
                               64}};
    spec.subnets = {v4, v6};
    spec.domain = spec.network + ".example";
    spec.domain_local = true;
    return spec;
}

void write_leases(const std::string& folder, unsigned network, unsigned leases) {
    std::string text = dhcp::journal::header(uuid_of(network));
    const auto end =
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + std::chrono::minutes(50);
    for (unsigned i = 0; i < leases; ++i) {
        const auto octet = [&](unsigned shift) { return static_cast<std::uint8_t>((network * 256 + i) >> shift); };
        dhcp::Lease lease{.network = uuid_of(network),
                          .port = MacAddr{{0x52, 0x54, 0, octet(16), octet(8), octet(0)}},
                          .address = Ip::v4(0x0a000000 + (network << 8) + 2 + i)};
        lease.prefix_length = 24;
        lease.expires = end;
        lease.hostname = fmt::format("guest-{}", i);
        lease.client_id = {1, 0x52, 0x54, 0, octet(16), octet(8), octet(0)};
        text += dhcp::journal::granted(lease);
    }
    std::ofstream(fmt::format("{}/{}.leases", folder, format(uuid_of(network)))) << text;
}

int must_socket(int family, int type) {
    const int fd = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        die(fmt::format("socket: {}", std::strerror(errno)));
    }
    return fd;
}

// As many as the daemon opens, bound to nothing, and none of them packet sockets, each of which the kernel takes tens
// of milliseconds to close: what they cost the service is the same.
std::vector<UniqueFd> sockets_of(const wire::SocketLayout& layout) {
    std::vector<UniqueFd> out;
    const std::size_t streams = layout.dns_tcp.size();
    for (std::size_t i = 0; i < layout.count() - streams; ++i) {
        out.emplace_back(must_socket(AF_INET, SOCK_DGRAM));
    }
    for (std::size_t i = 0; i < streams; ++i) {
        out.emplace_back(must_socket(AF_INET, SOCK_STREAM));
        if (::listen(out.back().get(), 8) != 0) {
            die("listen");
        }
    }
    return out;
}

void send_packet(int channel, const Bytes& bytes, const std::vector<UniqueFd>& fds) {
    std::array<char, CMSG_SPACE(sizeof(int) * wire::kMaxDescriptors)> control{};
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        cmsghdr* const c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        for (std::size_t i = 0; i < fds.size(); ++i) {
            const int fd = fds[i].get();
            std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
        }
    }
    if (::sendmsg(channel, &header, 0) < 0) {
        die(fmt::format("the service does not take its push: {}", std::strerror(errno)));
    }
}

struct Said {
    std::uint64_t generation = 0;
    bool synced = false;
    std::size_t leases = 0;
};

// One message; descriptors that come with it are closed.
Said read_packet(int channel) {
    std::vector<std::byte> buffer(65536);
    std::array<char, CMSG_SPACE(sizeof(int) * wire::kMaxDescriptors)> control{};
    iovec vector{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    if (got <= 0) {
        die("the service ended");
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        for (std::size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            ::close(fd);
        }
    }
    const auto message =
        must(wire::decode_to_daemon(ByteView(buffer.data(), static_cast<std::size_t>(got))), "the service's message");
    if (const auto* const leases = std::get_if<wire::Leases>(&message)) {
        return {.leases = leases->events.size()};
    }
    if (const auto* const synced = std::get_if<wire::Synced>(&message)) {
        return {.generation = synced->generation, .synced = true};
    }
    return {};
}

long pss_of(pid_t process) {
    std::ifstream in(fmt::format("/proc/{}/smaps_rollup", process));
    for (std::string word; in >> word;) {
        if (word == "Pss:") {
            long kib = 0;
            in >> kib;
            return kib;
        }
    }
    return -1;
}

pid_t start_service(const char* program, const std::string& folder, int listener, int channel) {
    const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
    const pid_t child = ::fork();
    if (child == 0) {
        // Above everything first, so that none is overwritten before it is moved.
        const int high[] = {::fcntl(listener, F_DUPFD, 1000), ::fcntl(folder_fd, F_DUPFD, 1000),
                            ::fcntl(channel, F_DUPFD, 1000)};
        for (int i = 0; i < 3; ++i) {
            ::dup2(high[i], 3 + i);
        }
        ::close_range(6, ~0U, 0);
        const int nowhere = ::open("/dev/null", O_WRONLY);
        ::dup2(nowhere, 2);
        ::close(nowhere);
        ::execl(program, program, static_cast<char*>(nullptr));
        ::_exit(127);
    }
    ::close(folder_fd);
    return child;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        die("usage: dhcp_scale NETSVC FOLDER NETWORKS LEASES");
    }
    const std::string folder = argv[2];
    const auto networks = static_cast<unsigned>(std::atoi(argv[3])), leases = static_cast<unsigned>(std::atoi(argv[4]));
    const rlimit many{65536, 65536};
    ::setrlimit(RLIMIT_NOFILE, &many);
    for (unsigned i = 0; i < networks; ++i) {
        write_leases(folder, i, leases / networks);
    }
    // Everything that the daemon has ready when its service dies.
    struct Push {
        std::vector<Bytes> datagrams;
        std::vector<UniqueFd> fds;
    };
    std::vector<Push> pushes;
    for (unsigned i = 0; i < networks; ++i) {
        wire::Network network{.spec = spec_of(i),
                              .sockets = {.dhcp = true, .raw = true, .dns = {0, 1}, .dns_tcp = {0}}};
        network.sockets.frames6 = network.sockets.dhcp6 = network.sockets.advert = network.sockets.arp = true;
        auto fds = sockets_of(network.sockets);
        pushes.push_back({must(wire::encode_network(network), "a network"), std::move(fds)});
    }
    std::array<int, 2> channel{};
    const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    const sockaddr nameless{AF_UNIX, {}};  // the kernel finds a name that no file has
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel.data()) != 0 ||
        ::bind(listener, &nameless, sizeof nameless.sa_family) != 0 || ::listen(listener, 1) != 0) {
        die("sockets of the service");
    }
    const auto began = std::chrono::steady_clock::now();
    const pid_t child = start_service(argv[1], folder, listener, channel[1]);
    ::close(channel[1]);
    while (!read_packet(channel[0]).synced) {
    }
    const std::vector<UniqueFd> none;
    send_packet(channel[0], must(wire::encode(wire::ToService(wire::Begin{1})), "Begin"), none);
    for (const Push& push : pushes) {
        for (std::size_t i = 0; i < push.datagrams.size(); ++i) {
            send_packet(channel[0], push.datagrams[i], i == 0 ? push.fds : none);
        }
    }
    send_packet(channel[0], must(wire::encode(wire::ToService(wire::Commit{1})), "Commit"), none);
    std::size_t told = 0;
    for (bool done = false; !done;) {
        const Said said = read_packet(channel[0]);
        told += said.leases;
        done = said.synced && said.generation == 1;
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    const long pss = pss_of(child);
    ::kill(child, SIGKILL);
    rusage used{};
    ::wait4(child, nullptr, 0, &used);
    const auto milliseconds = [](const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; };
    std::printf("{\"ms\": %.0f, \"cpu_ms\": %ld, \"pss_kib\": %ld, \"leases\": %zu}\n", took.count(),
                milliseconds(used.ru_utime) + milliseconds(used.ru_stime), pss, told);
    return 0;
}
