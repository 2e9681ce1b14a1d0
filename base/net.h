// SPDX-License-Identifier: GPL-2.0-or-later
// Network values. Each is made by a parse function that can fail; after that nobody checks again.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bascule {

struct MacAddr {
    std::array<std::uint8_t, 6> octets{};

    bool is_multicast() const { return (octets[0] & 1) != 0; }
    bool is_zero() const { return *this == MacAddr{}; }
    auto operator<=>(const MacAddr&) const = default;
};

enum class IpFamily { v4, v6 };

// An IPv4 or IPv6 address. IPv4 sorts before IPv6.
class Ip {
public:
    Ip() = default;  // 0.0.0.0
    static Ip v4(std::array<std::uint8_t, 4> octets);
    static Ip v4(std::uint32_t host_order);
    static Ip v6(std::array<std::uint8_t, 16> octets);

    IpFamily family() const { return family_; }
    bool is_v4() const { return family_ == IpFamily::v4; }
    bool is_v6() const { return family_ == IpFamily::v6; }
    unsigned bits() const { return is_v4() ? 32 : 128; }
    // The first 4 (IPv4) or all 16 (IPv6) octets are significant.
    const std::array<std::uint8_t, 16>& octets() const { return octets_; }
    std::uint32_t v4_value() const;  // host order; 0 for IPv6
    bool is_unspecified() const;
    bool is_multicast() const;
    bool is_loopback() const;
    bool is_link_local() const;  // 169.254/16, fe80::/10

    // The address n further on, wrapping within the family.
    Ip plus(std::uint64_t n) const;
    auto operator<=>(const Ip&) const = default;

private:
    IpFamily family_ = IpFamily::v4;
    std::array<std::uint8_t, 16> octets_{};
};

// A network: host bits are zero. Made by Prefix::of, which clears them.
struct Prefix {
    Ip network;
    unsigned length = 0;  // 0..32 or 0..128

    static Prefix of(const Ip& address, unsigned length);
    bool contains(const Ip& address) const;
    bool overlaps(const Prefix& other) const;
    Ip first() const { return network; }
    Ip last() const;  // IPv4: the broadcast address
    auto operator<=>(const Prefix&) const = default;
};

// An address on a link: the address itself and the prefix it lives in ("192.168.122.1/24").
struct IpInterface {
    Ip address;
    unsigned length = 0;

    Prefix prefix() const { return Prefix::of(address, length); }
    auto operator<=>(const IpInterface&) const = default;
};

// Inclusive; first <= last, one family.
struct IpRange {
    Ip first, last;

    bool contains(const Ip& a) const { return a.family() == first.family() && first <= a && a <= last; }
    auto operator<=>(const IpRange&) const = default;
};

// Inclusive; first <= last, both 1..65535.
struct PortRange {
    std::uint16_t first = 1, last = 65535;
    auto operator<=>(const PortRange&) const = default;
};

// "52:54:00:12:34:56"; also accepts '-' between the octets and single digits, as the peer does.
std::optional<MacAddr> parse_mac(std::string_view text);
std::optional<Ip> parse_ip(std::string_view text);    // either family, no prefix, no zone
std::optional<Ip> parse_ipv4(std::string_view text);  // four decimal octets
std::optional<Ip> parse_ipv6(std::string_view text);
std::optional<Prefix> parse_prefix(std::string_view text);  // "10.0.0.0/8"; host bits must be zero
std::optional<unsigned> netmask_length(const Ip& netmask);  // 255.255.255.0 -> 24; not contiguous: none

std::string format(const MacAddr& mac);
std::string format(const Ip& ip);
std::string format(const Prefix& prefix);
std::string format(const IpInterface& address);
std::string format(const IpRange& range);  // "10.0.0.2-10.0.0.9"

// The netmask of a prefix length: 24 -> 255.255.255.0.
Ip netmask(unsigned length, IpFamily family = IpFamily::v4);

namespace literals {
MacAddr operator""_mac(const char* text, std::size_t size);  // aborts when malformed: tests, constants
Ip operator""_ip(const char* text, std::size_t size);
Prefix operator""_prefix(const char* text, std::size_t size);
}  // namespace literals

}  // namespace bascule

template <>
struct std::hash<bascule::MacAddr> {
    std::size_t operator()(const bascule::MacAddr& mac) const noexcept;
};
template <>
struct std::hash<bascule::Ip> {
    std::size_t operator()(const bascule::Ip& ip) const noexcept;
};
