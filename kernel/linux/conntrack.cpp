// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "kernel/linux/sysctl.h"

namespace bascule::kernel::os {

namespace {

// Attributes below one, or below a message's header, by type. Nothing of the kernel's is taken on trust: a type beyond
// what we know is left out.
constexpr std::size_t kMostTypes = CTA_MAX + 1;
using Attributes = std::array<const nlattr*, kMostTypes>;

int note(const nlattr* attribute, void* out) {
    const std::uint16_t type = mnl_attr_get_type(attribute);
    if (type < kMostTypes) {
        (*static_cast<Attributes*>(out))[type] = attribute;
    }
    return MNL_CB_OK;
}

Attributes nested(const nlattr* parent) {
    Attributes out{};
    if (parent != nullptr) {
        mnl_attr_parse_nested(parent, note, &out);
    }
    return out;
}

std::optional<Ip> read_ip(const Attributes& ip, int v4, int v6) {
    const nlattr* const four = ip[static_cast<std::size_t>(v4)];
    const nlattr* const six = ip[static_cast<std::size_t>(v6)];
    if (four != nullptr && mnl_attr_get_payload_len(four) == 4) {
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), mnl_attr_get_payload(four), octets.size());
        return Ip::v4(octets);
    }
    if (six != nullptr && mnl_attr_get_payload_len(six) == 16) {
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), mnl_attr_get_payload(six), octets.size());
        return Ip::v6(octets);
    }
    return std::nullopt;
}

std::uint16_t read_port(const Attributes& proto, int type) {
    const nlattr* const port = proto[static_cast<std::size_t>(type)];
    return port != nullptr && mnl_attr_get_payload_len(port) == 2 ? ntohs(mnl_attr_get_u16(port)) : std::uint16_t{0};
}

std::optional<FlowTuple> read_tuple(const nlattr* attribute) {
    const Attributes parts = nested(attribute);
    const Attributes ip = nested(parts[CTA_TUPLE_IP]), proto = nested(parts[CTA_TUPLE_PROTO]);
    const auto source = read_ip(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
    const auto destination = read_ip(ip, CTA_IP_V4_DST, CTA_IP_V6_DST);
    if (!source || !destination) {
        return std::nullopt;
    }
    const nlattr* const number = proto[CTA_PROTO_NUM];
    return FlowTuple{.source = *source,
                     .destination = *destination,
                     .protocol = number != nullptr && mnl_attr_get_payload_len(number) == 1 ? mnl_attr_get_u8(number)
                                                                                            : std::uint8_t{},
                     .source_port = read_port(proto, CTA_PROTO_SRC_PORT),
                     .destination_port = read_port(proto, CTA_PROTO_DST_PORT)};
}

nlmsghdr* put_header(char* buffer, std::uint16_t type, std::uint16_t flags, std::uint32_t sequence, IpFamily family) {
    nlmsghdr* const header = mnl_nlmsg_put_header(buffer);
    header->nlmsg_type = static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type);
    header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    header->nlmsg_seq = sequence;
    auto* const generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    generic->nfgen_family = family == IpFamily::v4 ? AF_INET : AF_INET6;
    generic->version = NFNETLINK_V0;
    return header;
}

struct FreeSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

class Conntrack : public Flows {
public:
    explicit Conntrack(mnl_socket* socket) : socket_(socket) {}
    Result<std::size_t> cut(const std::vector<FlowFilter>& filters) override;

private:
    Result<std::vector<FlowSeen>> matching(const std::vector<FlowFilter>& filters, IpFamily family);
    Result<bool> remove(const FlowSeen& flow);

    std::unique_ptr<mnl_socket, FreeSocket> socket_;
    std::uint32_t sequence_ = 0;
};

struct Search {
    const std::vector<FlowFilter>& filters;
    std::vector<FlowSeen> found;
};

int take_flow(const nlmsghdr* header, void* data) {
    auto& search = *static_cast<Search*>(data);
    auto flow = parse_flow(std::as_bytes(std::span(reinterpret_cast<const char*>(header), header->nlmsg_len)));
    if (flow && std::ranges::any_of(search.filters, [&](const FlowFilter& one) { return matches(one, *flow); })) {
        search.found.push_back(*std::move(flow));
    }
    return MNL_CB_OK;
}

Result<std::vector<FlowSeen>> Conntrack::matching(const std::vector<FlowFilter>& filters, IpFamily family) {
    std::vector<char> buffer(static_cast<std::size_t>(1) << 16);
    const nlmsghdr* const request = put_header(buffer.data(), IPCTNL_MSG_CT_GET, NLM_F_DUMP, ++sequence_, family);
    if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) {
        return fail_errno("conntrack: listing flows");
    }
    Search search{filters, {}};
    for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
        const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (size < 0) {
            return fail_errno("conntrack: listing flows");
        }
        more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), sequence_,
                          mnl_socket_get_portid(socket_.get()), take_flow, &search);
        if (more < 0 && errno != EINTR) {  // EINTR: the table changed meanwhile; what was seen is still good
            return fail_errno("conntrack: listing flows");
        }
    }
    return std::move(search.found);
}

Result<bool> Conntrack::remove(const FlowSeen& flow) {
    std::array<char, 1024> buffer{};
    nlmsghdr* const request =
        put_header(buffer.data(), IPCTNL_MSG_CT_DELETE, NLM_F_ACK, ++sequence_, flow.original.source.family());
    if (flow.tuple.size() + request->nlmsg_len + 64 > buffer.size()) {
        return fail(Code::malformed, "conntrack: a flow's description is too long");
    }
    std::memcpy(mnl_nlmsg_get_payload_tail(request), flow.tuple.data(), flow.tuple.size());
    request->nlmsg_len += static_cast<std::uint32_t>(MNL_ALIGN(flow.tuple.size()));
    mnl_attr_put_u32(request, CTA_ID, flow.id);  // as it came: a later flow of the same ends has another
    if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) {
        return fail_errno("conntrack: cutting a flow");
    }
    const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (size >= 0 && mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), sequence_,
                                mnl_socket_get_portid(socket_.get()), nullptr, nullptr) >= 0) {
        return true;
    }
    if (errno == ENOENT) {
        return false;  // it has ended by itself
    }
    return fail_errno("conntrack: cutting a flow");
}

Result<std::size_t> Conntrack::cut(const std::vector<FlowFilter>& filters) {
    // Listing walks every bucket of the host's table, also of an empty one: some milliseconds.
    if (read_sysctl("net/netfilter/nf_conntrack_count").value_or(std::nullopt) == "0") {
        return std::size_t{0};
    }
    std::size_t count = 0;
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        std::vector<FlowFilter> of_family;
        std::ranges::copy_if(filters, std::back_inserter(of_family),
                             [&](const FlowFilter& one) { return one.end.network.family() == family; });
        if (of_family.empty()) {
            continue;
        }
        TRY(const std::vector<FlowSeen> flows, matching(of_family, family));
        for (const FlowSeen& flow : flows) {
            TRY(const bool was_there, remove(flow));
            count += was_there ? 1 : 0;
        }
    }
    return count;
}

}  // namespace

std::optional<FlowSeen> parse_flow(ByteView message) {
    const auto* const header = reinterpret_cast<const nlmsghdr*>(message.data());
    if (message.size() < sizeof(nlmsghdr) + sizeof(nfgenmsg) || header->nlmsg_len > message.size() ||
        header->nlmsg_len < sizeof(nlmsghdr) + sizeof(nfgenmsg)) {
        return std::nullopt;
    }
    Attributes top{};
    mnl_attr_parse(header, sizeof(nfgenmsg), note, &top);
    if (top[CTA_TUPLE_ORIG] == nullptr || top[CTA_TUPLE_REPLY] == nullptr || top[CTA_ID] == nullptr ||
        mnl_attr_get_payload_len(top[CTA_ID]) != 4) {
        return std::nullopt;
    }
    const auto original = read_tuple(top[CTA_TUPLE_ORIG]), reply = read_tuple(top[CTA_TUPLE_REPLY]);
    if (!original || !reply) {
        return std::nullopt;
    }
    const auto* const bytes = reinterpret_cast<const std::byte*>(top[CTA_TUPLE_ORIG]);
    return FlowSeen{.original = *original,
                    .reply = *reply,
                    .id = mnl_attr_get_u32(top[CTA_ID]),
                    .tuple = Bytes(bytes, bytes + mnl_attr_get_len(top[CTA_TUPLE_ORIG]))};
}

bool matches(const FlowFilter& filter, const FlowSeen& flow) {
    if (filter.protocol && flow.original.protocol != *filter.protocol) {
        return false;
    }
    if (filter.service && (flow.original.destination_port < filter.service->first ||
                           flow.original.destination_port > filter.service->last)) {
        return false;
    }
    // The guest's true address is the opener's in the first packet, or the answerer's in the answer; the other
    // end's likewise.
    const Ip &opener = flow.original.source, &answerer = flow.reply.source;
    const auto ends_fit = [&](const Ip& one, std::initializer_list<Ip> others) {
        return filter.end.contains(one) && std::ranges::any_of(others, [&](const Ip& other) {
                   return (!filter.other || filter.other->contains(other)) &&
                          (!filter.other_outside || !filter.end.contains(other));
               });
    };
    return ends_fit(opener, {answerer, flow.original.destination}) ||
           ends_fit(answerer, {opener, flow.reply.destination});
}

Result<std::unique_ptr<Flows>> make_flows() {
    mnl_socket* const socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (socket == nullptr) {
        return fail_errno("conntrack: opening a netlink socket");
    }
    auto out = std::make_unique<Conntrack>(socket);
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("conntrack: opening a netlink socket");
    }
    return out;
}

}  // namespace bascule::kernel::os
