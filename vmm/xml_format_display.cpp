// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm::parts {

void write_input(Writer& w, const Spec& spec, std::size_t index, View view) {
    const Input& one = spec.inputs[index];
    const Writer::Attrs attrs{{"type", std::string(kInputTypes.name(one.type))},
                              {"bus", std::string(kInputBuses.name(one.bus))}};
    if (one.bus == Input::Bus::ps2 && one.alias.empty() && !view.running) {
        w.empty("input", attrs);
        return;
    }
    w.open("input", attrs);
    write_alias(w, one.alias, input_alias(spec, index), view.running);
    write_address(w, one.usb);
    write_address(w, one.address);
    w.close();
}

// The attributes say once more what <listen> says, for clients that read only those.
void write_graphics(Writer& w, const Graphics& one, View view) {
    const GraphicsLive live = view.running ? one.live.value_or(GraphicsLive{}) : GraphicsLive{};
    const bool tcp = one.listen != Graphics::Listen::socket;
    const std::string address = !live.address.empty()                     ? live.address
                                : one.listen == Graphics::Listen::address ? one.place
                                                                          : "";
    const std::string socket = !live.socket.empty() ? live.socket : tcp ? "" : one.place;
    const std::string port = live.port != 0 ? std::to_string(live.port) : one.port ? number(one.port) : "-1";
    const std::string websocket = live.websocket != 0              ? std::to_string(live.websocket)
                                  : one.websocket.value_or(1) == 0 ? "-1"
                                                                   : number(one.websocket);
    w.open("graphics", present({{"type", "vnc"},
                                {"port", tcp ? port : ""},
                                {"autoport", tcp ? yes_no(!one.port) : ""},
                                {"websocket", websocket},
                                {"listen", tcp ? address : ""},
                                {"socket", socket},
                                {"keymap", one.keymap},
                                {"passwd", view.secrets ? one.password.value_or("") : ""},
                                {"passwdValidTo", view.secrets ? one.password_valid_to : ""},
                                {"sharePolicy", std::string(kShares.name(one.share))}}));
    w.empty("listen", present({{"type", std::string(kListens.name(one.listen))},
                               {"network", one.listen == Graphics::Listen::network ? one.place : ""},
                               {"address", tcp ? address : ""},
                               {"socket", socket}}));
    w.close();
}

void write_sound(Writer& w, const Spec& spec, std::size_t index, View view) {
    const Sound& one = spec.sounds[index];
    w.open("sound", {{"model", std::string(kSoundModels.name(one.model))}});
    write_alias(w, one.alias, sound_alias(spec, index), view.running);
    write_address(w, one.address);
    w.close();
}

void write_video(Writer& w, const Spec& spec, std::size_t index, View view) {
    const Video& one = spec.videos[index];
    w.open("video");
    w.empty("model", present({{"type", std::string(kVideoModels.name(one.model))},
                              {"vram", number(one.vram_kib)},
                              {"heads", std::to_string(one.heads)},
                              {"primary", "yes"}}));
    write_alias(w, one.alias, video_alias(spec, index), view.running);
    write_address(w, one.address);
    w.close();
}

}  // namespace bascule::vmm::parts
