// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/rule_trace.h"
#include "kernel/linux/mnl_text.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::size_t kMostTypes = NFTA_TRACE_MAX + 1;
using Attributes = std::array<const nlattr*, kMostTypes>;
// Of each header as many octets are shown; the kernel sends 20 to 40 of them.
constexpr std::size_t kMostShown = 64;
constexpr int kReceiveBuffer = 1 << 20;

int note(const nlattr* attribute, void* out) {
    const std::uint16_t type = mnl_attr_get_type(attribute);
    if (type < kMostTypes) {
        (*static_cast<Attributes*>(out))[type] = attribute;
    }
    return MNL_CB_OK;
}

std::optional<std::uint32_t> number_of(const nlattr* attribute) {
    return attribute != nullptr && mnl_attr_get_payload_len(attribute) == 4
               ? std::optional<std::uint32_t>(ntohl(mnl_attr_get_u32(attribute)))
               : std::nullopt;
}

std::string device_of(const nlattr* attribute) {
    const auto index = number_of(attribute);
    std::array<char, IF_NAMESIZE> name{};
    if (!index || *index == 0) {
        return {};
    }
    return ::if_indextoname(*index, name.data()) != nullptr ? std::string(name.data()) : fmt::format("{}", *index);
}

std::string digits_of(const nlattr* attribute) {
    std::string out;
    if (attribute != nullptr) {
        const auto* const octets = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
        const std::size_t count = std::min<std::size_t>(mnl_attr_get_payload_len(attribute), kMostShown);
        for (std::size_t i = 0; i < count; ++i) {
            out += fmt::format("{:02x}", octets[i]);
        }
    }
    return out;
}

std::string_view family_of(std::uint8_t number) {
    switch (number) {
        case NFPROTO_INET: return "inet";
        case NFPROTO_IPV4: return "ip";
        case NFPROTO_IPV6: return "ip6";
        case NFPROTO_ARP: return "arp";
        case NFPROTO_BRIDGE: return "bridge";
        case NFPROTO_NETDEV: return "netdev";
        default: return {};
    }
}

std::string verdict_text(std::int32_t code, const std::string& chain) {
    switch (code) {
        case NFT_CONTINUE: return "continue";
        case NFT_BREAK: return "break";
        case NFT_RETURN: return "return";
        case NFT_JUMP: return "jump " + chain;
        case NFT_GOTO: return "goto " + chain;
        default: break;
    }
    switch (static_cast<std::uint32_t>(code) & NF_VERDICT_MASK) {
        case NF_DROP: return "drop";
        case NF_ACCEPT: return "accept";
        case NF_STOLEN: return "stolen";
        case NF_QUEUE: return "queue";
        default: return fmt::format("verdict {}", code);
    }
}

std::string verdict_of(const Attributes& all) {
    if (all[NFTA_TRACE_VERDICT] == nullptr) {
        const auto policy = number_of(all[NFTA_TRACE_POLICY]);
        return policy ? verdict_text(static_cast<std::int32_t>(*policy), {}) : std::string();
    }
    Attributes parts{};
    mnl_attr_parse_nested(all[NFTA_TRACE_VERDICT], note, &parts);
    const auto code = number_of(parts[NFTA_VERDICT_CODE]);
    return code ? verdict_text(static_cast<std::int32_t>(*code), text_of(parts[NFTA_VERDICT_CHAIN])) : std::string();
}

std::optional<std::uint64_t> rule_of(const Attributes& all) {
    const nlattr* const handle = all[NFTA_TRACE_RULE_HANDLE];
    return handle != nullptr && mnl_attr_get_payload_len(handle) == 8
               ? std::optional<std::uint64_t>(be64toh(mnl_attr_get_u64(handle)))
               : std::nullopt;
}

class Listener : public RuleTrace {
public:
    Listener(Loop& loop, OnTrace on) : loop_(loop), on_(std::move(on)) {}

    Result<void> open() {
        socket_.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
        const int group = NFNLGRP_NFTRACE;
        if (!socket_ || mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
            mnl_socket_setsockopt(socket_.get(), NETLINK_ADD_MEMBERSHIP, const_cast<int*>(&group), sizeof group) < 0) {
            return fail_errno("nftables: asking for traces");
        }
        const int fd = mnl_socket_get_fd(socket_.get());
        (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
        watch_ = loop_.watch(fd, true, false, [this](Ready) { readable(); });
        return {};
    }

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };

    // As much as one turn of the loop may take: others can have far more traced than we do.
    void readable() {
        constexpr int kMostAtOnce = 256;
        bool lost = false;
        for (int i = 0; i < kMostAtOnce; ++i) {
            const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
            if (size < 0 && errno != ENOBUFS && errno != ENOSPC && errno != EINTR) {
                break;
            }
            lost = lost || (size < 0 && errno != EINTR);
            const auto* header = reinterpret_cast<const nlmsghdr*>(buffer_.data());
            for (int left = static_cast<int>(size); mnl_nlmsg_ok(header, left);
                 header = mnl_nlmsg_next(header, &left)) {
                const auto step =
                    parse_trace(ByteView(reinterpret_cast<const std::byte*>(header), std::size_t{header->nlmsg_len}));
                if (step) {
                    on_.step(*step);
                }
            }
        }
        if (lost) {
            on_.lost();
        }
    }

    Loop& loop_;
    OnTrace on_;
    std::unique_ptr<mnl_socket, Close> socket_;
    std::unique_ptr<Watch> watch_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(std::size_t{1} << 16);
};

}  // namespace

std::optional<TraceStep> parse_trace(ByteView message) {
    constexpr std::size_t kFixed = sizeof(nlmsghdr) + sizeof(nfgenmsg);
    const auto* const header = reinterpret_cast<const nlmsghdr*>(message.data());
    if (message.size() < kFixed || header->nlmsg_len > message.size() || header->nlmsg_len < kFixed ||
        header->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_TRACE)) {
        return std::nullopt;
    }
    const auto* const generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
    Attributes all{};
    mnl_attr_parse(header, sizeof(nfgenmsg), note, &all);
    const auto id = number_of(all[NFTA_TRACE_ID]);
    const std::string_view family = family_of(generic->nfgen_family);
    TraceStep out{.packet = id.value_or(0),
                  .family = std::string(family),
                  .table = text_of(all[NFTA_TRACE_TABLE]),
                  .chain = text_of(all[NFTA_TRACE_CHAIN]),
                  .rule = rule_of(all),
                  .verdict = verdict_of(all),
                  .in = device_of(all[NFTA_TRACE_IIF]),
                  .out = device_of(all[NFTA_TRACE_OIF]),
                  .frame = digits_of(all[NFTA_TRACE_LL_HEADER]) + digits_of(all[NFTA_TRACE_NETWORK_HEADER]) +
                           digits_of(all[NFTA_TRACE_TRANSPORT_HEADER])};
    if (!id || family.empty() || out.table.empty() || out.chain.empty() || out.verdict.empty()) {
        return std::nullopt;
    }
    return out;
}

Result<std::unique_ptr<RuleTrace>> watch_traces(Loop& loop, OnTrace on) {
    auto out = std::make_unique<Listener>(loop, std::move(on));
    TRY_OK(out->open());
    return out;
}

}  // namespace bascule::kernel::os
