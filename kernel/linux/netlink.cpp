// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/netlink.h"

#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

// nla_data and friends of the extended ack: attributes after `offset` of an error or done message.
std::string ack_text(const nlmsghdr* header, std::size_t offset) {
    if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0 || header->nlmsg_len <= NLMSG_HDRLEN + offset) {
        return {};
    }
    const auto* payload = static_cast<const char*>(NLMSG_DATA(header)) + offset;
    std::size_t left = header->nlmsg_len - NLMSG_HDRLEN - offset;
    while (left >= NLA_HDRLEN) {
        nlattr attribute{};
        std::memcpy(&attribute, payload, sizeof(attribute));
        if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > left) {
            break;
        }
        if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
            const char* text = payload + NLA_HDRLEN;
            return {text, ::strnlen(text, attribute.nla_len - NLA_HDRLEN)};
        }
        const std::size_t step = std::min<std::size_t>(NLA_ALIGN(attribute.nla_len), left);
        payload += step;
        left -= step;
    }
    return {};
}

// An acknowledgement, good or bad.
Result<void> take_error(const nlmsghdr* header, Answer& answer) {
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) {
        return fail(Code::malformed, "netlink: the kernel's answer is cut short");
    }
    nlmsgerr error{};
    std::memcpy(&error, NLMSG_DATA(header), sizeof(error));
    answer.error = error.error;
    // Without NLM_F_CAPPED the request's own payload lies between the error and the attributes.
    std::size_t offset = sizeof(nlmsgerr);
    if ((header->nlmsg_flags & NLM_F_CAPPED) == 0 && error.error != 0) {
        offset += NLMSG_ALIGN(error.msg.nlmsg_len) - NLMSG_HDRLEN;
    }
    answer.text = ack_text(header, offset);
    answer.done = true;
    return {};
}

// The end of a dump; carries an error too.
void take_done(const nlmsghdr* header, Answer& answer) {
    if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(int))) {
        std::memcpy(&answer.error, NLMSG_DATA(header), sizeof(int));
        answer.text = ack_text(header, sizeof(int));
    }
    answer.done = true;
}

}  // namespace

void NlMsgFree::operator()(nl_msg* msg) const { nlmsg_free(msg); }
void Netlink::Free::operator()(nl_sock* sock) const { nl_socket_free(sock); }

Result<void> check(const Answer& answer, std::string_view what) {
    if (answer.error == 0) {
        return {};
    }
    const int error = -answer.error;
    std::string message = fmt::format("{}: {}", what, errno_text(error));
    if (!answer.text.empty()) {
        message += fmt::format(" ({})", answer.text);
    } else if (error == EPERM) {
        message += " (changing the network needs CAP_NET_ADMIN: run as root)";
    }
    return std::unexpected(Error{Code::system, std::move(message), error});
}

Result<void> sort_answers(ByteView datagram, std::uint32_t first_sequence, std::span<Answer> answers) {
    const std::byte* at = datagram.data();
    std::size_t left = datagram.size();
    while (left >= NLMSG_HDRLEN) {
        const auto* header = reinterpret_cast<const nlmsghdr*>(at);
        if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > left) {
            return fail(Code::malformed,
                        fmt::format("netlink: a message says {} bytes where {} are left", header->nlmsg_len, left));
        }
        const std::uint32_t index = header->nlmsg_seq - first_sequence;
        if (index < answers.size() && header->nlmsg_type != NLMSG_NOOP) {
            Answer& answer = answers[index];
            answer.interrupted = answer.interrupted || (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (header->nlmsg_type == NLMSG_ERROR) {
                TRY_OK(take_error(header, answer));
            } else if (header->nlmsg_type == NLMSG_DONE) {
                take_done(header, answer);
            } else {
                NlMsg object(nlmsg_convert(const_cast<nlmsghdr*>(header)));
                if (!object) {
                    std::abort();  // out of memory
                }
                nlmsg_set_proto(object.get(), NETLINK_ROUTE);
                answer.objects.push_back(std::move(object));
            }
        }
        const std::size_t step = std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), left);
        at += step;
        left -= step;
    }
    return {};
}

Result<Netlink> Netlink::open() {
    nl_sock* raw = nl_socket_alloc();
    if (raw == nullptr) {
        return fail_errno("netlink socket", ENOMEM);
    }
    Netlink out(raw);
    if (const int error = nl_connect(raw, NETLINK_ROUTE); error < 0) {
        return fail(Code::system, fmt::format("netlink socket: {}", nl_geterror(error)));
    }
    const int fd = nl_socket_get_fd(raw);
    const int on = 1;
    // The kernel's own words in errors, without our request repeated; queries filtered by the kernel
    // (Linux 4.20). All are older than anything Debian 12 runs on.
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
        if (::setsockopt(fd, SOL_NETLINK, option, &on, sizeof(on)) < 0) {
            return fail_errno("netlink socket option");
        }
    }
    // Room for the answer to a large dump between two reads.
    nl_socket_set_buffer_size(raw, 1 << 20, 1 << 17);
    return out;
}

Result<std::vector<Answer>> Netlink::talk(std::span<const NlMsg> requests) {
    std::vector<Answer> answers(requests.size());
    if (requests.empty()) {
        return answers;
    }
    const std::uint32_t first = next_sequence_;
    next_sequence_ += static_cast<std::uint32_t>(requests.size());
    if (next_sequence_ < first) {  // wrapped: 0 must stay the kernel's
        next_sequence_ = 1;
        return talk(requests);
    }
    std::vector<char> out;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        nlmsghdr* header = nlmsg_hdr(requests[i].get());
        header->nlmsg_seq = first + static_cast<std::uint32_t>(i);
        header->nlmsg_pid = nl_socket_get_local_port(sock_.get());
        header->nlmsg_flags |= NLM_F_REQUEST;
        if ((header->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) {
            header->nlmsg_flags |= NLM_F_ACK;
        }
        const auto* bytes = reinterpret_cast<const char*>(header);
        out.insert(out.end(), bytes, bytes + header->nlmsg_len);
        out.resize(NLMSG_ALIGN(out.size()));
    }
    if (const int sent = nl_sendto(sock_.get(), out.data(), out.size()); sent < 0) {
        return fail(Code::system, fmt::format("netlink: {}", nl_geterror(sent)));
    }
    const auto done = [](const Answer& answer) { return answer.done; };
    while (!std::ranges::all_of(answers, done)) {
        sockaddr_nl from{};
        unsigned char* buffer = nullptr;
        const int size = nl_recv(sock_.get(), &from, &buffer, nullptr);
        const std::unique_ptr<unsigned char, decltype(&std::free)> owned(size > 0 ? buffer : nullptr, &std::free);
        if (size < 0) {
            return fail(Code::system, fmt::format("netlink: {}", nl_geterror(size)));
        }
        if (size == 0 || from.nl_pid != 0) {
            continue;  // not from the kernel
        }
        TRY_OK(sort_answers(std::as_bytes(std::span(buffer, static_cast<std::size_t>(size))), first, answers));
    }
    return answers;
}

Result<Answer> Netlink::talk(const NlMsg& request) {
    constexpr int kAttempts = 10;
    for (int attempt = 1;; ++attempt) {
        TRY(std::vector<Answer> answers, talk(std::span(&request, 1)));
        if (!answers.front().interrupted || attempt == kAttempts) {
            return std::move(answers.front());
        }
    }
}

Result<void> Netlink::command(const NlMsg& request, std::string_view what) {
    TRY(const Answer answer, talk(request));
    return check(answer, what);
}

}  // namespace bascule::kernel::os
