// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::Value;

// The name is also the last part of the socket's path, and QEMU's option parser sees it.
constexpr Value<std::string> kPortName{
    "a name of 1 to 64 letters, digits, '.', '-' and '_', not beginning with '.'", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 64 && t[0] != '.' && std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
                   c == '_';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};
// sockaddr_un (unix(7)) holds 107 bytes and a zero.
constexpr Value<std::string> kSocketPath{
    "an absolute path of at most 107 bytes", [](std::string_view t) {
        return t.starts_with('/') && t.size() <= 107 ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr Value<unsigned> kController{"a controller's index, 0 to 255", xml::parse_number<unsigned, 0, 255>};
constexpr Value<unsigned> kPort{"a virtio-serial port, 1 to 30", xml::parse_number<unsigned, 1, 30>};

// Empty: the daemon's choice. Its own paths, in what a running guest said, are no wish.
Result<std::string> read_socket(const Node& node) {
    Reader r(node);
    only(r, "mode", "bind");
    auto path = r.opt("path", kSocketPath);
    refuse_children(r, {"reconnect", "seclabel"});
    TRY_OK(r.finish());
    return path && !path->contains(kChannelFolder) ? *path : std::string();
}

Result<std::string> read_target(const Node& node) {
    Reader r(node);
    only(r, "type", "virtio");
    if (!r.opt("type", xml::kText)) {
        r.report(Fault::Kind::missing, "type", "'virtio'", {});
    }
    auto name = r.opt("name", kPortName);
    r.ignore_attr("state");  // of a running guest
    TRY_OK(r.finish());
    return name.value_or("");
}

Result<VirtioSerialAddress> read_address(const Node& node) {
    Reader r(node);
    VirtioSerialAddress out;
    only(r, "type", "virtio-serial");
    out.controller = r.get("controller", kController, 0);
    only(r, "bus", "0");
    // 0 stands for "the next" when it was left out.
    out.port = r.get("port", kPort, 0);
    TRY_OK(r.finish());
    return out;
}

}  // namespace

Result<Channel> read_channel(const Node& node) {
    Reader r(node);
    Channel out;
    if (const auto backend = one_of(r, "type", kChannelBackends)) {
        out.backend = *backend;
    } else {
        r.report(Fault::Kind::missing, "type", kChannelBackends.choices(), {});
    }
    if (out.backend == Channel::Backend::socket) {
        out.path = r.parse_child("source", read_socket).value_or("");
    } else {
        r.ignore_child("source");  // of a running guest: the pty is QEMU's choice
    }
    r.req_child("target");
    out.name = r.parse_child("target", read_target).value_or("");
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_address);
    refuse_children(r, {"log", "protocol"});
    if (out.backend == Channel::Backend::socket && out.path.empty() && out.name.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "give <target name=> or <source path=>, so that it can be found", {});
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
