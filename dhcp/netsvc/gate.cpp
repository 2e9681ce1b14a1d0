// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/netsvc/gate.h"

#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace bascule::netsvc {

namespace {

sock_filter statement(unsigned code, std::uint32_t k, std::size_t if_not = 0) {
    sock_filter out{};
    out.code = static_cast<std::uint16_t>(code);
    out.jf = static_cast<std::uint8_t>(if_not);
    out.k = k;
    return out;
}

// Drops a datagram that has this source: compared by words, each a load and a comparison.
void add_bar(std::vector<sock_filter>& program, const Ip& source) {
    const auto octets = source.octets();
    const std::size_t words = source.is_v4() ? 1 : 4;
    const std::size_t at = source.is_v4() ? offsetof(iphdr, saddr) : offsetof(ip6_hdr, ip6_src);
    for (std::size_t i = 0; i < words; ++i) {
        std::uint32_t word = 0;
        for (std::size_t j = 0; j < 4; ++j) {
            word = word << 8U | octets[i * 4 + j];
        }
        program.push_back(statement(BPF_LD | BPF_W | BPF_ABS,
                                    static_cast<std::uint32_t>(SKF_NET_OFF) + static_cast<std::uint32_t>(at + i * 4)));
        const std::size_t left = 2 * (words - 1 - i);
        program.push_back(statement(BPF_JMP | BPF_JEQ | BPF_K, word, left + 1));
    }
    program.push_back(statement(BPF_RET | BPF_K, 0));
}

bool attach(int socket, std::vector<sock_filter>& program) {
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
    return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

void open(int socket) {
    const int none = 0;
    ::setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}

}  // namespace

Gate::Gate(int socket) : socket_(socket), queue_(socket) { open(socket); }

bool FullQueue::look(dhcp::Time now) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
    socklen_t size = sizeof info;
    const bool told = ::getsockopt(socket_, SOL_SOCKET, SO_MEMINFO, info.data(), &size) == 0;
    if (told) {
        const std::uint32_t counted = info[SK_MEMINFO_DROPS];
        lost_ += counted - counted_.value_or(counted);
        counted_ = counted;
    }
    if (!told || info[SK_MEMINFO_RMEM_ALLOC] < info[SK_MEMINFO_RCVBUF] / 2) {
        since_.reset();
    } else if (!since_) {
        since_ = now;
    }
    return since_.has_value();
}

bool Gate::is_full(dhcp::Time now) {
    const bool full = queue_.look(now);
    if (queue_.began(now)) {
        counted_.clear();
        total_ = 0;
    }
    return full;
}

void Gate::count(const Ip& source) {
    if (const auto known = known_.find(source); known != known_.end() && known->second.barred) {
        return;  // it was in the queue already
    }
    if (counted_.size() >= kMostCounted && !counted_.contains(source)) {
        return;  // sources that are invented
    }
    ++counted_[source];
    ++total_;
}

std::size_t Gate::settle(dhcp::Time now) {
    if (!queue_.stays(now)) {
        return 0;
    }
    std::size_t added = 0;
    for (const auto& [source, count] : counted_) {
        if (count < kFlood || count < total_ / kShare) {
            continue;
        }
        const auto known = known_.find(source);
        if (known == known_.end() && known_.size() >= kMostKnown) {
            continue;
        }
        const auto length = known == known_.end() ? kBar : std::min(known->second.length * 2, kLongestBar);
        known_.insert_or_assign(source, Known{now + length, length, true});
        ++added;
    }
    if (added > 0) {
        queue_.forget();
        apply();
    }
    return added;
}

void Gate::apply() {
    std::vector<sock_filter> program;
    for (const auto& [source, known] : known_) {
        if (known.barred) {
            add_bar(program, source);
        }
    }
    if (program.empty()) {
        return open(socket_);
    }
    program.push_back(statement(BPF_RET | BPF_K, ~0U));
    attach(socket_, program);
}

void Gate::tick(dhcp::Time now) {
    if (next_tick() > now) {
        return;
    }
    for (auto at = known_.begin(); at != known_.end();) {
        Known& known = at->second;
        if (known.next <= now && !known.barred) {
            at = known_.erase(at);
            continue;
        }
        if (known.next <= now) {
            known.barred = false;
            known.next = now + known.length * 4;
        }
        ++at;
    }
    apply();
}

dhcp::Time Gate::next_tick() const {
    dhcp::Time next = dhcp::kEndOfTime;
    for (const auto& [source, known] : known_) {
        next = std::min(next, known.next);
    }
    return next;
}

namespace {

// What the socket of IPv6 frames is there for, as the daemon opened it: DHCPv6 and router solicitations.
std::vector<sock_filter> server_frames() {
    constexpr std::uint32_t kEthernet = sizeof(ether_header), kPayload = kEthernet + sizeof(ip6_hdr);
    constexpr std::uint32_t kDhcp6Port = 547;
    std::vector<sock_filter> out;
    out.push_back(statement(BPF_LD | BPF_B | BPF_ABS, kEthernet + offsetof(ip6_hdr, ip6_nxt)));
    out.push_back(statement(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 2));
    out.push_back(statement(BPF_LD | BPF_H | BPF_ABS, kPayload + offsetof(udphdr, dest)));
    out.push_back(statement(BPF_JMP | BPF_JEQ | BPF_K, kDhcp6Port, 3));
    out.back().jt = 4;
    out.push_back(statement(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 2));
    out.push_back(statement(BPF_LD | BPF_B | BPF_ABS, kPayload));
    out.push_back(statement(BPF_JMP | BPF_JEQ | BPF_K, ND_ROUTER_SOLICIT));
    out.back().jt = 1;
    out.push_back(statement(BPF_RET | BPF_K, 0));
    return out;
}

// The filter of a KnownGate. Known ports are found by the first two octets of chaddr, or of the frame's sender, which
// many have in common, then by the last four: a comparison each. Conditional jumps reach 255 statements far, so
// comparisons come in pieces.
class PortFilter {
public:
    PortFilter(KnownGate::Of of, const std::vector<MacAddr>& known, bool closed)
        : mac_(of == KnownGate::Of::dhcp ? kChaddr : kFrameSender),
          unknown_(closed ? 0 : kAll),
          foreign_(closed ? 0 : kCut) {
        if (of == KnownGate::Of::frames6) {
            program_ = server_frames();
        }
        std::map<std::uint32_t, std::vector<std::uint32_t>> groups;
        for (const MacAddr& mac : known) {
            const auto& o = mac.octets;
            groups[std::uint32_t{o[0]} << 8U | o[1]].push_back(std::uint32_t{o[2]} << 24U | std::uint32_t{o[3]} << 16U |
                                                               std::uint32_t{o[4]} << 8U | o[5]);
        }
        add(BPF_LD | BPF_W | BPF_LEN, 0);
        add(BPF_JMP | BPF_JGE | BPF_K, mac_ + 6);
        program_.back().jt = 1;
        add(BPF_RET | BPF_K, unknown_);
        add(BPF_LD | BPF_H | BPF_ABS, mac_);
        std::vector<std::size_t> to_groups, to_known;
        for (const auto& [first, rest] : groups) {
            add(BPF_JMP | BPF_JEQ | BPF_K, first, 1);
            to_groups.push_back(program_.size());
            add(BPF_JMP | BPF_JA, 0);
        }
        add(BPF_RET | BPF_K, unknown_);
        for (auto jump = to_groups.begin(); const auto& [first, rest] : groups) {
            land(*jump++);
            compare(rest, to_known);
        }
        for (const std::size_t jump : to_known) {
            land(jump);
        }
        if (of == KnownGate::Of::dhcp) {
            check_sender();
        } else {
            add(BPF_RET | BPF_K, kAll);
        }
    }
    std::vector<sock_filter>& program() { return program_; }

private:
    // Where the filter of a UDP socket begins, its header does; the frame's is reached from its own offset.
    static constexpr std::uint32_t kAll = ~0U, kCut = sizeof(udphdr) + KnownGate::kForeign,
                                   kChaddr = sizeof(udphdr) + 28, kFrameSender = ETH_ALEN,
                                   kSender = static_cast<std::uint32_t>(SKF_LL_OFF) + 6;

    void add(unsigned code, std::uint32_t k, std::size_t if_not = 0) { program_.push_back(statement(code, k, if_not)); }
    // The jump leads to what comes next.
    void land(std::size_t jump) { program_[jump].k = static_cast<std::uint32_t>(program_.size() - jump - 1); }

    void compare(const std::vector<std::uint32_t>& rest, std::vector<std::size_t>& to_known) {
        constexpr std::size_t kPiece = 200;
        add(BPF_LD | BPF_W | BPF_ABS, mac_ + 2);
        for (std::size_t at = 0; at < rest.size(); at += kPiece) {
            const std::size_t count = std::min(kPiece, rest.size() - at);
            for (std::size_t i = 0; i < count; ++i) {
                add(BPF_JMP | BPF_JEQ | BPF_K, rest[at + i]);
                program_.back().jt = static_cast<std::uint8_t>(count - i);
            }
            add(BPF_JMP | BPF_JA, 1);
            to_known.push_back(program_.size());
            add(BPF_JMP | BPF_JA, 0);
        }
        add(BPF_RET | BPF_K, unknown_);
    }

    void check_sender() {
        add(BPF_LD | BPF_H | BPF_ABS, kChaddr);
        add(BPF_MISC | BPF_TAX, 0);
        add(BPF_LD | BPF_H | BPF_ABS, kSender);
        add(BPF_JMP | BPF_JEQ | BPF_X, 0, 5);
        add(BPF_LD | BPF_W | BPF_ABS, kChaddr + 2);
        add(BPF_MISC | BPF_TAX, 0);
        add(BPF_LD | BPF_W | BPF_ABS, kSender + 2);
        add(BPF_JMP | BPF_JEQ | BPF_X, 0, 1);
        add(BPF_RET | BPF_K, kAll);
        add(BPF_RET | BPF_K, foreign_);
    }

    std::uint32_t mac_, unknown_, foreign_;
    std::vector<sock_filter> program_;
};

}  // namespace

KnownGate::KnownGate(int socket, Of of) : socket_(socket), of_(of), queue_(socket) { apply(false); }

bool KnownGate::apply(bool closed) {
    if (!closed && of_ == Of::frames6) {
        std::vector<sock_filter> program = server_frames();
        program.push_back(statement(BPF_RET | BPF_K, ~0U));
        return attach(socket_, program);
    }
    if (known_.empty()) {
        open(socket_);
        return !closed;
    }
    std::vector<MacAddr> heard = known_;
    std::erase_if(heard, [&](const MacAddr& mac) { return closed && barred_.contains(mac); });
    PortFilter filter(of_, heard, closed);
    return attach(socket_, filter.program());
}

bool KnownGate::know(std::vector<MacAddr> known) {
    known_ = std::move(known);
    if (known_.size() <= kMostKnown && (!known_.empty() || !closed_) && apply(closed_)) {
        return true;
    }
    const bool none = known_.empty();
    known_.clear();
    closed_ = false;
    apply(false);
    return none;
}

bool KnownGate::look(dhcp::Time now) {
    const bool full = queue_.look(now);
    if (queue_.began(now)) {
        counted_.clear();
        total_ = 0;
    }
    return full;
}

void KnownGate::count(const MacAddr& sender) {
    ++total_;
    if (counted_.size() < Gate::kMostCounted || counted_.contains(sender)) {
        ++counted_[sender];
    }
}

std::vector<MacAddr> KnownGate::flooders() const {
    std::vector<MacAddr> out;
    for (const MacAddr& mac : known_) {
        const auto counted = counted_.find(mac);
        if (counted != counted_.end() && counted->second >= Gate::kFlood && counted->second >= total_ / Gate::kShare &&
            !barred_.contains(mac)) {
            out.push_back(mac);
        }
    }
    return out;
}

bool KnownGate::close(dhcp::Time now) {
    if (known_.empty()) {
        return false;
    }
    const auto flooding = flooders();
    barred_.insert(flooding.begin(), flooding.end());
    if (!apply(true)) {
        return false;
    }
    queue_.forget();
    if (!closed_) {
        closed_ = true;
        length_ = length_ == length_.zero() ? kClosed : std::min(length_ * 2, kLongest);
        next_ = now + length_;
    }
    return true;
}

void KnownGate::tick(dhcp::Time now) {
    if (now < next_) {
        return;
    }
    if (closed_) {
        closed_ = false;
        barred_.clear();
        apply(false);
        next_ = now + length_ * 4;
    } else {
        length_ = length_.zero();
        next_ = dhcp::kEndOfTime;
    }
}

}  // namespace bascule::netsvc
