// SPDX-License-Identifier: GPL-2.0-or-later
// dhcp_load IFACE new|renew RATE SECONDS FIRST COUNT
//
// DHCP clients that sit directly on the link, as many as asked for a second, whether the server keeps up or not (an
// open loop): whole Ethernet frames, broadcast out, replies as they come. perfdhcp measures only the relayed path.
//
//   new    DISCOVER, OFFER, REQUEST, ACK; client FIRST, FIRST + 1, …, each once
//   renew  REQUEST with the address that it has (INIT-REBOOT), ACK; COUNT clients in turn, which first take a lease
//   each
//
// Nothing is sent again. Prints: exchanges begun, finished, microseconds from first to last message at the median and
// the 99th percentile.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBatch = 64, kFrame = 14 + 20 + 8 + 300;
constexpr std::uint8_t kDiscover = 1, kOffer = 2, kRequest = 3, kAck = 5;
constexpr std::chrono::milliseconds kPatience{1000};

struct Client {
    Clock::time_point began{};
    std::array<unsigned char, 4> address{}, server{};
    enum : std::uint8_t { idle, discovering, requesting } state = idle;
};

void put16(unsigned char* at, unsigned value) {
    at[0] = static_cast<unsigned char>(value >> 8);
    at[1] = static_cast<unsigned char>(value);
}

void put32(unsigned char* at, std::uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

unsigned checksum(const unsigned char* data, std::size_t size) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < size; i += 2) {
        sum += static_cast<std::uint32_t>(data[i] << 8 | data[i + 1]);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum & 0xffff;
}

class Load {
public:
    Load(int socket, std::uint32_t first, std::size_t clients) : socket_(socket), first_(first), clients_(clients) {
        for (auto& frame : out_) {
            prepare(frame.data());
        }
    }

    void begin(std::size_t number, bool known) {
        Client& client = clients_[number];
        client.began = Clock::now();
        client.state = known ? Client::requesting : Client::discovering;
        send(number, known ? kRequest : kDiscover);
        ++begun;
    }

    void send(std::size_t number, std::uint8_t kind) {
        unsigned char* const frame = out_[pending_].data();
        const std::uint32_t id = first_ + static_cast<std::uint32_t>(number);
        const Client& client = clients_[number];
        unsigned char* const bootp = frame + 42;
        for (unsigned char* const mac : {frame + 6, bootp + 28}) {
            mac[0] = 0x52;
            mac[1] = 0x54;
            put32(mac + 2, id);
        }
        put32(bootp + 4, id);
        unsigned char* options = bootp + 240;
        std::memset(options, 0, 60);
        const auto option = [&](unsigned char code, std::initializer_list<unsigned char> value) {
            *options++ = code;
            *options++ = static_cast<unsigned char>(value.size());
            options = std::copy(value.begin(), value.end(), options);
        };
        option(53, {kind});
        if (kind == kRequest) {
            const auto& a = client.address;
            const auto& s = client.server;
            option(50, {a[0], a[1], a[2], a[3]});
            if (s[0] != 0) {
                option(54, {s[0], s[1], s[2], s[3]});
            }
        }
        option(55, {1, 3, 6, 15, 26, 51, 54, 58, 59});
        *options = 255;
        if (++pending_ == kBatch) {
            flush();
        }
    }

    void flush() {
        std::array<iovec, kBatch> vectors{};
        std::array<mmsghdr, kBatch> headers{};
        for (std::size_t i = 0; i < pending_; ++i) {
            vectors[i] = {out_[i].data(), kFrame};
            headers[i].msg_hdr.msg_iov = &vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
        for (std::size_t at = 0; at < pending_;) {
            const int sent = ::sendmmsg(socket_, &headers[at], static_cast<unsigned>(pending_ - at), 0);
            at += sent > 0 ? static_cast<std::size_t>(sent) : 1;
        }
        pending_ = 0;
    }

    // Takes in what has come; sends REQUESTs for offers.
    void hear() {
        std::array<iovec, kBatch> vectors{};
        std::array<mmsghdr, kBatch> headers{};
        for (std::size_t i = 0; i < kBatch; ++i) {
            vectors[i] = {in_[i].data(), in_[i].size()};
            headers[i].msg_hdr.msg_iov = &vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
        const int got = ::recvmmsg(socket_, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < got; ++i) {
            take(in_[static_cast<std::size_t>(i)].data(), headers[static_cast<std::size_t>(i)].msg_len);
        }
    }

    std::vector<Client>& clients() { return clients_; }
    std::size_t begun = 0, finished = 0;
    std::vector<double> micros;

private:
    static void prepare(unsigned char* frame) {
        std::memset(frame, 0, kFrame);
        std::memset(frame, 0xff, 6);
        put16(frame + 12, ETHERTYPE_IP);
        unsigned char* const ip = frame + 14;
        ip[0] = 0x45;
        put16(ip + 2, kFrame - 14);
        ip[8] = 64;
        ip[9] = IPPROTO_UDP;
        std::memset(ip + 16, 0xff, 4);
        put16(ip + 10, checksum(ip, 20));
        put16(frame + 34, 68);
        put16(frame + 36, 67);
        put16(frame + 38, kFrame - 34);
        unsigned char* const bootp = frame + 42;
        bootp[0] = bootp[1] = 1;
        bootp[2] = 6;
        put32(bootp + 236, 0x63825363);
    }

    void take(const unsigned char* frame, std::size_t size) {
        if (size < 14 + 20 + 8 + 240 || frame[12] != 8 || frame[23] != IPPROTO_UDP) {
            return;
        }
        const unsigned char* const udp = frame + 14 + (frame[14] & 15) * 4;
        const unsigned char* const bootp = udp + 8;
        const unsigned char* const end = frame + size;
        if (udp[0] != 0 || udp[1] != 67 || bootp + 240 > end || bootp[0] != 2) {
            return;
        }
        std::uint32_t id = 0;
        std::memcpy(&id, bootp + 4, 4);
        const std::size_t number = ntohl(id) - first_;
        if (number >= clients_.size()) {
            return;
        }
        Client& client = clients_[number];
        std::uint8_t kind = 0;
        for (const unsigned char* at = bootp + 240; at + 1 < end && *at != 255; at += 2 + at[1]) {
            if (*at == 53) {
                kind = at[2];
            } else if (*at == 54 && at + 6 <= end) {
                std::memcpy(client.server.data(), at + 2, 4);
            }
        }
        if (kind == kOffer && client.state == Client::discovering) {
            std::memcpy(client.address.data(), bootp + 16, 4);
            client.state = Client::requesting;
            send(number, kRequest);
        } else if (kind == kAck && client.state == Client::requesting) {
            client.state = Client::idle;
            client.server = {};
            ++finished;
            micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - client.began).count());
        }
    }

    int socket_;
    std::uint32_t first_;
    std::vector<Client> clients_;
    std::array<std::array<unsigned char, kFrame>, kBatch> out_{};
    std::array<std::array<unsigned char, 1536>, kBatch> in_{};
    std::size_t pending_ = 0;
};

int open_link(const char* name) {
    const int socket = ::socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE_IP));
    sockaddr_ll link{};
    link.sll_family = AF_PACKET;
    link.sll_protocol = htons(ETHERTYPE_IP);
    link.sll_ifindex = static_cast<int>(::if_nametoindex(name));
    const int yes = 1, room = 16 << 20;
    ::setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
    ::setsockopt(socket, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return ::bind(socket, reinterpret_cast<sockaddr*>(&link), sizeof link) == 0 ? socket : -1;
}

// `rate` exchanges a second until `total` have begun, then a moment for the last replies.
void run(Load& load, int socket, double rate, std::size_t total, bool known) {
    const auto start = Clock::now();
    const std::size_t before = load.begun;
    auto last = start;
    while (load.begun - before < total || Clock::now() < last + kPatience) {
        const double due = std::chrono::duration<double>(Clock::now() - start).count() * rate;
        while (load.begun - before < std::min(total, static_cast<std::size_t>(due))) {
            load.begin((load.begun - before) % load.clients().size(), known);
            last = Clock::now();
        }
        load.hear();
        load.flush();
        if (load.begun - before == total && load.finished == load.begun) {
            return;
        }
        pollfd ready{socket, POLLIN, 0};
        const timespec nap{0, 200'000};
        ::ppoll(&ready, 1, &nap, nullptr);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fprintf(stderr, "usage: dhcp_load IFACE new|renew RATE SECONDS FIRST COUNT\n");
        return 2;
    }
    const bool renew = std::string(argv[2]) == "renew";
    const double rate = std::atof(argv[3]), seconds = std::atof(argv[4]);
    const auto first = static_cast<std::uint32_t>(std::strtoul(argv[5], nullptr, 10));
    const auto total = static_cast<std::size_t>(rate * seconds);
    const std::size_t clients = renew ? std::strtoul(argv[6], nullptr, 10) : total;
    const int socket = open_link(argv[1]);
    if (socket < 0 || clients == 0) {
        std::perror("dhcp_load");
        return 1;
    }
    Load load(socket, first, clients);
    if (renew) {
        // A lease each, slowly enough for the slowest peer.
        constexpr std::chrono::milliseconds kPace{6};
        for (int tries = 0; tries < 5 && load.finished < clients; ++tries) {
            const auto listen = [&](Clock::time_point until) {
                do {
                    load.hear();
                    load.flush();
                    pollfd ready{socket, POLLIN, 0};
                    ::poll(&ready, 1, 1);
                } while (Clock::now() < until);
            };
            for (std::size_t i = 0; i < clients; ++i) {
                Client& client = load.clients()[i];
                if (client.address[0] == 0 || client.state != Client::idle) {
                    client.state = Client::discovering;
                    load.send(i, kDiscover);
                    listen(Clock::now() + kPace);
                }
            }
            listen(Clock::now() + kPatience);
        }
        if (load.finished < clients) {
            std::fprintf(stderr, "dhcp_load: only %zu of %zu clients got a lease\n", load.finished, clients);
            return 1;
        }
        load.begun = load.finished = 0;
        load.micros.clear();
    }
    run(load, socket, rate, total, renew);
    std::ranges::sort(load.micros);
    const auto at = [&](double part) {
        return load.micros.empty()
                   ? 0.0
                   : load.micros[static_cast<std::size_t>(part * static_cast<double>(load.micros.size() - 1))];
    };
    std::printf("%zu %zu %.0f %.0f\n", load.begun, load.finished, at(0.5), at(0.99));
    return 0;
}
