// SPDX-License-Identifier: GPL-2.0-or-later
// A frame's fields by their offsets, for what judges the program and so shares no decoder with it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "base/bytes.h"

namespace bascule::nwfilter::reference {

using Bits = std::optional<std::uint64_t>;

// A frame by its offsets. What is not there is nothing.
struct View {
    ByteView bytes;
    std::size_t network = 14;
    std::size_t transport = 0;   // 0: none
    unsigned protocol = 0x1000;  // of IP; 0x1000: none

    explicit View(ByteView frame) : bytes(frame) {
        if (type() == 0x0800) {
            ip4();
        } else if (type() == 0x86dd) {
            ip6();
        }
    }

    Bits number(std::size_t at, std::size_t size) const {
        if (at + size > bytes.size()) {
            return {};
        }
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < size; ++i) {
            out = out * 256 + static_cast<std::uint64_t>(bytes[at + i]);
        }
        return out;
    }
    unsigned type() const { return static_cast<unsigned>(number(12, 2).value_or(0)); }

    void ip4() {
        if (!number(network + 19, 1)) {
            return;
        }
        protocol = static_cast<unsigned>(*number(network + 9, 1));
        const unsigned first = static_cast<unsigned>(*number(network, 1)), header = first % 16 * 4;
        const std::uint64_t total = *number(network + 2, 2);
        const bool later = *number(network + 6, 2) % 8192 != 0;
        if (first / 16 == 4 && header >= 20 && total >= header && network + total <= bytes.size() && !later) {
            transport = network + header;
        }
    }
    void ip6() {
        if (!number(network + 39, 1) || *number(network, 1) / 16 != 6 ||
            network + 40 + *number(network + 4, 2) > bytes.size()) {
            return;
        }
        unsigned next = static_cast<unsigned>(*number(network + 6, 1));
        std::size_t at = network + 40;
        const std::set<unsigned> extensions{0, 43, 44, 60};
        while (extensions.contains(next)) {
            const Bits following = number(at, 1), length = number(at + 1, 1);
            if (!following || !length) {
                return;
            }
            std::size_t size = (*length + 1) * 8;
            if (next == 44) {
                if (!number(at + 7, 1)) {
                    return;
                }
                size = 8;
                if (*number(at + 2, 2) / 8 != 0) {
                    if (!extensions.contains(static_cast<unsigned>(*following)) && *following != 59) {
                        protocol = static_cast<unsigned>(*following);
                    }
                    return;
                }
            }
            if (at + size > bytes.size()) {
                return;
            }
            at += size;
            next = static_cast<unsigned>(*following);
        }
        protocol = next;
        transport = at;
    }

    // RFC 826 with Ethernet and IPv4 addresses.
    bool plain_arp() const {
        return number(network, 2) == 1U && number(network + 2, 2) == 0x0800U && number(network + 4, 2) == 0x0604U &&
               number(network + 27, 1);
    }
    bool bpdu() const { return type() < 0x600 && number(network, 6) == 0x424203000000U && number(network + 6, 1); }
    bool has_ports() const {
        return transport != 0 &&
               (protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136);
    }
    bool tcp_option(unsigned kind) const {
        const std::size_t end = transport + static_cast<std::size_t>(*number(transport + 12, 1)) / 16 * 4;
        for (std::size_t at = transport + 20; at + 1 < end;) {
            const unsigned here = static_cast<unsigned>(*number(at, 1));
            const unsigned length = static_cast<unsigned>(*number(at + 1, 1));
            const std::size_t size = here < 2 || length == 0 ? 1 : length;
            if (at + size > end) {
                return false;
            }
            if (here == kind) {
                return true;
            }
            at += size;
        }
        return false;
    }
    bool whole_tcp() const {
        if (transport == 0 || protocol != 6 || !number(transport + 19, 1)) {
            return false;
        }
        const std::size_t header = static_cast<std::size_t>(*number(transport + 12, 1)) / 16 * 4;
        return header >= 20 && transport + header <= bytes.size();
    }
};

}  // namespace bascule::nwfilter::reference
