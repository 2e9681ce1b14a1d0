// SPDX-License-Identifier: GPL-2.0-or-later
// Reading an element so that nothing in it is silently dropped.
//
// A Reader wraps one element. What is asked for is thereby known; finish() then refuses whatever the
// document holds beyond it, with line and, where a known name is close, "did you mean". The first
// fault latches: later calls return nothing and finish() reports the first. So a parser reads all it
// wants, calls finish() once, and only then uses the values:
//
//   xml::Reader r(node);
//   const auto start = r.req("start", kIpv4);
//   const auto end = r.req("end", kIpv4);
//   TRY_OK(r.finish());
//   return IpRange{*start, *end};
#pragma once

#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/net.h"
#include "base/result.h"
#include "base/xml.h"

namespace bascule::xml {

// What is wrong with a document; worded() turns it into "line 5: <port start>: expected a port number,
// got '8O'". Tests compare it field by field.
struct Fault {
    enum class Kind { missing, malformed, inconsistent, unknown_attribute, unknown_element, not_supported, repeated };
    Kind kind = Kind::malformed;
    int line = 0;
    std::string element, attribute;  // attribute empty: the element itself or its text
    std::string expected, got;
    bool operator==(const Fault&) const = default;
};
std::string worded(const Fault& fault);
// invalid_xml, or unsupported_config for Kind::not_supported and unknown names.
Error to_error(const Fault& fault);

// How to read one value, and the words for what was expected ("a port number").
template <class T>
struct Value {
    std::string_view expected;
    std::optional<T> (*parse)(std::string_view);
};

class Reader {
public:
    explicit Reader(const Node& node) : node_(node) {}

    const Node& node() const { return node_; }

    // An attribute that may be absent, must be present, or has a default.
    template <class T>
    std::optional<T> opt(std::string_view attr, const Value<T>& value) {
        const std::string* const text = raw_attr(attr);
        if (text == nullptr || fault_) {
            return std::nullopt;
        }
        auto parsed = value.parse(*text);
        if (!parsed) {
            report(Fault::Kind::malformed, attr, value.expected, *text);
        }
        return parsed;
    }
    template <class T>
    std::optional<T> req(std::string_view attr, const Value<T>& value) {
        auto parsed = opt(attr, value);
        if (!parsed && !fault_) {
            report(Fault::Kind::missing, attr, value.expected, {});
        }
        return parsed;
    }
    template <class T>
    T get(std::string_view attr, const Value<T>& value, std::type_identity_t<T> otherwise) {
        return opt(attr, value).value_or(std::move(otherwise));
    }

    // An attribute that is one of a table of names.
    template <class E, std::size_t N>
    std::optional<E> opt(std::string_view attr, const EnumNames<E, N>& names) {
        const std::string* const text = raw_attr(attr);
        if (text == nullptr || fault_) {
            return std::nullopt;
        }
        auto parsed = names.parse(*text);
        if (!parsed) {
            report(Fault::Kind::malformed, attr, names.choices(), *text);
        }
        return parsed;
    }
    template <class E, std::size_t N>
    E get(std::string_view attr, const EnumNames<E, N>& names, std::type_identity_t<E> otherwise) {
        return opt(attr, names).value_or(otherwise);
    }

    // The one child of that name, or null; a second one is a fault.
    const Node* child(std::string_view name);
    const Node* req_child(std::string_view name);
    // All children of that name, in document order.
    std::vector<const Node*> children(std::string_view name);

    // All children of that name in a namespace other than the document's.
    std::vector<const Node*> foreign(std::string_view ns, std::string_view name);

    // The element's text; the second form is for <child>text</child>, absent when there is no child.
    std::string text() const { return node_.text; }
    template <class T>
    std::optional<T> text(const Value<T>& value) {
        auto parsed = fault_ ? std::nullopt : value.parse(node_.text);
        if (!parsed && !fault_) {
            report(Fault::Kind::malformed, {}, value.expected, node_.text);
        }
        return parsed;
    }
    template <class T>
    std::optional<T> child_text(std::string_view name, const Value<T>& value) {
        const Node* const node = child(name);
        if (node == nullptr || fault_) {
            return std::nullopt;
        }
        auto parsed = value.parse(node->text);
        if (!parsed) {
            fault_ = Fault{Fault::Kind::malformed, node->line, node->name, {}, std::string(value.expected), node->text};
        }
        return parsed;
    }

    // Reads a child (or each) with a function Result<T>(const Node&); its error latches like a fault.
    template <class F>
    auto parse_child(std::string_view name, F parse)
        -> std::optional<typename decltype(parse(std::declval<const Node&>()))::value_type> {
        const Node* const node = child(name);
        if (node == nullptr) {
            return std::nullopt;
        }
        return take(parse(*node));
    }
    template <class F>
    auto parse_children(std::string_view name, F parse)
        -> std::vector<typename decltype(parse(std::declval<const Node&>()))::value_type> {
        std::vector<typename decltype(parse(std::declval<const Node&>()))::value_type> out;
        for (const Node* const node : children(name)) {
            if (auto value = take(parse(*node))) {
                out.push_back(std::move(*value));
            }
        }
        return out;
    }

    // Known, accepted and without meaning for us: said so in a comment at the call.
    void ignore_attr(std::string_view attr) { raw_attr(attr); }
    void ignore_child(std::string_view name) { children(name); }
    // Valid in the peer's schema but not realised here: refused by name, whatever its content.
    void not_supported_attr(std::string_view attr, std::string_view why = {});
    void not_supported_child(std::string_view name, std::string_view why = {});

    // Reports a fault of the caller's own finding ("end is before start").
    void report(Fault::Kind kind, std::string_view attr, std::string_view expected, std::string_view got);
    void report_error(Error error);
    bool ok() const { return !fault_ && !error_; }

    // The first fault, else whatever was not asked for, else nothing.
    Result<void> finish();

private:
    template <class T>
    std::optional<T> take(Result<T> result) {
        if (result) {
            return std::move(*result);
        }
        report_error(std::move(result).error());
        return std::nullopt;
    }
    const std::string* raw_attr(std::string_view attr);

    const Node& node_;
    std::set<std::string, std::less<>> known_attrs_, known_children_, known_foreign_;  // the last: "ns name"
    std::optional<Fault> fault_;
    std::optional<Error> error_;
};

// ---- values that many documents use ------------------------------------------------------------

template <std::integral T, T Min = std::numeric_limits<T>::min(), T Max = std::numeric_limits<T>::max()>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = ec == std::errc() && stop == text.data() + text.size();
    return whole && value >= Min && value <= Max ? std::optional(value) : std::nullopt;
}

inline constexpr Value<std::string> kText{"text", [](std::string_view t) { return std::optional(std::string(t)); }};
inline constexpr Value<MacAddr> kMac{"a MAC address", parse_mac};
inline constexpr Value<Ip> kIp{"an IP address", parse_ip};
inline constexpr Value<Ip> kIpv4{"an IPv4 address", parse_ipv4};
inline constexpr Value<unsigned> kUnsigned{"a whole number", parse_number<unsigned>};
inline constexpr EnumNames<bool, 2> kYesNo{{{{"yes", true}, {"no", false}}}};
inline constexpr EnumNames<bool, 2> kOnOff{{{{"on", true}, {"off", false}}}};

}  // namespace bascule::xml
