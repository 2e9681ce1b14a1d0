// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace bascule {

namespace {

std::uint64_t fnv(const std::uint8_t* data, std::size_t size) {
    std::uint64_t h = 0xcbf29ce484222325U;
    for (std::size_t i = 0; i < size; ++i) {
        h = (h ^ data[i]) * 0x100000001b3U;
    }
    return h;
}

// Keeps the first `length` bits of the address and sets the others to `fill`.
Ip masked(const Ip& address, unsigned length, bool fill) {
    auto octets = address.octets();
    for (unsigned at = length / 8, bits = length % 8; at < address.bits() / 8; ++at, bits = 0) {
        const auto rest = static_cast<std::uint8_t>(0xffU >> bits);
        octets[at] = static_cast<std::uint8_t>(fill ? octets[at] | rest : octets[at] & ~rest);
    }
    return address.is_v4() ? Ip::v4({octets[0], octets[1], octets[2], octets[3]}) : Ip::v6(octets);
}

}  // namespace

Ip Ip::v4(std::array<std::uint8_t, 4> octets) {
    Ip ip;
    std::ranges::copy(octets, ip.octets_.begin());
    return ip;
}

Ip Ip::v4(std::uint32_t host_order) {
    return v4({static_cast<std::uint8_t>(host_order >> 24), static_cast<std::uint8_t>(host_order >> 16),
               static_cast<std::uint8_t>(host_order >> 8), static_cast<std::uint8_t>(host_order)});
}

Ip Ip::v6(std::array<std::uint8_t, 16> octets) {
    Ip ip;
    ip.family_ = IpFamily::v6;
    ip.octets_ = octets;
    return ip;
}

std::uint32_t Ip::v4_value() const {
    return is_v6() ? 0
                   : static_cast<std::uint32_t>(octets_[0]) << 24 | static_cast<std::uint32_t>(octets_[1]) << 16 |
                         static_cast<std::uint32_t>(octets_[2]) << 8 | octets_[3];
}

bool Ip::is_unspecified() const { return octets_ == std::array<std::uint8_t, 16>{}; }
bool Ip::is_multicast() const { return is_v4() ? (octets_[0] & 0xf0) == 0xe0 : octets_[0] == 0xff; }

bool Ip::is_loopback() const {
    if (is_v4()) {
        return octets_[0] == 127;
    }
    auto one = std::array<std::uint8_t, 16>{};
    one[15] = 1;
    return octets_ == one;
}

bool Ip::is_link_local() const {
    return is_v4() ? octets_[0] == 169 && octets_[1] == 254 : octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80;
}

Ip Ip::plus(std::uint64_t n) const {
    Ip out = *this;
    for (unsigned i = bits() / 8; i-- > 0 && n != 0;) {
        n += out.octets_[i];
        out.octets_[i] = static_cast<std::uint8_t>(n);
        n >>= 8;
    }
    return out;
}

Prefix Prefix::of(const Ip& address, unsigned length) {
    length = std::min(length, address.bits());
    return {masked(address, length, false), length};
}

bool Prefix::contains(const Ip& address) const {
    return address.family() == network.family() && masked(address, length, false) == network;
}

bool Prefix::overlaps(const Prefix& other) const {
    return length <= other.length ? contains(other.network) : other.contains(network);
}

Ip Prefix::last() const { return masked(network, length, true); }

std::optional<MacAddr> parse_mac(std::string_view text) {
    MacAddr mac;
    for (std::size_t i = 0; i < 6; ++i) {
        if (i > 0) {
            if (text.empty() || (text[0] != ':' && text[0] != '-')) {
                return std::nullopt;
            }
            text.remove_prefix(1);
        }
        const std::string_view digits = text.substr(0, 2);
        const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), mac.octets[i], 16);
        if (ec != std::errc() || stop == digits.data()) {
            return std::nullopt;
        }
        text.remove_prefix(static_cast<std::size_t>(stop - digits.data()));
    }
    return text.empty() ? std::optional(mac) : std::nullopt;
}

std::optional<Ip> parse_ipv4(std::string_view text) {
    in_addr raw{};
    const std::string copy(text);
    if (copy.size() != text.size() || copy.contains('\0') || ::inet_pton(AF_INET, copy.c_str(), &raw) != 1) {
        return std::nullopt;
    }
    return Ip::v4(ntohl(raw.s_addr));
}

std::optional<Ip> parse_ipv6(std::string_view text) {
    const std::string copy(text);
    std::array<std::uint8_t, 16> raw{};
    if (copy.contains('\0') || ::inet_pton(AF_INET6, copy.c_str(), raw.data()) != 1) {
        return std::nullopt;
    }
    return Ip::v6(raw);
}

std::optional<Ip> parse_ip(std::string_view text) { return text.contains(':') ? parse_ipv6(text) : parse_ipv4(text); }

std::optional<Prefix> parse_prefix(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto ip = parse_ip(text.substr(0, slash));
    const std::string_view digits = text.substr(slash + 1);
    unsigned length = 0;
    const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (!ip || ec != std::errc() || stop != digits.data() + digits.size() || length > ip->bits()) {
        return std::nullopt;
    }
    const Prefix prefix = Prefix::of(*ip, length);
    return prefix.network == *ip ? std::optional(prefix) : std::nullopt;
}

std::optional<unsigned> netmask_length(const Ip& mask) {
    unsigned length = 0;
    while (length < mask.bits() && (mask.octets()[length / 8] & (0x80U >> (length % 8))) != 0) {
        ++length;
    }
    return netmask(length, mask.family()) == mask ? std::optional(length) : std::nullopt;
}

Ip netmask(unsigned length, IpFamily family) {
    const Ip zero = family == IpFamily::v4 ? Ip() : Ip::v6({});
    const unsigned keep = std::min(length, zero.bits());
    auto octets = zero.octets();
    for (unsigned bit = 0; bit < keep; ++bit) {
        octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | 0x80U >> (bit % 8));
    }
    return family == IpFamily::v4 ? Ip::v4({octets[0], octets[1], octets[2], octets[3]}) : Ip::v6(octets);
}

std::string format(const MacAddr& mac) {
    const auto& o = mac.octets;
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[0], o[1], o[2], o[3], o[4], o[5]);
}

std::string format(const Ip& ip) {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(ip.is_v4() ? AF_INET : AF_INET6, ip.octets().data(), text, sizeof text);
    return text;
}

std::string format(const Prefix& prefix) { return fmt::format("{}/{}", format(prefix.network), prefix.length); }
std::string format(const IpInterface& a) { return fmt::format("{}/{}", format(a.address), a.length); }
std::string format(const IpRange& r) { return format(r.first) + "-" + format(r.last); }

namespace literals {

namespace {
template <class T>
T or_abort(const std::optional<T>& value) {
    if (!value) {
        std::abort();
    }
    return *value;
}
}  // namespace

MacAddr operator""_mac(const char* text, std::size_t size) { return or_abort(parse_mac({text, size})); }
Ip operator""_ip(const char* text, std::size_t size) { return or_abort(parse_ip({text, size})); }
Prefix operator""_prefix(const char* text, std::size_t size) { return or_abort(parse_prefix({text, size})); }

}  // namespace literals

}  // namespace bascule

std::size_t std::hash<bascule::MacAddr>::operator()(const bascule::MacAddr& mac) const noexcept {
    return bascule::fnv(mac.octets.data(), mac.octets.size());
}

std::size_t std::hash<bascule::Ip>::operator()(const bascule::Ip& ip) const noexcept {
    return bascule::fnv(ip.octets().data(), ip.octets().size()) ^ static_cast<std::size_t>(ip.family());
}
