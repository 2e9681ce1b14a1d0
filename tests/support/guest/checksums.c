// SPDX-License-Identifier: GPL-2.0-or-later
// Looks at the UDP checksums of what arrives, as a client does that reads frames by itself: without asking the kernel
// what it knows of them.
//
//   checksums IFACE SECONDS
//
// A line for each datagram over IPv4 or IPv6: "udp SOURCE-PORT ok|bad|none", at once.
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { ether_size = 14, v4_size = 20, v6_size = 40, udp_size = 8, udp = 17 };

static uint32_t sum_of(const uint8_t* bytes, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    }
    return size % 2 ? sum + ((uint32_t)bytes[size - 1] << 8) : sum;
}

// Of the UDP header at `head`, whose addresses (RFC 768, RFC 8200, 8.1) are at `from`.
static void judge(const uint8_t* from, size_t addresses, const uint8_t* head, size_t left) {
    size_t length = left >= udp_size ? (size_t)(head[4] << 8 | head[5]) : 0;
    if (length < udp_size || length > left) {
        return;
    }
    uint32_t sum = sum_of(from, addresses) + udp + (uint32_t)length + sum_of(head, length);
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    const char* what = head[6] == 0 && head[7] == 0 ? "none" : sum == 0xffff ? "ok" : "bad";
    printf("udp %d %s\n", head[0] << 8 | head[1], what);
    fflush(stdout);
}

static void look(const uint8_t* frame, size_t size) {
    int type = size >= ether_size + v4_size ? frame[12] << 8 | frame[13] : 0;
    const uint8_t* ip = frame + ether_size;
    size_t left = size - ether_size;
    if (type == ETHERTYPE_IP && ip[9] == udp) {
        size_t header = (size_t)(ip[0] & 15) * 4;
        if (header >= v4_size && header < left) {
            judge(ip + 12, 8, ip + header, left - header);
        }
    } else if (type == ETHERTYPE_IPV6 && left > v6_size && ip[6] == udp) {
        judge(ip + 8, 32, ip + v6_size, left - v6_size);
    }
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: checksums IFACE SECONDS\n");
        return 2;
    }
    int socket_fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct sockaddr_ll link;
    memset(&link, 0, sizeof link);
    link.sll_family = AF_PACKET;
    link.sll_protocol = htons(ETH_P_ALL);
    link.sll_ifindex = (int)if_nametoindex(argv[1]);
    if (socket_fd < 0 || link.sll_ifindex == 0 || bind(socket_fd, (struct sockaddr*)&link, sizeof link) < 0) {
        perror("checksums");
        return 1;
    }
    time_t end = time(NULL) + atoi(argv[2]);
    while (time(NULL) < end) {
        struct pollfd wait = {.fd = socket_fd, .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, 200) <= 0) {
            continue;
        }
        uint8_t frame[2048];
        struct sockaddr_ll peer;
        socklen_t size = sizeof peer;
        ssize_t got = recvfrom(socket_fd, frame, sizeof frame, 0, (struct sockaddr*)&peer, &size);
        if (got > 0 && peer.sll_pkttype != PACKET_OUTGOING) {
            look(frame, (size_t)got);
        }
    }
    return 0;
}
