// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/access_peek.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::daemon {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::unexpected<Error> refused(std::string_view why) {
    return fail(Code::invalid_xml, fmt::format("before access is checked only plain documents are read: {}", why));
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(kSpace);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Parsers turn line ends and tabs inside a value into others; a name has none.
bool is_plain(std::string_view value) {
    return std::ranges::none_of(value, [](char c) { return c == '&' || static_cast<unsigned char>(c) < ' '; });
}

class Peeker {
public:
    explicit Peeker(std::string_view xml) : in_(xml) {}
    Result<Peeked> run();

private:
    struct Tag {
        std::string_view name, attributes;
        bool closing = false, empty = false;
    };
    bool starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }
    Result<void> skip(std::string_view until);
    Result<Tag> tag();
    Result<void> open(const Tag& tag);
    Result<void> child(const Tag& tag);
    static Result<std::optional<std::string>> attribute(const Tag& tag, std::string_view name);
    Result<std::string> text_until_close(std::string_view name);
    Result<void> markup();

    std::string_view in_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    bool rooted_ = false;
    Peeked out_;
};

Result<void> Peeker::skip(std::string_view until) {
    const auto end = in_.find(until, at_);
    if (end == std::string_view::npos) {
        return refused(fmt::format("'{}' is missing", until));
    }
    at_ = end + until.size();
    return {};
}

// At '<' of a tag; past '>' afterwards. A '>' between quotes ends nothing.
Result<Peeker::Tag> Peeker::tag() {
    Tag out;
    const std::size_t from = ++at_;
    char quote = '\0';
    for (; at_ < in_.size() && (quote != '\0' || in_[at_] != '>'); ++at_) {
        const char c = in_[at_];
        if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == quote) {
            quote = '\0';
        } else if (c == '<') {
            return refused("'<' inside a tag");
        }
    }
    if (at_ >= in_.size()) {
        return refused("a tag does not end");
    }
    std::string_view body = in_.substr(from, at_++ - from);
    out.closing = body.starts_with('/');
    body.remove_prefix(out.closing ? 1 : 0);
    out.empty = !out.closing && body.ends_with('/');
    body.remove_suffix(out.empty ? 1 : 0);
    out.name = body.substr(0, body.find_first_of(kSpace));
    out.attributes = body.substr(out.name.size());
    if (out.name.empty()) {
        return refused("a tag without a name");
    }
    return out;
}

// Finds `name = 'value'` among a tag's attributes.
Result<std::optional<std::string>> Peeker::attribute(const Tag& tag, std::string_view name) {
    std::string_view rest = trimmed(tag.attributes);
    std::optional<std::string> out;
    while (!rest.empty()) {
        const auto equals = rest.find('=');
        const std::string_view key = trimmed(rest.substr(0, equals));
        rest = equals == std::string_view::npos ? std::string_view() : trimmed(rest.substr(equals + 1));
        const auto end = rest.size() < 2 ? std::string_view::npos : rest.find(rest[0], 1);
        if (end == std::string_view::npos || (rest[0] != '"' && rest[0] != '\'')) {
            return refused(fmt::format("the attributes of <{}>", tag.name));
        }
        const std::string_view value = rest.substr(1, end - 1);
        rest = trimmed(rest.substr(end + 1));
        if (key == name) {
            if (out || !is_plain(value)) {
                return refused(fmt::format("<{} {}>", tag.name, name));
            }
            out = std::string(value);
        }
    }
    return out;
}

// Behind an opening tag; past its closing one afterwards. Only text may be between them.
Result<std::string> Peeker::text_until_close(std::string_view name) {
    const auto end = in_.find('<', at_);
    if (end == std::string_view::npos) {
        return refused(fmt::format("<{}> does not end", name));
    }
    const std::string_view text = trimmed(in_.substr(at_, end - at_));
    at_ = end;
    if (starts("<!") || starts("<?") || !is_plain(text)) {
        return refused(fmt::format("entities, comments or markup in <{}>", name));
    }
    TRY(const Tag closing, tag());
    if (!closing.closing || closing.name != name) {
        return refused(fmt::format("elements in <{}>", name));
    }
    return std::string(text);
}

Result<void> Peeker::child(const Tag& tag) {
    if (tag.name == "name" || tag.name == "uuid") {
        auto& place = tag.name == "name" ? out_.name : out_.uuid;
        if (place) {
            return refused(fmt::format("<{}> is there twice", tag.name));
        }
        if (tag.empty) {
            place = std::string();
            return {};
        }
        TRY(place, text_until_close(tag.name));
        return {};
    }
    if (tag.name == "portdev" || tag.name == "filterref") {
        const bool is_port = tag.name == "portdev";
        auto& place = is_port ? out_.portdev : out_.filter;
        if (place && is_port) {
            return refused("<portdev> is there twice");
        }
        if (!place) {
            TRY(place, attribute(tag, is_port ? "name" : "filter"));
        }
    }
    depth_ += tag.empty ? 0 : 1;
    return {};
}

Result<void> Peeker::open(const Tag& tag) {
    if (depth_ == 0) {
        if (rooted_) {
            return refused("two root elements");
        }
        rooted_ = true;
        out_.root = std::string(tag.name);
        if (tag.name == "interface") {
            TRY(out_.name, attribute(tag, "name"));
        }
        depth_ += tag.empty ? 0 : 1;
        return {};
    }
    if (depth_ == 1) {
        return child(tag);
    }
    depth_ += tag.empty ? 0 : 1;
    return {};
}

// At '<'.
Result<void> Peeker::markup() {
    if (starts("<!--")) {
        at_ += 4;
        return skip("-->");
    }
    if (starts("<![CDATA[")) {
        return skip("]]>");
    }
    if (starts("<!")) {
        return refused("a document type");
    }
    if (starts("<?")) {
        const std::size_t from = at_;
        TRY_OK(skip("?>"));
        const std::string_view declaration = in_.substr(from, at_ - from);
        if (declaration.contains("encoding") && !declaration.contains("\"UTF-8\"") &&
            !declaration.contains("'UTF-8'") && !declaration.contains("\"utf-8\"") &&
            !declaration.contains("'utf-8'")) {
            return refused("an encoding other than UTF-8");
        }
        return {};
    }
    TRY(const Tag found, tag());
    if (!found.closing) {
        return open(found);
    }
    if (depth_ == 0) {
        return refused("a closing tag too many");
    }
    --depth_;
    return {};
}

Result<Peeked> Peeker::run() {
    // A byte order mark of UTF-16 or UTF-32, or their zeros, would be text to us and markup to others.
    if (in_.contains('\0') || in_.starts_with("\xff\xfe") || in_.starts_with("\xfe\xff")) {
        return refused("an encoding other than UTF-8");
    }
    for (at_ = in_.find('<'); at_ < in_.size(); at_ = in_.find('<', at_)) {
        TRY_OK(markup());
    }
    if (!rooted_ || depth_ != 0) {
        return refused("an element does not end");
    }
    return std::move(out_);
}

}  // namespace

Result<Peeked> peek_xml(std::string_view xml) { return Peeker(xml).run(); }

}  // namespace bascule::daemon
