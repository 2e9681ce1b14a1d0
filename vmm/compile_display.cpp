// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/compile_builder.h"
#include "vmm/names.h"

namespace bascule::vmm {

namespace {

constexpr unsigned kFirstPort = 5900;     // RFB's display 0
constexpr unsigned kLastDisplay = 59635;  // port 65535

}  // namespace

void Builder::display() {
    for (std::size_t i = 0; i < spec_.inputs.size(); ++i) {
        input(i);
    }
    if (!spec_.sounds.empty()) {
        option("-audiodev", "none,id=audio1");
    }
    for (const Graphics& one : spec_.graphics) {
        graphics(one);
    }
    for (std::size_t i = 0; i < spec_.videos.size(); ++i) {
        video(i);
    }
    for (std::size_t i = 0; i < spec_.sounds.size(); ++i) {
        sound(i);
    }
}

void Builder::graphics(const Graphics& one) {
    std::string where;
    if (one.listen == Graphics::Listen::socket) {
        where = "unix:" + quoted(one.live ? one.live->socket : one.place);
    } else {
        std::string host = one.live ? one.live->address : one.listen == Graphics::Listen::address ? one.place : "";
        host = host.empty() ? "127.0.0.1" : host;
        host = host.contains(':') ? "[" + host + "]" : host;
        // Without a port of its own QEMU takes the first free one, and says which.
        where = one.port ? fmt::format("{}:{}", host, *one.port - kFirstPort)
                         : fmt::format("{}:0,to={}", host, kLastDisplay);
    }
    if (one.websocket) {
        where += *one.websocket == 0 ? ",websocket=on" : fmt::format(",websocket={}", *one.websocket);
    }
    if (one.share != Graphics::Share::absent) {
        where += fmt::format(",share={}", kShares.name(one.share));
    }
    if (one.password) {
        where += ",password=on";
    }
    option("-vnc", where);
    if (!one.keymap.empty()) {
        option("-k", one.keymap);
    }
}

void Builder::video(std::size_t index) {
    const Video& one = spec_.videos[index];
    std::string device;
    switch (one.model) {
        case Video::Model::vga: device = "VGA"; break;
        case Video::Model::cirrus: device = "cirrus-vga"; break;
        case Video::Model::bochs: device = "bochs-display"; break;
        case Video::Model::virtio: device = "virtio-vga"; break;
    }
    device += ",id=" + video_alias(spec_, index);
    if (one.model == Video::Model::virtio) {
        device += fmt::format(",max_outputs={}", one.heads);
    } else if (one.model == Video::Model::bochs) {
        device += fmt::format(",vgamem={}", std::uint64_t{*one.vram_kib} * 1024);
    } else {
        device += fmt::format(",vgamem_mb={}", *one.vram_kib / 1024);
    }
    option("-device", device + "," + place(one.address));
}

void Builder::sound(std::size_t index) {
    const Sound& one = spec_.sounds[index];
    const std::string alias = sound_alias(spec_, index);
    if (one.model == Sound::Model::ac97) {
        option("-device", fmt::format("AC97,id={},audiodev=audio1,{}", alias, place(one.address)));
        return;
    }
    option("-device", fmt::format("{},id={},{}", one.model == Sound::Model::ich6 ? "intel-hda" : "ich9-intel-hda",
                                  alias, place(one.address)));
    option("-device", fmt::format("hda-duplex,id={0}-codec0,bus={0}.0,cad=0,audiodev=audio1", alias));
}

void Builder::input(std::size_t index) {
    const Input& one = spec_.inputs[index];
    if (one.bus == Input::Bus::ps2) {
        return;
    }
    const bool usb = one.bus == Input::Bus::usb;
    std::string device;
    switch (one.type) {
        case Input::Type::tablet: device = usb ? "usb-tablet" : "virtio-tablet-pci"; break;
        case Input::Type::mouse: device = usb ? "usb-mouse" : "virtio-mouse-pci"; break;
        case Input::Type::keyboard: device = usb ? "usb-kbd" : "virtio-keyboard-pci"; break;
    }
    option("-device",
           fmt::format("{},id={},{}", device, input_alias(spec_, index), usb ? place(*one.usb) : place(one.address)));
}

}  // namespace bascule::vmm
