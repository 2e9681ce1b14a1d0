// SPDX-License-Identifier: GPL-2.0-or-later
// Names as types: each holds only what its place in the kernel, the file system or the protocol can.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bascule {

// A network device: 1..15 bytes, no '/', no white space, no quote, no control byte, not "." or ".."
// (net/core/dev.c, dev_valid_name), and besides none of the bytes that nft's text gives a meaning.
class IfName {
public:
    static std::optional<IfName> parse(std::string_view text);
    const std::string& str() const { return text_; }
    auto operator<=>(const IfName&) const = default;

private:
    explicit IfName(std::string_view text) : text_(text) {}
    std::string text_;
};

// RFC 4122.
struct Uuid {
    std::array<std::uint8_t, 16> octets{};

    static std::optional<Uuid> parse(std::string_view text);  // with or without hyphens
    static Uuid random();                                     // version 4, from the kernel's generator
    bool is_nil() const { return *this == Uuid{}; }
    auto operator<=>(const Uuid&) const = default;
};
std::string format(const Uuid& uuid);

// The name of a network, guest or filter; also its file's name below /etc/bascule: 1..200 bytes, no
// '/', no control byte, not "." or "..".
class ObjectName {
public:
    static std::optional<ObjectName> parse(std::string_view text);
    const std::string& str() const { return text_; }
    auto operator<=>(const ObjectName&) const = default;

private:
    explicit ObjectName(std::string_view text) : text_(text) {}
    std::string text_;
};

// A DNS name or host name (RFC 1123 2.1): labels of 1..63 letters, digits, '-' and '_', at most 253
// bytes, no trailing dot.
bool is_dns_name(std::string_view text);

// Restricted Damerau-Levenshtein distance: for "did you mean".
std::size_t edit_distance(std::string_view a, std::string_view b);

// A fresh locally administered MAC of QEMU's block, 52:54:00:xx:xx:xx.
struct MacAddr;
MacAddr random_mac();

}  // namespace bascule
