// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm::parts {

namespace {

void write_serial(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Serial& serial = spec.serials[index];
    w.open("serial", {{"type", "pty"}});
    if (running && !serial.tty.empty()) {
        w.empty("source", {{"path", serial.tty}});
    }
    w.open("target", {{"type", "isa-serial"}, {"port", std::to_string(serial.port)}});
    w.empty("model", {{"name", "isa-serial"}});
    w.close();
    write_alias(w, serial.alias, serial_alias(spec, index), running);
    w.close();
}

void write_console(Writer& w, const Spec& spec, bool running) {
    const Serial& serial = spec.serials.front();
    const std::string tty = running ? serial.tty : std::string();
    w.open("console", present({{"type", "pty"}, {"tty", tty}}));
    if (!tty.empty()) {
        w.empty("source", {{"path", tty}});
    }
    w.empty("target", {{"type", "serial"}, {"port", std::to_string(serial.port)}});
    write_alias(w, serial.alias, serial_alias(spec, 0), running);
    w.close();
}

void write_channel(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Channel& channel = spec.channels[index];
    const ChannelLive live = running ? channel.live.value_or(ChannelLive{}) : ChannelLive{};
    w.open("channel", {{"type", std::string(kChannelBackends.name(channel.backend))}});
    const std::string& path = live.path.empty() ? channel.path : live.path;
    if (channel.backend == Channel::Backend::socket) {
        w.empty("source", present({{"mode", "bind"}, {"path", path}}));
    } else if (!path.empty()) {
        w.empty("source", {{"path", path}});
    }
    const std::string_view state = !running ? "" : live.connected ? "connected" : "disconnected";
    w.empty("target", present({{"type", "virtio"}, {"name", channel.name}, {"state", std::string(state)}}));
    write_alias(w, channel.alias, channel_alias(spec, index), running);
    if (channel.address) {
        w.empty("address", {{"type", "virtio-serial"},
                            {"controller", std::to_string(channel.address->controller)},
                            {"bus", "0"},
                            {"port", std::to_string(channel.address->port)}});
    }
    w.close();
}

void write_balloon(Writer& w, const Spec& spec, bool running) {
    if (!spec.balloon) {
        w.empty("memballoon", {{"model", "none"}});
        return;
    }
    const Balloon& balloon = *spec.balloon;
    w.open("memballoon", present({{"model", "virtio"},
                                  {"autodeflate", on_off(balloon.autodeflate)},
                                  {"freePageReporting", on_off(balloon.free_page_reporting)}}));
    if (balloon.stats_period) {
        w.empty("stats", {{"period", number(balloon.stats_period)}});
    }
    write_alias(w, balloon.alias, balloon_alias(spec), running);
    write_address(w, balloon.address);
    w.close();
}

void write_rng(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Rng& rng = spec.rngs[index];
    w.open("rng", {{"model", "virtio"}});
    if (rng.rate_bytes) {
        w.empty("rate", present({{"bytes", number(rng.rate_bytes)}, {"period", number(rng.rate_period)}}));
    }
    w.leaf("backend", rng.source, {{"model", "random"}});
    write_alias(w, rng.alias, rng_alias(spec, index), running);
    write_address(w, rng.address);
    w.close();
}

void write_watchdog(Writer& w, const Spec& spec, std::size_t index, bool running) {
    const Watchdog& one = spec.watchdogs[index];
    w.open("watchdog", {{"model", std::string(kWatchdogModels.name(one.model))},
                        {"action", std::string(kWatchdogActions.name(one.action))}});
    write_alias(w, one.alias, watchdog_alias(spec, index), running);
    write_address(w, one.address);
    w.close();
}

void write_streams(Writer& w, const Spec& spec, bool running) {
    for (std::size_t i = 0; i < spec.serials.size(); ++i) {
        write_serial(w, spec, i, running);
    }
    if (!spec.serials.empty()) {
        write_console(w, spec, running);
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        write_channel(w, spec, i, running);
    }
}

void write_seat(Writer& w, const Spec& spec, View view) {
    for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
        write_input(w, spec, i, view);
    }
    for (const Graphics& graphics : spec.graphics) {
        write_graphics(w, graphics, view);
    }
    for (std::size_t i = 0; i < spec.sounds.size(); ++i) {
        write_sound(w, spec, i, view);
    }
    if (spec.audio_none) {
        w.empty("audio", {{"id", "1"}, {"type", "none"}});
    }
    for (std::size_t i = 0; i < spec.videos.size(); ++i) {
        write_video(w, spec, i, view);
    }
    if (spec.video_none) {
        w.open("video");
        w.empty("model", {{"type", "none"}});
        w.close();
    }
}

}  // namespace

void write_devices(Writer& w, const Spec& spec, View view) {
    w.open("devices");
    w.leaf("emulator", spec.emulator);
    for (const Disk& disk : spec.disks) {
        write_disk(w, disk, view);
    }
    write_controllers(w, spec, view);
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        write_interface(w, spec, i, view.running);
    }
    write_streams(w, spec, view.running);
    write_seat(w, spec, view);
    for (std::size_t i = 0; i < spec.watchdogs.size(); ++i) {
        write_watchdog(w, spec, i, view.running);
    }
    write_balloon(w, spec, view.running);
    for (std::size_t i = 0; i < spec.rngs.size(); ++i) {
        write_rng(w, spec, i, view.running);
    }
    w.close();
}

}  // namespace bascule::vmm::parts
