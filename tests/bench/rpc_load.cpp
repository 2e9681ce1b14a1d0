// SPDX-License-Identifier: GPL-2.0-or-later
// Load for ./bench rpc: connections that speak the remote protocol with next to no cost of their own. Both daemons get
// the very same bytes. Needs nothing but the C++ library; rpc.py compiles it.
//
//   rpc_load SOCKET calls CLIENTS SECONDS PROCEDURE [ARGUMENTS-IN-HEX]   each client has one call out at a time
//   rpc_load SOCKET idle CLIENTS                                         until its input is closed
//   rpc_load SOCKET fanout CLIENTS SECONDS DEFINE-HEX UNDEFINE-HEX       all listen for network events, one more acts
//   rpc_load SOCKET define PROCEDURE [HEX...]                            one call each, from standard input: a line
//   each
//
// Prints one line: calls (or events) and the seconds they took.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& what) {
    std::perror(what.c_str());
    std::exit(1);
}

void put(std::string& out, std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        out += static_cast<char>(v >> shift);
    }
}

std::uint32_t get(const char* at) {
    std::uint32_t v = 0;
    for (int i = 0; i < 4; ++i) {
        v = v << 8 | static_cast<unsigned char>(at[i]);
    }
    return v;
}

std::string unhex(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    }
    return out;
}

std::string packet(std::uint32_t procedure, const std::string& payload) {
    std::string out;
    put(out, static_cast<std::uint32_t>(28 + payload.size()));
    for (const std::uint32_t word : {0x20008086u, 1u, procedure, 0u, 1u, 0u}) {
        put(out, word);
    }
    return out + payload;
}

std::string text(const std::string& value) {
    std::string out;
    put(out, static_cast<std::uint32_t>(value.size()));
    out += value;
    out.append((4 - value.size() % 4) % 4, '\0');
    return out;
}

class Client {
public:
    explicit Client(const char* path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
            die("connect");
        }
        call(packet(66, ""));
        std::string open;
        put(open, 1);
        open += text("qemu:///system");
        put(open, 0);
        call(packet(1, open));
    }
    int fd() const { return fd_; }
    void send(const std::string& bytes) const {
        if (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
            die("send");
        }
    }
    // Whole packets that one read brought: replies and events apart.
    struct Got {
        std::size_t replies = 0, events = 0;
    };
    Got receive() {
        Got out;
        static char more[1 << 20];
        const ssize_t n = ::recv(fd_, more, sizeof(more), 0);
        if (n <= 0) {
            die("the daemon closed the connection");
        }
        buffer_.append(more, static_cast<std::size_t>(n));
        std::size_t at = 0;
        while (buffer_.size() - at >= 28 && buffer_.size() - at >= get(&buffer_[at])) {
            const std::uint32_t type = get(&buffer_[at + 16]), status = get(&buffer_[at + 24]);
            if (status == 1) {
                std::fprintf(stderr, "an error: %s\n", buffer_.substr(at + 44, 120).c_str());
                std::exit(1);
            }
            (type == 2 ? out.events : out.replies) += 1;
            at += get(&buffer_[at]);
        }
        buffer_.erase(0, at);
        return out;
    }
    std::size_t call(const std::string& bytes) {
        send(bytes);
        std::size_t events = 0;
        for (;;) {
            const Got got = receive();
            events += got.events;
            if (got.replies > 0) {
                return events;
            }
        }
    }

private:
    int fd_;
    std::string buffer_;
};

void report(std::size_t count, Clock::time_point begin) {
    std::printf("%zu %.6f\n", count, std::chrono::duration<double>(Clock::now() - begin).count());
}

void calls(std::vector<Client>& clients, double seconds, const std::string& bytes) {
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration<double>(seconds);
    std::size_t done = 0;
    if (clients.size() == 1) {
        while (Clock::now() < end) {
            clients[0].call(bytes);
            ++done;
        }
        report(done, begin);
        return;
    }
    const int poll = ::epoll_create1(0);
    for (std::size_t i = 0; i < clients.size(); ++i) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
        ::epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].fd(), &event);
        clients[i].send(bytes);
    }
    std::vector<epoll_event> ready(64);
    while (Clock::now() < end) {
        const int n = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 1000);
        for (int i = 0; i < n; ++i) {
            Client& client = clients[ready[static_cast<std::size_t>(i)].data.u64];
            if (client.receive().replies > 0) {
                ++done;
                client.send(bytes);
            }
        }
    }
    report(done, begin);
}

void fanout(const char* path, std::vector<Client>& clients, double seconds, const std::string& define,
            const std::string& undefine) {
    std::string all;
    put(all, 0);
    put(all, 0);
    for (Client& client : clients) {
        client.call(packet(313, all));
    }
    Client actor(path);
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration<double>(seconds);
    std::size_t events = 0;
    for (bool defined = false; Clock::now() < end || defined; defined = !defined) {
        actor.send(defined ? undefine : define);
        for (Client& client : clients) {
            std::size_t got = 0;
            while (got == 0) {
                got = client.receive().events;
            }
            events += got;
        }
        while (actor.receive().replies == 0) {
        }
    }
    report(events, begin);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        return 2;
    }
    const char* path = argv[1];
    const std::string what = argv[2];
    if (what == "define") {
        Client client(path);
        const auto begin = Clock::now();
        std::size_t done = 0;
        for (std::string line; std::getline(std::cin, line); ++done) {
            client.call(packet(static_cast<std::uint32_t>(std::atoi(argv[3])), unhex(line)));
        }
        report(done, begin);
        return 0;
    }
    std::vector<Client> clients;
    for (int i = 0; i < std::atoi(argv[3]); ++i) {
        clients.emplace_back(path);
    }
    if (what == "idle") {
        std::printf("%zu 0\n", clients.size());
        std::fflush(stdout);
        char byte = 0;
        while (::read(0, &byte, 1) > 0) {
        }
    } else if (what == "calls") {
        calls(clients, std::atof(argv[4]),
              packet(static_cast<std::uint32_t>(std::atoi(argv[5])), argc > 6 ? unhex(argv[6]) : ""));
    } else if (what == "fanout") {
        fanout(path, clients, std::atof(argv[4]), packet(41, unhex(argv[5])), packet(49, unhex(argv[6])));
    } else {
        return 2;
    }
    return 0;
}
