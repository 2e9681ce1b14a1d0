// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bascule {

// One table for reading and writing an enumeration:
//   constexpr EnumNames<Mode, 2> kModes{{{"nat", Mode::nat}, {"route", Mode::route}}};
// The first entry of a value is the one written; further ones are accepted spellings.
template <class E, std::size_t N>
struct EnumNames {
    std::array<std::pair<std::string_view, E>, N> entries;

    constexpr std::optional<E> parse(std::string_view text) const {
        for (const auto& [name, value] : entries) {
            if (name == text) {
                return value;
            }
        }
        return std::nullopt;
    }
    // Empty for a value that has no name.
    constexpr std::string_view name(E value) const {
        for (const auto& [name, entry] : entries) {
            if (entry == value) {
                return name;
            }
        }
        return {};
    }
    // "'nat', 'route' or 'open'": for errors.
    std::string choices() const {
        std::string out;
        for (std::size_t i = 0; i < N; ++i) {
            out += i == 0 ? "'" : i + 1 == N ? " or '" : ", '";
            out += std::string(entries[i].first) + "'";
        }
        return out;
    }
};

}  // namespace bascule
