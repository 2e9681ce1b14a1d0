// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include "vmm/compile.h"
#include "vmm/defaults.h"

namespace bascule::test {

// Identities that are the same in every run.
inline vmm::Fresh counted() {
    auto count = std::make_shared<std::uint8_t>(std::uint8_t{0});
    return {.uuid =
                [] {
                    Uuid uuid;
                    uuid.octets = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88,
                                   0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00};
                    return uuid;
                },
            .mac = [count] { return MacAddr{{0x52, 0x54, 0, 0, 0, ++*count}}; }};
}

// vhost where the definition insists on it.
inline std::vector<vmm::NicPlan> plans(const vmm::Spec& spec) {
    std::vector<vmm::NicPlan> out;
    for (const vmm::Interface& nic : spec.interfaces) {
        out.push_back({nic.backend == vmm::NicBackend::vhost});
    }
    return out;
}

inline void pretend_running(vmm::Spec& spec) {
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        vmm::Interface& nic = spec.interfaces[i];
        if (!nic.has_tap()) {
            continue;
        }
        const auto name = nic.target.value_or(*IfName::parse(fmt::format("vnet{}", i)));
        nic.live = vmm::NicLive{name,
                                nic.type == vmm::Interface::Type::bridge    ? nic.source
                                : nic.type == vmm::Interface::Type::network ? "virbr0"
                                                                            : "",
                                false};
    }
    for (std::size_t i = 0; i < spec.serials.size(); ++i) {
        spec.serials[i].tty = fmt::format("/dev/pts/{}", 5 + i);
    }
    for (vmm::Graphics& one : spec.graphics) {
        const bool socket = one.listen == vmm::Graphics::Listen::socket;
        one.live = vmm::GraphicsLive{};
        if (socket) {
            one.live->socket = one.place.empty() ? "/run/bascule/display/3-vnc" : one.place;
        } else {
            one.live->address = one.listen == vmm::Graphics::Listen::network ? "192.168.122.1"
                                : one.place.empty()                          ? "127.0.0.1"
                                                                             : one.place;
            one.live->port = one.port.value_or(5901);
            one.live->websocket = one.websocket ? (*one.websocket == 0 ? 5701 : *one.websocket) : 0;
        }
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        vmm::Channel& channel = spec.channels[i];
        const bool pty = channel.backend == vmm::Channel::Backend::pty;
        const std::string path = fmt::format("/run/bascule/channel/3-{}", channel.name);
        channel.live = vmm::ChannelLive{pty                    ? fmt::format("/dev/pts/{}", 9 + i)
                                        : channel.path.empty() ? path
                                                               : channel.path,
                                        i == 0};
    }
}

// An option a line, then what each descriptor is.
inline std::string to_text(const vmm::Launch& launch) {
    std::string out = launch.program;
    for (const std::string& arg : launch.args) {
        out += (arg.starts_with('-') ? "\n" : " ") + arg;
    }
    out += "\n";
    for (std::size_t i = 0; i < launch.slots.size(); ++i) {
        const vmm::Slot& slot = launch.slots[i];
        const auto what = [&] {
            switch (slot.kind) {
                case vmm::Slot::Kind::monitor: return std::string("monitor");
                case vmm::Slot::Kind::channel: return fmt::format("channel {}", slot.index);
                case vmm::Slot::Kind::disk: return fmt::format("image {} of disk {}", slot.queue, slot.index);
                case vmm::Slot::Kind::tap: return fmt::format("tap of nic {} queue {}", slot.index, slot.queue);
                case vmm::Slot::Kind::passt: return fmt::format("passt of nic {}", slot.index);
                case vmm::Slot::Kind::vhost: return fmt::format("vhost of nic {} queue {}", slot.index, slot.queue);
            }
            return std::string();
        }();
        out += fmt::format("fd {}: {}\n", 3 + i, what);
    }
    return out;
}

}  // namespace bascule::test
