// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/spec.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

namespace bascule::storage {

namespace {

// The length of the UTF-8 sequence that `text` begins with (RFC 3629, 4); 0: none.
std::size_t utf8_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = at(0);
    const std::size_t length = first < 0x80                     ? 1
                               : first >= 0xC2 && first <= 0xDF ? 2
                               : (first & 0xF0U) == 0xE0        ? 3
                               : first >= 0xF0 && first <= 0xF4 ? 4
                                                                : 0;
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xC0U) != 0x80) {
            return 0;
        }
    }
    if (length > 2) {
        const unsigned second = at(1);
        const bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                           (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
        return wrong ? 0 : length;
    }
    return length;
}

// U+FFFE and U+FFFF are characters that no XML document may hold (XML 1.0, 2.2).
bool not_for_xml(std::string_view character) { return character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF"; }

constexpr std::uint64_t kFnvPrime = 0x100000001B3;

std::uint64_t hash(std::string_view text, std::uint64_t value) {
    for (const char c : text) {
        value = (value ^ static_cast<unsigned char>(c)) * kFnvPrime;
    }
    return value;
}

}  // namespace

bool can_make(Format format) {
    constexpr std::array<Format, 7> kMade{Format::raw, Format::qcow2, Format::qcow, Format::qed,
                                          Format::vdi, Format::vmdk,  Format::vpc};
    return std::ranges::find(kMade, format) != kMade.end();
}

bool is_volume_name(std::string_view name) {
    constexpr std::size_t kMostBytes = 255;  // of a file name
    if (name.empty() || name.size() > kMostBytes || name == "." || name == "..") {
        return false;
    }
    while (!name.empty()) {
        const std::size_t length = utf8_length(name);
        const auto first = static_cast<unsigned char>(name[0]);
        if (length == 0 || first < 0x20 || first == 0x7F || first == '/' || not_for_xml(name.substr(0, length))) {
            return false;
        }
        name.remove_prefix(length);
    }
    return true;
}

std::optional<std::string> tidy_path(std::string_view path) {
    if (!path.starts_with('/') || path.size() > 4095) {
        return std::nullopt;
    }
    std::string out;
    while (!path.empty()) {
        const auto start = path.find_first_not_of('/');
        if (start == std::string_view::npos) {
            break;
        }
        path.remove_prefix(start);
        const std::string_view part = path.substr(0, path.find('/'));
        if (!is_volume_name(part)) {
            return std::nullopt;
        }
        out.append("/").append(part);
        path.remove_prefix(part.size());
    }
    return out.empty() ? "/" : out;
}

std::string folder_of(std::string_view path) {
    const auto at = path.rfind('/');
    return at == 0 || at == std::string_view::npos ? "/" : std::string(path.substr(0, at));
}

std::string name_of(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

std::string implied_name(std::string_view folder) {
    std::string out;
    for (const char c : folder) {
        out += c == '/' ? ":" : c == ':' ? "%3A" : c == '%' ? "%25" : std::string(1, c);
    }
    return ObjectName::parse(out) ? out : ":" + format(implied_uuid(folder));
}

Uuid implied_uuid(std::string_view folder) {
    constexpr std::uint64_t kBasis = 0xCBF29CE484222325;
    const std::uint64_t high = hash(folder, kBasis);
    const std::uint64_t low = hash(folder, high ^ 0x62617363756C65);
    Uuid out;
    for (std::size_t i = 0; i < 8; ++i) {
        out.octets[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
        out.octets[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
    }
    // RFC 9562, 5.8: version 8 is made up as an application likes.
    out.octets[6] = static_cast<std::uint8_t>((out.octets[6] & 0x0FU) | 0x80U);
    out.octets[8] = static_cast<std::uint8_t>((out.octets[8] & 0x3FU) | 0x80U);
    return out;
}

std::optional<std::uint64_t> scaled(std::uint64_t value, std::string_view unit) {
    std::string low;
    std::ranges::transform(unit, std::back_inserter(low),
                           [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    if (low.empty() || low == "b" || low == "byte" || low == "bytes") {
        return value;
    }
    constexpr std::string_view kPrefixes = "kmgtpe";
    const auto power = kPrefixes.find(low[0]);
    const std::string_view rest = std::string_view(low).substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "ib" && rest != "b")) {
        return std::nullopt;
    }
    const std::uint64_t base = rest == "b" ? 1000 : 1024;
    for (std::size_t i = 0; i <= power; ++i) {
        if (value > std::numeric_limits<std::uint64_t>::max() / base) {
            return std::nullopt;
        }
        value *= base;
    }
    return value;
}

}  // namespace bascule::storage
