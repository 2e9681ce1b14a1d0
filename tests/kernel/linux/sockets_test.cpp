// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "kernel/linux/log_socket.h"
#include "kernel/linux/tap.h"
#include "tests/kernel/linux/netns.h"

namespace bascule::kernel::os {

namespace {

using namespace literals;

IfName name(const char* text) { return *IfName::parse(text); }

struct Folder {
    Folder() {
        std::string pattern = testing::TempDir() + "bascule-XXXXXX";
        path = ::mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path;
};

std::uint16_t port_of(const UniqueFd& fd) {
    sockaddr_in6 address{};
    socklen_t size = sizeof(address);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ntohs(address.sin6_port);  // at the same place in both families
}

bool is_quiet(const UniqueFd& fd) {
    return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0 && (::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0;
}

}  // namespace

TEST(ClientSockets, AreMadeWithTheirModeAndGroup) {
    const Folder folder;
    const std::string path = folder.path + "/run/bascule/sock";
    const auto listener = listen_clients(path, 0660, ::geteuid() == 0 ? std::optional(4322U) : std::nullopt);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_TRUE(is_quiet(*listener));
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0660U);
    EXPECT_EQ(info.st_gid, ::geteuid() == 0 ? 4322U : ::getegid());
}

TEST(ClientSockets, OneThatAnswersIsToldFromOneThatADeadDaemonLeft) {
    const Folder folder;
    const std::string path = folder.path + "/sock";
    EXPECT_FALSE(answers(path));
    auto listener = listen_clients(path, 0600, {});
    ASSERT_TRUE(listener);
    EXPECT_TRUE(answers(path));
    listener->reset();
    EXPECT_FALSE(answers(path));
    EXPECT_TRUE(listen_clients(path, 0600, {})) << "the old one is replaced";
    remove_socket(path);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_FALSE(listen_clients(folder.path + "/" + std::string(120, 'x'), 0600, {}));
}

class RemoteClients : public Netns {
protected:
    void SetUp() override {
        Netns::SetUp();
        if (!IsSkipped()) {
            sh("ip link set lo up");
        }
    }
};

TEST_F(RemoteClients, ComeOverTcpWithTheirAddress) {
    const auto port_of = [](const UniqueFd& fd) {
        sockaddr_in6 address{};
        socklen_t size = sizeof(address);
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin6_port);
    };
    const auto listener = listen_tcp(*parse_ip("127.0.0.1"), 0, 8);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_TRUE(is_quiet(*listener));
    EXPECT_EQ(accept_remote(listener->get()).error().sys_errno, EAGAIN);
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_of(*listener));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    const auto accepted = accept_remote(listener->get());
    ASSERT_TRUE(accepted) << accepted.error().message;
    EXPECT_TRUE(is_quiet(accepted->fd));
    EXPECT_EQ(format(accepted->address), "127.0.0.1");
    EXPECT_EQ(accepted->port, port_of(client));
    const auto twice = listen_tcp(*parse_ip("127.0.0.1"), port_of(*listener), 8);
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().sys_errno, EADDRINUSE);
}

TEST(ClientSockets, TheKernelSaysWhoConnected) {
    const Folder folder;
    const auto listener = listen_seqpacket(folder.path + "/sock", 0600);
    ASSERT_TRUE(listener);
    EXPECT_EQ(accept_client(listener->get()).error().sys_errno, EAGAIN);
    const auto client = connect_seqpacket(folder.path + "/sock");
    ASSERT_TRUE(client);
    const auto accepted = accept_client(listener->get());
    ASSERT_TRUE(accepted);
    EXPECT_TRUE(is_quiet(accepted->fd));
    EXPECT_EQ(accepted->uid, ::geteuid());
    EXPECT_EQ(accepted->gid, ::getegid());
    EXPECT_EQ(accepted->pid, ::getpid());
    EXPECT_EQ(connect_seqpacket(folder.path + "/other").error().code, Code::unreachable);
}

TEST(Packets, ComeWholeWithTheirDescriptors) {
    auto pair = seqpacket_pair();
    ASSERT_TRUE(pair);
    EXPECT_TRUE(is_quiet(pair->first));
    std::vector<UniqueFd> fds;
    for (int i = 0; i < 253; ++i) {
        fds.emplace_back(::memfd_create("one", MFD_CLOEXEC));
        ASSERT_EQ(::write(fds.back().get(), &i, 1), 1);
    }
    ASSERT_TRUE(send_packet(pair->first.get(), as_bytes("one"), fds));
    ASSERT_TRUE(send_packet(pair->first.get(), as_bytes("two")));
    const auto one = receive_packet(pair->second.get(), 100, 253);
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_EQ(as_text(one->bytes), "one");
    ASSERT_EQ(one->fds.size(), 253U);
    unsigned char last = 0;
    EXPECT_EQ(::pread(one->fds[252].get(), &last, 1, 0), 1);
    EXPECT_EQ(last, 252);
    EXPECT_NE(::fcntl(one->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(as_text(receive_packet(pair->second.get(), 100, 0)->bytes), "two");
    EXPECT_EQ(receive_packet(pair->second.get(), 100, 0).error().sys_errno, EAGAIN);
    fds.emplace_back(::memfd_create("one too many", MFD_CLOEXEC));
    EXPECT_EQ(send_packet(pair->first.get(), as_bytes("x"), fds).error().code, Code::invalid_argument);
}

TEST(Packets, ThatAreTooLongOrBringTooManyDescriptorsAreRefused) {
    auto pair = seqpacket_pair();
    ASSERT_TRUE(pair);
    ASSERT_TRUE(send_packet(pair->first.get(), as_bytes("12345")));
    EXPECT_EQ(receive_packet(pair->second.get(), 4, 0).error().code, Code::malformed);
    std::vector<UniqueFd> fds;
    fds.emplace_back(::memfd_create("a", MFD_CLOEXEC));
    fds.emplace_back(::memfd_create("b", MFD_CLOEXEC));
    ASSERT_TRUE(send_packet(pair->first.get(), as_bytes("12345"), fds));
    EXPECT_EQ(receive_packet(pair->second.get(), 10, 1).error().code, Code::malformed);
}

TEST(Packets, TheEndAndAFullSocketAreTold) {
    auto pair = seqpacket_pair();
    ASSERT_TRUE(pair);
    const Bytes big(60'000);
    Result<void> sent;
    for (int i = 0; i < 1000 && sent; ++i) {
        sent = send_packet(pair->first.get(), big);
    }
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().sys_errno, EAGAIN);
    pair->first.reset();
    while (true) {
        const auto got = receive_packet(pair->second.get(), 100'000, 0);
        ASSERT_TRUE(got) << got.error().message;
        if (got->bytes.empty()) {
            break;
        }
    }
    EXPECT_EQ(send_packet(pair->second.get(), as_bytes("x")).error().code, Code::unreachable);
}

TEST(Streams, CarryOneDescriptorWithTheirFirstByte) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd here(ends[0]), there(ends[1]);
    const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
    EXPECT_EQ(receive_stream(there.get(), 10).error().sys_errno, EAGAIN);
    EXPECT_EQ(*send_stream(here.get(), as_bytes("a"), file.get()), 1U);
    EXPECT_EQ(*send_stream(here.get(), as_bytes("bc")), 2U);
    auto got = receive_stream(there.get(), 10);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->fds.size(), 1U);
    const Bytes rest = got->bytes.size() == 3 ? Bytes() : receive_stream(there.get(), 10)->bytes;
    EXPECT_EQ(std::string(as_text(got->bytes)) + std::string(as_text(rest)), "abc");
}

class ServiceSockets : public Netns {
protected:
    void SetUp() override {
        Netns::SetUp();
        if (!IsSkipped()) {
            sh("ip link set lo up; ip link add br0 type bridge; ip link add br1 type bridge; ip link set br0 up;"
               "ip link set br1 up; ip addr add 10.1.0.1/24 dev br0; ip addr add 10.2.0.1/24 dev br1;"
               "ip addr add fd00:1::1/64 dev br0 nodad");
        }
    }
};

TEST_F(ServiceSockets, EachBridgeHasItsDhcpAndDns) {
    for (const char* bridge : {"br0", "br1"}) {
        const auto dhcp = open_dhcp_socket(name(bridge));
        ASSERT_TRUE(dhcp) << dhcp.error().message;
        EXPECT_TRUE(is_quiet(*dhcp));
        EXPECT_EQ(port_of(*dhcp), 67);
        EXPECT_TRUE(is_bound_to(dhcp->get(), interface_index(bridge)));
        EXPECT_FALSE(is_bound_to(dhcp->get(), interface_index("lo")));
    }
    const auto v4 = open_service_socket("10.1.0.1"_ip, 53, name("br0"));
    const auto v6 = open_service_socket("fd00:1::1"_ip, 53, name("br0"));
    ASSERT_TRUE(v4) << v4.error().message;
    ASSERT_TRUE(v6) << v6.error().message;
    EXPECT_EQ(port_of(*v6), 53);
    const auto elsewhere = open_service_socket("10.9.0.1"_ip, 53, name("br0"));
    ASSERT_FALSE(elsewhere);
    EXPECT_TRUE(elsewhere.error().message.contains("10.9.0.1 on br0")) << elsewhere.error().message;
}

TEST_F(ServiceSockets, AForeignServerOnThePortIsNamed) {
    const UniqueFd other(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    ASSERT_EQ(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const auto refused = open_service_socket("10.1.0.1"_ip, 53, name("br0"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_TRUE(refused.error().message.contains("port 53")) << refused.error().message;
}

TEST_F(ServiceSockets, ABridgeThatWasMadeAgainIsNotTheOneASocketIsBoundTo) {
    const auto dhcp = open_dhcp_socket(name("br1"));
    const auto raw = open_raw_socket(name("br1"));
    ASSERT_TRUE(dhcp && raw);
    EXPECT_TRUE(is_bound_to(raw->get(), interface_index("br1")));
    sh("ip link delete br1");
    EXPECT_FALSE(is_bound_to(dhcp->get(), interface_index("br1")));
    EXPECT_FALSE(is_bound_to(raw->get(), interface_index("br1")));
    sh("ip link add br1 type bridge");
    EXPECT_FALSE(is_bound_to(dhcp->get(), interface_index("br1")));
    EXPECT_FALSE(is_bound_to(raw->get(), interface_index("br1")));
    EXPECT_FALSE(open_dhcp_socket(name("nothere")));
    EXPECT_FALSE(open_raw_socket(name("nothere")));
}

TEST_F(ServiceSockets, ARawSocketSendsFramesAndHearsNone) {
    sh("ip link add p0 type veth peer name p1; ip link set p0 master br0 up; ip link set p1 up");
    const auto raw = open_raw_socket(name("br0"));
    ASSERT_TRUE(raw) << raw.error().message;
    const UniqueFd ear(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(0x88b5)));
    Bytes frame(60, std::byte{0});
    std::fill_n(frame.begin(), 6, std::byte{0xff});
    frame[6] = std::byte{2};
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};  // for experiments (IEEE 802)
    // The port forwards as soon as the kernel has noticed its carrier.
    EXPECT_TRUE(eventually([&] {
        EXPECT_EQ(::send(raw->get(), frame.data(), frame.size(), 0), 60);
        Bytes got(100);
        return ::recv(ear.get(), got.data(), got.size(), 0) == 60;
    }));
    EXPECT_EQ(::recv(raw->get(), frame.data(), frame.size(), 0), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ServiceSockets, ResolverSocketsHaveDifferentPortsOfTheWholeRange) {
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        const auto sockets = open_resolver_sockets(64, family);
        ASSERT_TRUE(sockets) << sockets.error().message;
        EXPECT_EQ(sockets->size(), 64U);
        std::set<std::uint16_t> ports;
        for (const UniqueFd& fd : *sockets) {
            ports.insert(port_of(fd));
            EXPECT_GE(port_of(fd), 1024);
        }
        EXPECT_EQ(ports.size(), 64U);
        EXPECT_GT(*ports.rbegin() - *ports.begin(), 20'000);
    }
}

class TapTest : public Netns {};

TEST_F(TapTest, QueuesOfATapAreOpenedAndOneThatIsAbsentIsNotMade) {
    const auto kernel = needed_kernel();
    Link link;
    link.kind = LinkKind::tap;
    link.owner = "port:vnet0";
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("vnet0"), link})));
    link.queues = 2;
    ASSERT_TRUE(ok(kernel->apply(PutLink{name("vnet1"), link})));
    const auto taps = make_taps();
    const auto one = taps->open_tap(name("vnet0"), false);
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_TRUE(is_quiet(*one));
    EXPECT_EQ(taps->open_tap(name("vnet0"), false).error().code, Code::in_use);
    const auto a = taps->open_tap(name("vnet1"), true), b = taps->open_tap(name("vnet1"), true);
    EXPECT_TRUE(a && b);
    EXPECT_EQ(taps->open_tap(name("vnet0"), true).error().code, Code::conflict);
    const auto absent = taps->open_tap(name("vnet7"), false);
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, Code::invalid_state);
    EXPECT_EQ(sh("ip -o link show type tun | wc -l"), "2\n");
}

TEST_F(TapTest, AVhostNetThatTheHostHasNotGotIsUnsupported) {
    const auto vhost = make_taps()->open_vhost_net();
    if (!vhost) {
        EXPECT_EQ(vhost.error().code, Code::unsupported) << vhost.error().message;
    }
}

}  // namespace bascule::kernel::os
