// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metadata.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/xml.h"

namespace bascule::daemon {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Where the root element's "<" is: behind the declaration, comments and instructions. The text is well-formed.
std::size_t root_of(std::string_view text) {
    std::size_t at = text.find('<');
    while (at != std::string_view::npos) {
        const std::string_view rest = text.substr(at);
        const std::string_view end = rest.starts_with("<?") ? "?>" : rest.starts_with("<!--") ? "-->" : "";
        if (end.empty()) {
            return at;
        }
        at = text.find('<', text.find(end, at));
    }
    return 0;
}

// Without what may follow the root: comments, instructions, space.
std::string_view without_tail(std::string_view text) {
    for (;;) {
        text = text.substr(0, text.find_last_not_of(kSpace) + 1);
        const std::string_view open = text.ends_with("-->") ? "<!--" : text.ends_with("?>") ? "<?" : "";
        if (open.empty()) {
            return text;
        }
        text = text.substr(0, text.rfind(open));
    }
}

// Just behind the first tag; quoted values may hold '>'.
std::size_t end_of_tag(std::string_view text) {
    char quote = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (quote != 0) {
            quote = text[at] == quote ? 0 : quote;
        } else if (text[at] == '\'' || text[at] == '"') {
            quote = text[at];
        } else if (text[at] == '>') {
            return at + 1;
        }
    }
    return text.size();
}

// The root element and nothing around it, its name (prefix included) replaced and `attribute` put first.
std::string renamed(std::string_view text, std::string_view name, std::string_view attribute) {
    text = without_tail(text.substr(root_of(text)));
    const std::string_view old = text.substr(1, text.find_first_of(" \t\r\n/>", 1) - 1);
    const std::string head = attribute.empty() ? std::string(name) : fmt::format("{} {}", name, attribute);
    if (end_of_tag(text) == text.size()) {  // <a …/>
        return fmt::format("<{}{}", head, text.substr(1 + old.size()));
    }
    const std::size_t close = text.rfind("</");
    return fmt::format("<{}{}</{}>", head, text.substr(1 + old.size(), close - 1 - old.size()), name);
}

// The root's declaration of a namespace taken out.
std::string without_declaration(std::string text, const xml::Node& root) {
    const std::string attribute = root.prefix.empty() ? "xmlns" : "xmlns:" + root.prefix;
    const std::size_t end = end_of_tag(text);
    for (std::size_t at = text.find(attribute + "="); at != std::string::npos && at < end;
         at = text.find(attribute + "=", at + 1)) {
        const std::size_t quote = at + attribute.size() + 1;
        const std::size_t stop = text.find(text[quote], quote + 1);
        const std::size_t begin = text.find_last_not_of(kSpace, at - 1) + 1;
        if (begin < at && stop != std::string::npos) {
            text.erase(begin, stop + 1 - begin);
            break;
        }
    }
    return text;
}

std::string namespace_of(const std::string& raw) {
    const auto node = xml::parse(raw);
    return node ? node->ns : std::string();
}

// A prefix is a name without colon (Namespaces in XML 1.0); of those the plain ones.
bool is_prefix(std::string_view key) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const auto other = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
    return !key.empty() && letter(key.front()) && std::ranges::all_of(key, other) && !key.starts_with("xml");
}

}  // namespace

Result<std::string> get_note(const Notes& notes, std::int32_t type, const std::optional<std::string>& uri,
                             Code missing) {
    switch (type) {
        case note::kDescription:
        case note::kTitle: {
            const std::string& text = type == note::kTitle ? notes.title : notes.description;
            if (text.empty()) {
                return fail(missing, "Requested metadata element is not present");
            }
            return text;
        }
        case note::kElement: break;
        default: return fail(Code::invalid_argument, fmt::format("unknown metadata type {}", type));
    }
    if (!uri) {
        return fail(Code::invalid_argument, "the namespace of the metadata element is missing");
    }
    for (const std::string& raw : notes.metadata) {
        if (const auto node = xml::parse(raw); node && node->ns == *uri) {
            return without_declaration(renamed(raw, node->name, ""), *node);
        }
    }
    return fail(missing, "Requested metadata element is not present");
}

Result<void> set_note(Notes notes, std::int32_t type, const std::optional<std::string>& text,
                      const std::optional<std::string>& key, const std::optional<std::string>& uri) {
    if (type == note::kDescription || type == note::kTitle) {
        if (type == note::kTitle && text && text->find('\n') != std::string::npos) {
            return fail(Code::invalid_argument, "a title is one line: this one has more");
        }
        (type == note::kTitle ? notes.title : notes.description) = text.value_or("");
        return {};
    }
    if (type != note::kElement) {
        return fail(Code::invalid_argument, fmt::format("unknown metadata type {}", type));
    }
    if (!uri || uri->empty()) {
        return fail(Code::invalid_argument, "the namespace of the metadata element is missing");
    }
    std::optional<std::string> element;
    if (text) {
        if (!key || !is_prefix(*key)) {
            return fail(
                Code::invalid_argument,
                fmt::format("'{}' is no prefix for a metadata element: letters, digits, '-', '_' and '.', a letter "
                            "first",
                            key.value_or("")));
        }
        TRY(const xml::Node root, xml::parse(*text));
        element = renamed(*text, fmt::format("{}:{}", *key, root.name),
                          fmt::format("xmlns:{}='{}'", *key, xml::escape(*uri)));
        TRY(const xml::Node made, xml::parse(*element));
        if (made.ns != *uri) {
            return fail(Code::invalid_argument, fmt::format("the element has a namespace '{}' of its own", *key));
        }
    }
    std::erase_if(notes.metadata, [&](const std::string& raw) { return namespace_of(raw) == *uri; });
    if (element) {
        notes.metadata.push_back(std::move(*element));
    }
    return {};
}

}  // namespace bascule::daemon
