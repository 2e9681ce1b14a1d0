// SPDX-License-Identifier: GPL-2.0-or-later
// tap_load SENDER RECEIVER FRAME COUNT: writes a frame (hexadecimal) into one tap, so often, and prints the thread's
// processor time for one in nanoseconds, the median of bursts. Writing into a tap runs the whole way through the bridge
// and into the other tap's queue in this thread, so that is all a frame costs; reading it out again is not counted.
// Status 1 when not every frame arrived.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr long kBurst = 256;  // fits a tap's queue of 1000

int open_tap(const char* name) {
    const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ::ioctl(fd, TUNSETIFF, &request) != 0) {
        std::perror(name);
        std::exit(2);
    }
    return fd;
}

long long thread_nanoseconds() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

std::vector<unsigned char> octets(const std::string& hex) {
    std::vector<unsigned char> out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<unsigned char>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fputs("tap_load SENDER RECEIVER FRAME COUNT\n", stderr);
        return 2;
    }
    const int sender = open_tap(argv[1]), receiver = open_tap(argv[2]);
    const std::vector<unsigned char> frame = octets(argv[3]);
    const long count = std::strtol(argv[4], nullptr, 10);
    std::array<unsigned char, 2048> buffer{};
    const auto drain = [&] {
        long got = 0;
        for (ssize_t size = 0; (size = ::read(receiver, buffer.data(), buffer.size())) >= 0;) {
            got += static_cast<std::size_t>(size) == frame.size() &&
                   std::memcmp(buffer.data(), frame.data(), frame.size()) == 0;
        }
        return got;
    };
    // Open taps have a carrier, which the bridge hears of a moment later.
    constexpr int kMostTries = 100'000;
    for (int i = 0; i < kMostTries && drain() == 0; ++i) {
        (void)!::write(sender, frame.data(), frame.size());
    }
    ::usleep(10'000);
    drain();
    std::vector<double> costs;
    long arrived = 0, sent = 0;
    for (; sent < count; sent += kBurst) {
        const long long begin = thread_nanoseconds();
        for (long i = 0; i < kBurst; ++i) {
            if (::write(sender, frame.data(), frame.size()) < 0) {
                std::perror("write");
                return 2;
            }
        }
        costs.push_back(static_cast<double>(thread_nanoseconds() - begin) / kBurst);
        arrived += drain();
    }
    std::nth_element(costs.begin(), costs.begin() + static_cast<std::ptrdiff_t>(costs.size() / 2), costs.end());
    std::printf("%.1f %ld %ld\n", costs[costs.size() / 2], sent, arrived);
    return arrived == sent ? 0 : 1;
}
