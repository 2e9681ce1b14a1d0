// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bascule::cli {

enum class Format { table, json };

// What a listing command prints: as aligned columns for people, or as a JSON array of objects keyed by the
// columns' names for programs. The JSON keys are a promise; headings are not.
struct Table {
    struct Column {
        std::string key;      // "ip-address"
        std::string heading;  // "IP address"
    };
    std::vector<Column> columns;
    std::vector<std::vector<std::string>> rows;  // each as long as columns
};
std::string render(const Table& table, Format format);

// Facts about one thing: "heading: value" lines, or one JSON object.
struct Facts {
    struct Fact {
        std::string key, heading, value;
    };
    std::vector<Fact> facts;
};
std::string render(const Facts& facts, Format format);

// Guests choose host names and more: control bytes must not drive the terminal.
std::string printable(std::string_view text);

}  // namespace bascule::cli
