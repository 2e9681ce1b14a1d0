// SPDX-License-Identifier: GPL-2.0-or-later
// dns_responder ADDRESS PORT
//
// The least that a name server can do: to every question by UDP it answers with one address record, without a look at
// the name. What ./bench dns measures servers against, and where they forward what they do not know.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
    constexpr std::size_t kBatch = 32, kSize = 1500;
    // A pointer to the question's name, A, IN, an hour, 192.0.2.1.
    constexpr std::array<unsigned char, 16> kAnswer{0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1};
    if (argc != 3) {
        std::fprintf(stderr, "usage: dns_responder ADDRESS PORT\n");
        return 2;
    }
    const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_port = htons(static_cast<unsigned short>(std::atoi(argv[2])));
    const int room = 4 << 20;
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (::inet_pton(AF_INET, argv[1], &own.sin_addr) != 1 ||
        ::bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) {
        std::perror("dns_responder");
        return 1;
    }
    static std::array<std::array<unsigned char, kSize>, kBatch> buffers;
    std::array<sockaddr_in, kBatch> from{};
    std::array<iovec, kBatch> vectors{};
    std::array<mmsghdr, kBatch> headers{};
    for (;;) {
        for (std::size_t i = 0; i < kBatch; ++i) {
            vectors[i] = {buffers[i].data(), kSize - 64};
            headers[i].msg_hdr = {};
            headers[i].msg_hdr.msg_name = &from[i];
            headers[i].msg_hdr.msg_namelen = sizeof from[i];
            headers[i].msg_hdr.msg_iov = &vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
        const int got = ::recvmmsg(socket, headers.data(), kBatch, MSG_WAITFORONE, nullptr);
        for (std::size_t i = 0; got > 0 && i < static_cast<std::size_t>(got); ++i) {
            unsigned char* const message = buffers[i].data();
            std::size_t end = 12;
            while (end < headers[i].msg_len && message[end] != 0) {
                end += message[end] + 1U;
            }
            end += 5;
            message[2] = 0x81;
            message[3] = 0x80;
            std::memset(message + 6, 0, 6);
            message[7] = 1;
            std::memcpy(message + end, kAnswer.data(), kAnswer.size());
            vectors[i].iov_len = end + kAnswer.size();
        }
        if (got > 0) {
            ::sendmmsg(socket, headers.data(), static_cast<unsigned>(got), 0);
        }
    }
}
