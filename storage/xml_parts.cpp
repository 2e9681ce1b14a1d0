// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/xml_parts.h"

#include <charconv>

#include <fmt/format.h>

namespace bascule::storage {

using xml::Fault;
using xml::Reader;

namespace {

// -1 is what the peer writes for "nothing was asked for".
constexpr xml::Value<std::int64_t> kAccount{"the number of a user or group, or -1",
                                            xml::parse_number<std::int64_t, -1, 4294967294>};
constexpr xml::Value<std::uint32_t> kMode{"an octal mode such as 0644", [](std::string_view text) {
                                              std::uint32_t value = 0;
                                              const auto [stop, ec] =
                                                  std::from_chars(text.data(), text.data() + text.size(), value, 8);
                                              const bool whole = ec == std::errc() && stop == text.data() + text.size();
                                              return whole && value <= 07777 ? std::optional(value) : std::nullopt;
                                          }};
constexpr xml::Value<std::uint64_t> kNumber{"a whole number", xml::parse_number<std::uint64_t>};

std::optional<std::uint32_t> known(std::optional<std::int64_t> account) {
    return account && *account >= 0 ? std::optional(static_cast<std::uint32_t>(*account)) : std::nullopt;
}

}  // namespace

Result<void> check_root(const xml::Node& root, std::string_view wanted) {
    if (root.name != wanted || !root.ns.empty()) {
        return fail(Code::invalid_xml, fmt::format("unexpected root element <{}>, expecting <{}>", root.name, wanted));
    }
    return {};
}

Result<Permissions> parse_permissions(const xml::Node& node) {
    Reader r(node);
    Permissions out;
    out.mode = r.child_text("mode", kMode);
    out.owner = known(r.child_text("owner", kAccount));
    out.group = known(r.child_text("group", kAccount));
    r.not_supported_child("label", "security labels");
    TRY_OK(r.finish());
    return out;
}

Result<std::uint64_t> parse_bytes(const xml::Node& node) {
    Reader r(node);
    const auto unit = r.get("unit", xml::kText, "bytes");
    const auto value = r.text(kNumber);
    const auto bytes = value ? scaled(*value, unit) : std::nullopt;
    if (value && !bytes) {
        const bool is_unit = scaled(0, unit).has_value();
        r.report(is_unit ? Fault::Kind::inconsistent : Fault::Kind::malformed, is_unit ? "" : "unit",
                 is_unit ? "more bytes than 64 bits can count" : "a unit such as 'bytes', 'KiB', 'GB' or 'G'",
                 is_unit ? node.text : unit);
    }
    TRY_OK(r.finish());
    return *bytes;
}

void write_bytes(xml::Writer& w, std::string_view name, std::uint64_t value) {
    w.leaf(name, std::to_string(value), {{"unit", "bytes"}});
}

void write_permissions(xml::Writer& w, const Permissions& permissions) {
    if (!permissions.mode && !permissions.owner && !permissions.group) {
        return;
    }
    w.open("permissions");
    if (permissions.mode) {
        w.leaf("mode", fmt::format("0{:03o}", *permissions.mode));
    }
    if (permissions.owner) {
        w.leaf("owner", std::to_string(*permissions.owner));
    }
    if (permissions.group) {
        w.leaf("group", std::to_string(*permissions.group));
    }
    w.close();
}

}  // namespace bascule::storage
