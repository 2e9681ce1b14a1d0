// SPDX-License-Identifier: GPL-2.0-or-later
// <input>, <graphics>, <video>, <sound>: what a person sits at.
#include <algorithm>

#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

// QEMU counts displays from 5900 on; -1 is "a free one".
constexpr Value<int> kPort{"-1 or a port, 5900 to 65535", [](std::string_view t) {
                               const auto number = xml::parse_number<int, -1, 65535>(t);
                               return number && (*number == -1 || *number >= 5900) ? number : std::nullopt;
                           }};
constexpr Value<int> kWebsocket{"-1 or a port, 1 to 65535", [](std::string_view t) {
                                    const auto number = xml::parse_number<int, -1, 65535>(t);
                                    return number && *number != 0 ? number : std::nullopt;
                                }};
// What stands in QEMU's options: no commas, no spaces.
constexpr Value<std::string> kHost{
    "an IP address or a host's name", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 253 && std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
                   c == ':' || c == '%' || c == '_';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr Value<std::string> kKeymap{
    "a keymap's name (en-us)", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 32 && std::ranges::all_of(t, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr Value<std::string> kSocket{"an absolute path of at most 107 bytes", [](std::string_view t) {
                                         return t.starts_with('/') && t.size() <= 107 ? std::optional(std::string(t))
                                                                                      : std::nullopt;
                                     }};
constexpr Value<ObjectName> kNetwork{"a network's name", ObjectName::parse};
// RFB's own log-in looks at eight bytes and no more: a longer password would be a promise not kept.
constexpr Value<std::string> kPassword{"a password of at most 8 bytes", [](std::string_view t) {
                                           return t.size() <= 8 ? std::optional(std::string(t)) : std::nullopt;
                                       }};
constexpr Value<std::string> kTime{"a time, YYYY-MM-DDThh:mm:ss", [](std::string_view t) {
                                       return parse_utc(t) ? std::optional(std::string(t)) : std::nullopt;
                                   }};
constexpr Value<unsigned> kVram{"KiB of video memory, 1024 to 262144, a power of two", [](std::string_view t) {
                                    const auto number = xml::parse_number<unsigned, 1024, 262144>(t);
                                    return number && (*number & (*number - 1)) == 0 ? number : std::nullopt;
                                }};
constexpr Value<unsigned> kHeads{"a number of heads, 1 to 16", xml::parse_number<unsigned, 1, 16>};

// The daemon's own paths, in what a running guest said, are no wish.
std::string wished(const std::optional<std::string>& path) {
    return path && !path->contains(kDisplayFolder) ? *path : std::string();
}

Result<void> read_listen(const Node& node, Graphics& out) {
    Reader r(node);
    if (const auto type = one_of(r, "type", kListens)) {
        out.listen = *type;
    } else {
        r.report(Fault::Kind::missing, "type", kListens.choices(), {});
    }
    switch (out.listen) {
        case Graphics::Listen::address: out.place = r.opt("address", kHost).value_or(""); break;
        case Graphics::Listen::network:
            if (const auto name = r.req("network", kNetwork)) {
                out.place = name->str();
            }
            r.ignore_attr("address");  // of a running guest
            break;
        case Graphics::Listen::socket: out.place = wished(r.opt("socket", kSocket)); break;
    }
    return r.finish();
}

// The older ways to say where: attributes of <graphics> itself, which must agree with <listen>.
void read_listen_attributes(Reader& r, Graphics& out, bool has_listen) {
    const auto address = r.opt("listen", kHost);
    const auto socket = r.opt("socket", kSocket);
    if (!has_listen) {
        out.listen = socket ? Graphics::Listen::socket : Graphics::Listen::address;
        out.place = socket ? wished(socket) : address.value_or("");
    } else if (address && out.listen == Graphics::Listen::address && *address != out.place) {
        r.report(Fault::Kind::inconsistent, "listen", fmt::format("<listen> says '{}'", out.place), *address);
    }
}

void read_password(Reader& r, Graphics& out) {
    out.password = r.opt("passwd", kPassword);
    out.password_valid_to = r.opt("passwdValidTo", kTime).value_or("");
    if (!out.password && !out.password_valid_to.empty()) {
        r.report(Fault::Kind::inconsistent, "passwdValidTo", "needs a passwd", {});
    }
    r.not_supported_attr("connected");
    r.not_supported_attr("powerControl");
}

}  // namespace

Result<Input> read_input(const Node& node) {
    Reader r(node);
    Input out;
    if (const auto type = one_of(r, "type", kInputTypes)) {
        out.type = *type;
    } else {
        r.report(Fault::Kind::missing, "type", kInputTypes.choices(), {});
    }
    const auto bus = one_of(r, "bus", kInputBuses);
    out.bus = bus.value_or(out.type == Input::Type::tablet ? Input::Bus::usb : Input::Bus::ps2);
    if (out.bus == Input::Bus::ps2 && out.type == Input::Type::tablet) {
        r.report(Fault::Kind::inconsistent, "bus", "a tablet needs bus 'usb' or 'virtio'", "ps2");
    }
    r.not_supported_attr("model");
    out.alias = r.parse_child("alias", read_alias).value_or("");
    if (out.bus == Input::Bus::usb) {
        out.usb = r.parse_child("address", read_usb_address);
    } else if (out.bus == Input::Bus::virtio) {
        out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    }
    refuse_children(r, {"driver", "source"});
    TRY_OK(r.finish());
    return out;
}

Result<Graphics> read_graphics(const Node& node) {
    Reader r(node);
    Graphics out;
    only(r, "type", "vnc");
    if (!r.opt("type", kText)) {
        r.report(Fault::Kind::missing, "type", "'vnc'", {});
    }
    const auto listens = r.children("listen");
    if (listens.size() > 1) {
        r.report(Fault::Kind::not_supported, {}, "more than one <listen>", {});
    } else if (!listens.empty() && r.ok()) {
        TRY_OK(read_listen(*listens.front(), out));
    }
    read_listen_attributes(r, out, !listens.empty());
    // The port of a running guest that has a free one is no wish.
    const bool automatic = r.get("autoport", xml::kYesNo, false);
    const int port = r.get("port", kPort, -1);
    const auto websocket = r.opt("websocket", kWebsocket);
    if (websocket) {
        out.websocket = *websocket == -1 || automatic ? 0U : static_cast<unsigned>(*websocket);
    }
    if (port != -1 && !automatic && out.listen != Graphics::Listen::socket) {
        out.port = static_cast<unsigned>(port);
    }
    out.keymap = r.opt("keymap", kKeymap).value_or("");
    out.share = one_of(r, "sharePolicy", kShares).value_or(Graphics::Share::absent);
    read_password(r, out);
    r.not_supported_child("audio");
    TRY_OK(r.finish());
    return out;
}

Result<std::optional<Video>> read_video(const Node& node) {
    Reader r(node);
    Video out;
    bool none = false;
    r.req_child("model");
    if (const Node* const model = r.child("model")) {
        Reader m(*model);
        none = model->attr("type") != nullptr && *model->attr("type") == "none";
        if (none) {
            m.ignore_attr("type");
        } else if (const auto type = one_of(m, "type", kVideoModels)) {
            out.model = *type;
        } else {
            m.report(Fault::Kind::missing, "type", kVideoModels.choices(), {});
        }
        out.vram_kib = m.opt("vram", kVram);
        out.heads = m.get("heads", kHeads, 1);
        only(m, "primary", "yes");
        if (out.heads > 1 && out.model != Video::Model::virtio) {
            m.report(Fault::Kind::inconsistent, "heads", "more than one needs type='virtio'", {});
        }
        refuse_attributes(m, {"blob", "ram", "vgamem", "vram64"});
        refuse_children(m, {"acceleration", "resolution"});
        TRY_OK(m.finish());
    }
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    r.not_supported_child("driver");
    TRY_OK(r.finish());
    return none ? std::nullopt : std::optional(out);
}

Result<Sound> read_sound(const Node& node) {
    Reader r(node);
    Sound out;
    if (const auto model = one_of(r, "model", kSoundModels)) {
        out.model = *model;
    } else {
        r.report(Fault::Kind::missing, "model", kSoundModels.choices(), {});
    }
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    refuse_children(r, {"codec"});
    if (const Node* const audio = r.child("audio")) {
        Reader a(*audio);
        only(a, "id", "1");
        TRY_OK(a.finish());
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
