// SPDX-License-Identifier: GPL-2.0-or-later
// The devices of a guest's definition (spec.h): plain values, as written and then completed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/names.h"
#include "base/net.h"

namespace bascule::vmm {

// Members have initialisers, `{}` too, so that a designated initialiser may leave any of them out.

struct PciAddress {
    std::uint16_t domain = 0;
    std::uint8_t bus = 0, slot = 0, function = 0;  // slot 0..31, function 0..7
    auto operator<=>(const PciAddress&) const = default;
};

enum class NicModel { virtio, e1000, e1000e, rtl8139 };
enum class NicBackend { automatic, qemu, vhost };  // <driver name=>

// A reference to an nwfilter. A name may repeat: its values form a list, in order.
struct FilterRef {
    std::string filter{};
    std::vector<std::pair<std::string, std::string>> parameters{};
    bool operator==(const FilterRef&) const = default;
};

// What a NIC has only while the guest runs.
struct NicLive {
    IfName target;         // the tap
    std::string bridge{};  // the bridge that it is on
    bool vhost = false;    // whether the kernel's vhost-net serves it
    bool operator==(const NicLive&) const = default;
};

struct Interface {
    enum class Type { network, bridge };
    Type type = Type::network;
    std::string source{};          // the network's or the bridge's name
    std::optional<MacAddr> mac{};  // always there after complete()
    NicModel model = NicModel::rtl8139;
    NicBackend backend = NicBackend::automatic;
    std::optional<unsigned> queues{};  // virtio only; 1..256
    std::optional<IfName> target{};    // a name the user wants for the tap; none: the daemon's choice
    bool link_up = true;
    std::optional<bool> link_state{};  // as written, for format(); link_up is what it means
    std::optional<std::uint32_t> mtu{};
    std::optional<FilterRef> filter{};
    std::optional<unsigned> boot_order{};  // 1 is first
    bool rom = true;                       // <rom enabled='no'/> clears it
    std::string alias{};                   // the user's own ("ua-…"), else empty
    std::optional<PciAddress> address{};   // always there after complete()
    std::optional<NicLive> live{};
    bool operator==(const Interface&) const = default;

    unsigned queue_count() const { return queues.value_or(1); }
};

// A serial port on a pseudo-terminal. The first one is the guest's console too.
struct Serial {
    unsigned port = 0;    // 0..3
    std::string alias{};  // the user's own, else empty
    std::string tty{};    // running guest: /dev/pts/N
    bool operator==(const Serial&) const = default;
};

// What a channel has only while the guest runs.
struct ChannelLive {
    std::string path{};      // of the socket, or of the pseudo-terminal
    bool connected = false;  // whether a program of the guest has opened its end
    bool operator==(const ChannelLive&) const = default;
};

// A port of a virtio-serial controller.
struct VirtioSerialAddress {
    unsigned controller = 0, port = 0;  // port 0 is kept for a console
    bool operator==(const VirtioSerialAddress&) const = default;
};

// A stream between a program of the guest and one of the host: a named virtio-serial port there, here a socket that
// listens (the guest agent's way) or a pseudo-terminal.
struct Channel {
    enum class Backend { socket, pty };
    Backend backend = Backend::socket;
    std::string path{};                            // socket: the user's wish; empty: the daemon's choice
    std::string name{};                            // what the guest finds it by; may be empty with a path
    std::string alias{};                           // the user's own, else empty
    std::optional<VirtioSerialAddress> address{};  // always there after complete()
    std::optional<ChannelLive> live{};
    bool operator==(const Channel&) const = default;
};

// What other devices hang on.
struct Controller {
    enum class Type { virtio_serial };
    Type type = Type::virtio_serial;
    unsigned index = 0;
    std::optional<unsigned> ports{};
    std::string alias{};                  // the user's own, else empty
    std::optional<PciAddress> address{};  // always there after complete()
    bool operator==(const Controller&) const = default;
};

// A virtio device with nothing but a place.
struct PlainDevice {
    std::string alias{};
    std::optional<PciAddress> address{};
    bool operator==(const PlainDevice&) const = default;
};

}  // namespace bascule::vmm
