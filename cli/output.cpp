// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

namespace bascule::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string to_text(const Json& json) {
    // Bytes that are not UTF-8 are replaced, not thrown over.
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Columns a terminal needs for UTF-8 text: continuation bytes take none.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

void append_row(std::string& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
        out += cells[i];
        if (i + 1 < cells.size()) {
            out.append(widths[i] - width(cells[i]) + 2, ' ');
        }
    }
    out += '\n';
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        out += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
    }
    return out;
}

std::string render(const Table& table, Format format) {
    if (format == Format::json) {
        Json array = Json::array();
        for (const auto& row : table.rows) {
            Json object = Json::object();
            for (std::size_t i = 0; i < row.size(); ++i) {
                object[table.columns[i].key] = row[i];
            }
            array.push_back(std::move(object));
        }
        return to_text(array);
    }
    std::vector<std::vector<std::string>> lines(1);
    for (const auto& column : table.columns) {
        lines[0].push_back(column.heading);
    }
    for (const auto& row : table.rows) {
        auto& line = lines.emplace_back();
        std::ranges::transform(row, std::back_inserter(line), [](const auto& cell) { return printable(cell); });
    }
    std::vector<std::size_t> widths(table.columns.size());
    for (const auto& line : lines) {
        for (std::size_t i = 0; i < line.size(); ++i) {
            widths[i] = std::max(widths[i], width(line[i]));
        }
    }
    std::string out;
    for (const auto& line : lines) {
        append_row(out, line, widths);
    }
    return out;
}

std::string render(const Facts& facts, Format format) {
    if (format == Format::json) {
        Json object = Json::object();
        for (const auto& fact : facts.facts) {
            object[fact.key] = fact.value;
        }
        return to_text(object);
    }
    std::size_t widest = 0;
    for (const auto& fact : facts.facts) {
        widest = std::max(widest, width(fact.heading));
    }
    std::string out;
    for (const auto& fact : facts.facts) {
        out += fmt::format("{}:{}{}\n", fact.heading, std::string(widest - width(fact.heading) + 2, ' '),
                           printable(fact.value));
    }
    return out;
}

}  // namespace bascule::cli
