// SPDX-License-Identifier: GPL-2.0-or-later
// Frames of a guest and to it, copied: whatever they are, what is learned stays within bounds, and its own frames never
// teach an address that another port has. First octet of each: kind and direction; then a length, then the frame.
#include <cstdlib>

#include "dhcp/learner.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    Learner learner;
    const Ip taken = Ip::v4(0x0a000001);
    Time now{std::chrono::seconds(1000)};
    for (const std::uint32_t index : {1U, 2U}) {
        learner.watch({.index = index,
                       .name = *IfName::parse("vnet0"),
                       .mac = MacAddr{{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(index)}},
                       .any = index == 1,
                       .v4 = true,
                       .v6 = true,
                       .known = index == 2 ? std::vector<LearnedAddress>{{taken, kEndOfTime, true}}
                                           : std::vector<LearnedAddress>{}});
    }
    ByteReader in(std::as_bytes(std::span(data, size)));
    while (in.left() > 3) {
        constexpr std::array<std::uint16_t, 4> kTypes{0x0800, 0x0806, 0x86dd, 0x8100};
        const std::uint8_t kind = in.u8();
        const std::size_t length = std::min<std::size_t>(in.u16(), in.left());
        learner.hear({.port = 1, .from_guest = (kind & 4) != 0, .type = kTypes[kind & 3U], .packet = in.take(length)},
                     now);
        now += std::chrono::seconds(kind >> 3U);
        learner.tick(now);
        std::size_t four = 0, six = 0;
        for (const LearnedAddress& one : learner.addresses(1)) {
            (one.address.is_v4() ? four : six) += 1;
            expect(one.ends > now && (one.leased || one.address != taken));
        }
        expect(four <= Learner::kMostAddresses && six <= Learner::kMostAddresses);
        expect(learner.addresses(2).size() == 1);
    }
    return 0;
}
