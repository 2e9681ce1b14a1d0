// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr Value<unsigned> kSerialPort{"a serial port, 0 to 3", xml::parse_number<unsigned, 0, 3>};

// <serial> or <console>; a port of none is "the next".
struct CharDevice {
    std::optional<unsigned> port;
    std::string alias;
};

Result<std::optional<unsigned>> read_serial_target(const Node& node) {
    Reader r(node);
    only(r, "type", "isa-serial");
    const auto port = r.opt("port", kSerialPort);
    if (const Node* const model = r.child("model")) {
        Reader m(*model);
        only(m, "name", "isa-serial");
        TRY_OK(m.finish());
    }
    TRY_OK(r.finish());
    return port;
}

Result<std::optional<unsigned>> read_console_target(const Node& node) {
    Reader r(node);
    only(r, "type", "serial");
    const auto port = r.opt("port", kSerialPort);
    TRY_OK(r.finish());
    return port;
}

template <class ReadTarget>
Result<CharDevice> read_char_device(const Node& node, ReadTarget read_target) {
    Reader r(node);
    CharDevice out;
    only(r, "type", "pty");
    if (!r.opt("type", kText)) {
        r.report(Fault::Kind::missing, "type", "'pty'", {});
    }
    r.ignore_attr("tty");      // of a running guest
    r.ignore_child("source");  // likewise: the pty is QEMU's choice
    out.port = r.parse_child("target", read_target).value_or(std::nullopt);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    r.not_supported_child("log");
    r.not_supported_child("protocol");
    r.not_supported_child("address", "serial ports have their place by port number");
    TRY_OK(r.finish());
    return out;
}

}  // namespace

// The first console of a PC *is* its first serial port: either element alone makes both, as for the peer.
Result<void> read_serials(Reader& r, Spec& spec) {
    const auto serials =
        r.parse_children("serial", [](const Node& n) { return read_char_device(n, read_serial_target); });
    const auto consoles =
        r.parse_children("console", [](const Node& n) { return read_char_device(n, read_console_target); });
    if (!r.ok()) {
        return r.finish();
    }
    std::set<unsigned> taken;
    for (const CharDevice& device : serials) {
        if (device.port && !taken.insert(*device.port).second) {
            r.report(Fault::Kind::inconsistent, {}, fmt::format("two <serial> want port {}", *device.port), {});
        }
    }
    const auto add = [&](const CharDevice& device) {
        unsigned port = device.port.value_or(0);
        while (!device.port && taken.contains(port)) {
            ++port;
        }
        taken.insert(port);
        spec.serials.push_back({port, device.alias, {}});
    };
    std::ranges::for_each(serials, add);
    if (spec.serials.empty() && !consoles.empty()) {
        add(consoles.front());
    }
    if (spec.serials.size() > 4 || taken.size() > 4 || (!taken.empty() && *taken.rbegin() > 3)) {
        r.report(Fault::Kind::inconsistent, {}, "a PC has at most 4 serial ports", {});
    }
    if (consoles.size() > 1) {
        r.report(Fault::Kind::not_supported, {}, "more than one <console>; use <serial> for further ports", {});
    }
    return {};
}

}  // namespace bascule::vmm::parts
