// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's own word on what our rules mean: real frames through a real bridge, in a network namespace,
// must fare as the policy's evaluator says, in both directions.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/fd.h"
#include "nwfilter/compile.h"
#include "nwfilter/flatten.h"
#include "nwfilter/fold.h"
#include "nwfilter/render.h"
#include "tests/nwfilter/frames.h"
#include "tests/nwfilter/random_filters.h"
#include "tests/nwfilter/random_rules.h"

namespace bascule::nwfilter {
namespace {

namespace policy = kernel::policy;

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

// A socket on the far end of one of the bridge's ports.
class Wire {
public:
    explicit Wire(const char* device) : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(device));
        const int room = 64 << 20;
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        const int ours = 1;
        ::setsockopt(fd_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &ours, sizeof ours);
        ok_ = ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    bool ok() const { return ok_; }
    bool send(const Bytes& frame) {
        return ::send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
    }

    // The numbers in the last four bytes of the frames that are there, or that come until `last` does.
    std::set<std::uint32_t> receive(std::optional<std::uint32_t> last) {
        std::set<std::uint32_t> seen;
        while (!last || !seen.contains(*last)) {
            pollfd wait{fd_.get(), POLLIN, 0};
            if (::poll(&wait, 1, last ? 5000 : 0) != 1) {
                break;
            }
            std::array<std::byte, 2048> buffer{};
            const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (size >= 4) {
                ByteReader in(ByteView(buffer).subspan(static_cast<std::size_t>(size) - 4, 4));
                seen.insert(in.u32());
            }
        }
        return seen;
    }

private:
    UniqueFd fd_;
    bool ok_ = false;
};

// vnet0 is the filtered port, far0 the guest's end of it; far1 is a neighbour; what far2 sends to the same
// end tells that all that was sent before has been through the bridge.
class KernelFrames : public testing::Test {
protected:
    static void SetUpTestSuite() {
        ready_ = ::geteuid() == 0 && run("command -v nft") && ::unshare(CLONE_NEWNET) == 0 && set_up();
    }
    static bool set_up() {
        std::string script =
            "set -e; sysctl -qw net.ipv6.conf.default.disable_ipv6=1; "
            // br_netfilter, where it is loaded, cuts off what is behind the IP packet, our numbers too.
            "for f in /proc/sys/net/bridge/bridge-nf-call-*; do test ! -e $f || echo 0 > $f; done; "
            "ip link add br0 type bridge stp_state 0 mcast_snooping 0; ip link set br0 up; ";
        for (const int i : {0, 1, 2}) {
            script += fmt::format(
                "ip link add vnet{0} type veth peer name far{0}; ip link set vnet{0} master br0; "
                "ip link set dev vnet{0} type bridge_slave learning off; "
                "ip link set far{0} up; ip link set vnet{0} up; ",
                i);
        }
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(std::max(0, ::sched_getcpu())), &one);
        ::sched_setaffinity(0, sizeof one, &one);  // frames keep their order on one processor
        return run(script) && run("nft add table bridge bascule");
    }
    void SetUp() override {
        if (!ready_) {
            GTEST_SKIP() << "needs root, nft, and a network namespace with bridge, veth and nftables";
        }
    }

    static bool load(const kernel::Ruleset& rules) {
        const std::string path = fmt::format("/tmp/bascule-nwfilter-{}.nft", ::getpid());
        std::ofstream(path) << "add table bridge bascule\ndelete table bridge bascule\n" << kernel::dump(rules);
        const bool ok = std::system(("nft -f " + path + " && nft list ruleset >/dev/null").c_str()) == 0;
        std::filesystem::remove(path);
        return ok;
    }

    // Sends the frames one way and gives the indices of those that arrived.
    static std::set<std::uint32_t> pass(const std::vector<Bytes>& frames, bool out) {
        Wire guest("far0"), neighbour("far1"), marker("far2");
        EXPECT_TRUE(guest.ok() && neighbour.ok() && marker.ok());
        for (const Bytes& frame : frames) {
            EXPECT_TRUE((out ? guest : neighbour).send(frame));
        }
        // Frames to everybody leave the bridge in the order they came, so the marker is the last on far1, and
        // then all that may pass to far0 is there.
        const auto end = static_cast<std::uint32_t>(frames.size());
        Bytes last(64);
        std::fill_n(last.begin(), 6, std::byte{0xff});
        last[6] = last[11] = std::byte{2};
        EXPECT_TRUE(marker.send(numbered(std::move(last), end)));
        const auto until = neighbour.receive(end);
        EXPECT_TRUE(until.contains(end)) << "frames got stuck";
        auto seen = out ? until : guest.receive(std::nullopt);
        seen.erase(end);
        return seen;
    }

    static Bytes numbered(Bytes frame, std::uint32_t number) {
        ByteWriter out;
        out.bytes(frame);
        out.u32(number);
        return out.take();
    }

    // Frames with their numbers, without those that no kernel takes (cut inside a tag), and those cut inside a
    // network header: the evaluator then sees no field, nft still the parts that a mask leaves.
    static std::vector<Bytes> frames(Random& random, std::size_t count) {
        RandomFrames make(random);
        std::vector<Bytes> out;
        while (out.size() < count) {
            Bytes frame = numbered(make.frame(), static_cast<std::uint32_t>(out.size()));
            ByteReader in(frame);
            in.skip(12);
            std::uint16_t type = in.u16();
            while (type == 0x8100 || type == 0x88a8) {
                in.skip(2);
                type = in.u16();
            }
            const std::size_t header = type == 0x0800                     ? 20
                                       : type == 0x86dd                   ? 40
                                       : type == 0x0806 || type == 0x8035 ? 28
                                                                          : 2;
            if (in.ok() && in.left() >= header) {
                out.push_back(std::move(frame));
            }
        }
        return out;
    }

    static inline bool ready_ = false;
    unsigned passed_ = 0, dropped_ = 0, attached_ = 0;

    void judge(const Filters& filters, const Port& port, Random& random, std::size_t count) {
        judge(filters, port, frames(random, count));
    }

    // All frames both ways under this port's rules. Nothing when it cannot be attached.
    void judge(const Filters& filters, const Port& port, const std::vector<Bytes>& sent) {
        const auto attachment = attach(port, filters.lookup());
        if (!attachment) {
            return;
        }
        ++attached_;
        auto compiled = compile(*flatten(port.filter, filters.lookup()), port, Values::in_place);
        ASSERT_TRUE(load(attachment->rules)) << kernel::dump(attachment->rules);
        for (const bool out : {true, false}) {
            const policy::Policy& p = out ? compiled->out.policy : compiled->in.policy;
            const auto arrived = pass(sent, out);
            for (std::uint32_t i = 0; i < sent.size(); ++i) {
                const auto outcome = policy::evaluate(p, policy::Packet::decode(sent[i]), {});
                ++(outcome.pass ? passed_ : dropped_);
                ASSERT_EQ(arrived.contains(i), outcome.pass)
                    << (out ? "from" : "to") << " the guest, decided by "
                    << (outcome.by == nullptr ? "nothing" : outcome.by->origin) << ": " << hex(sent[i]) << "\n"
                    << policy::dump(p) << kernel::dump(attachment->rules);
            }
        }
    }

    static std::string hex(const Bytes& frame) {
        std::string out;
        for (const std::byte b : frame) {
            out += fmt::format("{:02x}", static_cast<unsigned>(b));
        }
        return out;
    }
};

TEST_F(KernelFrames, PassUnhinderedWithoutAFilter) {
    Random random(10);
    const auto sent = frames(random, 200);
    ASSERT_TRUE(load({}));
    for (const bool out : {true, false}) {
        const auto arrived = pass(sent, out);
        for (std::uint32_t i = 0; i < sent.size(); ++i) {
            EXPECT_TRUE(arrived.contains(i)) << (out ? "from" : "to") << " the guest: " << hex(sent[i]);
        }
    }
}

TEST_F(KernelFrames, FareUnderTheStockFiltersAsThePolicySays) {
    Random random(11);
    const Filters filters;
    for (const Filter& stock : builtin_filters()) {
        SCOPED_TRACE(stock.name);
        judge(filters,
              port(stock.name, {{"IP", {"10.0.0.1"}},
                                {"IPV6", {"2001:db8::1"}},
                                {"DHCPSERVER", {stock.name.contains("v6") ? "fe80::1" : "10.0.0.2"}},
                                {"GATEWAY_MAC", {"52:54:00:00:00:02"}}}),
              random, 300);
    }
    EXPECT_GT(passed_, 1000U);
    EXPECT_GT(dropped_, 1000U);
}

// Packets that the drop rule of this origin has counted.
unsigned counted(const std::string& origin) {
    const std::string command =
        "nft list table bridge bascule | sed -n 's|.*counter packets \\([0-9]*\\) .* comment \"" + origin +
        "\".*|\\1|p'";
    unsigned sum = 0;
    FILE* const pipe = ::popen(command.c_str(), "r");
    for (unsigned one = 0; pipe != nullptr && std::fscanf(pipe, "%u", &one) == 1;) {
        sum += one;
    }
    if (pipe != nullptr) {
        ::pclose(pipe);
    }
    return sum;
}

TEST_F(KernelFrames, OfAnIntruderAreDroppedAndCountedByTheRuleThatIsMeant) {
    const auto attachment = attach(port("clean-traffic", {{"IP", {"10.0.0.1"}}}), Filters().lookup());
    ASSERT_TRUE(attachment && load(attachment->rules));
    for (const HostileFrame& frame : hostile_frames()) {
        const unsigned before = counted(frame.rule);
        EXPECT_EQ(pass({numbered(frame.bytes, 0)}, frame.out).contains(0), frame.pass) << frame.name;
        const unsigned marker = frame.rule == "no-other-l2-traffic/rule 1" ? 1 : 0;  // is dropped before the guest
        EXPECT_EQ(counted(frame.rule) - before - marker, frame.pass ? 0U : 1U) << frame.name << " by " << frame.rule;
    }
}

TEST_F(KernelFrames, OfNeighbourDiscoveryAskForLearnedAddressesInASetThatTheKernelTakes) {
    const auto attachment = attach(port("clean-traffic-dual", {{"IP", {"10.0.0.1"}}}), Filters().lookup());
    ASSERT_TRUE(attachment) << attachment.error().message;
    kernel::Ruleset rules = attachment->rules;
    const auto expires = std::chrono::steady_clock::time_point(std::chrono::hours(100'000));
    kernel::merge(rules, learned(*attachment, *parse_ip("64:ff9b::5"), expires));
    const auto& elements = rules.at(kernel::Family::bridge).elements;
    EXPECT_TRUE(elements.at("nwf_nd_IPV6").contains("vnet0 . 0x64ff9b000000000000000000000005"));
    EXPECT_TRUE(elements.at("nwf_ip6.nd_IPV6.IPV6").contains("vnet0 . 64:ff9b::5 . 0x64ff9b000000000000000000000005"));
    EXPECT_TRUE(load(rules));
}

TEST_F(KernelFrames, PassFromALearnedAddressUntilItExpires) {
    const auto attachment = attach(port("clean-traffic"), Filters().lookup());
    ASSERT_TRUE(attachment && load(attachment->rules));
    const Bytes frame = numbered(hostile_frames()[0].bytes, 0), discover = numbered(hostile_frames()[2].bytes, 0);
    EXPECT_FALSE(pass({frame}, true).contains(0));
    EXPECT_TRUE(pass({discover}, true).contains(0));
    const kernel::Table more = learned(*attachment, *parse_ip("10.0.0.1"), {}).at(kernel::Family::bridge);
    for (const auto& [set, elements] : more.elements) {
        for (const auto& [key, element] : elements) {
            const std::string add =
                "nft add element bridge bascule " + set + " '{ \"vnet0\"" + key.substr(5) + " timeout 1s }'";
            ASSERT_TRUE(run(add)) << add;
        }
    }
    EXPECT_TRUE(pass({frame}, true).contains(0));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool cut_off = false;
    while (!cut_off && std::chrono::steady_clock::now() < deadline) {
        cut_off = !pass({frame}, true).contains(0);
    }
    EXPECT_TRUE(cut_off);
}

TEST_F(KernelFrames, FareUnderRandomFiltersAsThePolicySays) {
    Random random(12);
    for (int i = 0; i < 60 && !HasFailure(); ++i) {
        Filters filters;
        RandomFilters make(random);
        const std::string name = make.tree(filters);
        judge(filters, port(name, make.parameters()), random, 200);
    }
    EXPECT_GT(passed_, 500U);
    EXPECT_GT(dropped_, 500U);
}

// Trees over the whole language, but for what needs connection tracking, which not every kernel has between the ports
// of a bridge.
TEST_F(KernelFrames, FareUnderTheWholeLanguageAsThePolicySays) {
    Random random(13);
    for (unsigned i = 0; i < 100 && !HasFailure(); ++i) {
        const auto theme = static_cast<Protocol>(i % 25);
        Filters filters;
        RandomRules make(random, false);
        const std::string name = make.tree(filters, theme);
        BoundaryFrames boundary(random, i % 2 == 0);
        std::vector<Bytes> sent;
        while (sent.size() < 120) {
            sent.push_back(numbered(boundary.frame(theme), static_cast<std::uint32_t>(sent.size())));
        }
        judge(filters, port(name, make.parameters()), sent);
    }
    EXPECT_GT(attached_, 40U);
    EXPECT_GT(passed_, 2000U);
    EXPECT_GT(dropped_, 2000U);
}

}  // namespace
}  // namespace bascule::nwfilter
