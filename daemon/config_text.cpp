// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config_text.h"

#include <fmt/format.h>

namespace bascule::daemon {

namespace {

constexpr std::string_view kOneText = "expected one quoted text";

// Walks over the text and knows the line. Nothing goes past the end: there, peek() is NUL.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}

    int line() const { return line_; }
    bool done() const { return at_ >= text_.size(); }
    char peek() const { return done() ? '\0' : text_[at_]; }
    void next() {
        line_ += peek() == '\n' ? 1 : 0;
        ++at_;
    }
    bool take(char wanted) {
        const bool there = !done() && peek() == wanted;
        if (there) {
            next();
        }
        return there;
    }
    void skip_blanks() {
        while (peek() == ' ' || peek() == '\t' || peek() == '\r') {
            next();
        }
    }
    // Blanks, comments and ends of lines.
    void skip_space() {
        for (;; next()) {
            skip_blanks();
            if (peek() == '#') {
                skip_comment();
            }
            if (peek() != '\n') {
                return;
            }
        }
    }
    void skip_comment() {
        while (!done() && peek() != '\n') {
            next();
        }
    }
    // Up to a byte of `ends` or the end of the line.
    std::string_view until(std::string_view ends) {
        const std::size_t from = at_;
        while (!done() && peek() != '\n' && !ends.contains(peek())) {
            next();
        }
        return text_.substr(from, at_ - from);
    }

private:
    std::string_view text_;
    std::size_t at_ = 0;
    int line_ = 1;
};

Result<std::string> quoted(Cursor& in) {
    const char quote = in.peek();
    if (quote != '"' && quote != '\'') {
        return fail(Code::invalid_argument, "expected a quoted text");
    }
    in.next();
    const std::string_view text = in.until(std::string_view(&quote, 1));
    if (!in.take(quote)) {
        return fail(Code::invalid_argument, std::string(kOneText));
    }
    return std::string(text);
}

Result<std::vector<std::string>> list(Cursor& in) {
    std::vector<std::string> out;
    in.next();  // the bracket
    for (in.skip_space(); !in.take(']'); in.skip_space()) {
        TRY(std::string text, quoted(in));
        out.push_back(std::move(text));
        in.skip_space();
        if (!in.take(',') && in.peek() != ']') {
            return fail(Code::invalid_argument, "expected ',' or ']' in the list");
        }
    }
    return out;
}

Result<ConfigValue> value_of(Cursor& in) {
    ConfigValue out;
    if (in.peek() == '[') {
        out.kind = ConfigValue::Kind::list;
        TRY(out.list, list(in));
    } else if (in.peek() == '"' || in.peek() == '\'') {
        out.kind = ConfigValue::Kind::text;
        TRY(out.text, quoted(in));
    } else {
        out.text = in.until(" \t\r#[\"'");
        if (out.text.empty()) {
            return fail(Code::invalid_argument, "expected a \"quoted text\", a [ \"list\" ], a number or true/false");
        }
    }
    in.skip_blanks();
    if (in.peek() == '#') {
        in.skip_comment();
    }
    if (!in.done() && in.peek() != '\n') {
        return fail(Code::invalid_argument, out.kind == ConfigValue::Kind::text
                                                ? std::string(kOneText)
                                                : fmt::format("unexpected '{}' after the value", in.peek()));
    }
    return out;
}

}  // namespace

Result<std::vector<ConfigEntry>> read_entries(std::string_view text, const std::string& file) {
    std::vector<ConfigEntry> out;
    Cursor in(text);
    for (in.skip_space(); !in.done(); in.skip_space()) {
        ConfigEntry entry{in.line(), std::string(in.until(" \t\r=#")), {}};
        in.skip_blanks();
        if (entry.key.empty() || !in.take('=')) {
            return fail(Code::invalid_argument, fmt::format("{}:{}: expected 'key = value'", file, entry.line));
        }
        in.skip_blanks();
        auto value = value_of(in);
        if (!value) {
            return std::unexpected(std::move(value.error()).in(fmt::format("{}:{}: {}", file, in.line(), entry.key)));
        }
        entry.value = std::move(*value);
        out.push_back(std::move(entry));
    }
    return out;
}

}  // namespace bascule::daemon
