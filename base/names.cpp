// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/names.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/net.h"

namespace bascule {

namespace {

void fill_random(std::span<std::uint8_t> out) {
    while (!out.empty()) {
        const ssize_t got = ::getrandom(out.data(), out.size(), 0);
        if (got > 0) {
            out = out.subspan(static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            std::abort();  // no entropy source: nothing that follows could be trusted
        }
    }
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

std::optional<IfName> IfName::parse(std::string_view text) {
    const auto bad = [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || std::string_view("/:\"'\\*;{},#$").contains(c);
    };
    if (text.empty() || text.size() > 15 || text == "." || text == ".." || std::ranges::any_of(text, bad)) {
        return std::nullopt;
    }
    return IfName(text);
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
    Uuid uuid;
    std::size_t nibbles = 0;
    for (const char c : text) {
        if (c == '-' && nibbles % 2 == 0 && nibbles > 0) {
            continue;
        }
        const int digit = hex_digit(c);
        if (digit < 0 || nibbles == 32) {
            return std::nullopt;
        }
        auto& octet = uuid.octets[nibbles++ / 2];
        octet = static_cast<std::uint8_t>(octet << 4 | digit);
    }
    return nibbles == 32 ? std::optional(uuid) : std::nullopt;
}

Uuid Uuid::random() {
    Uuid uuid;
    fill_random(uuid.octets);
    uuid.octets[6] = static_cast<std::uint8_t>((uuid.octets[6] & 0x0f) | 0x40);
    uuid.octets[8] = static_cast<std::uint8_t>((uuid.octets[8] & 0x3f) | 0x80);
    return uuid;
}

std::string format(const Uuid& uuid) {
    std::string out;
    for (std::size_t i = 0; i < 16; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out += '-';
        }
        out += fmt::format("{:02x}", uuid.octets[i]);
    }
    return out;
}

std::optional<ObjectName> ObjectName::parse(std::string_view text) {
    const auto bad = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f || c == '/'; };
    if (text.empty() || text.size() > 200 || text == "." || text == ".." || std::ranges::any_of(text, bad)) {
        return std::nullopt;
    }
    return ObjectName(text);
}

bool is_dns_name(std::string_view text) {
    if (text.empty() || text.size() > 253) {
        return false;
    }
    std::size_t label = 0;
    for (const char c : text) {
        if (c == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
            continue;
        }
        const char lower = static_cast<char>(c | 0x20);
        const bool word = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!word || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
            }
        }
    }
    return d[a.size()][b.size()];
}

MacAddr random_mac() {
    MacAddr mac{{0x52, 0x54, 0x00}};
    fill_random(std::span(mac.octets).subspan(3));
    return mac;
}

}  // namespace bascule
