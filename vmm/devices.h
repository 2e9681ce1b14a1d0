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
#include "vmm/interface.h"
#include "vmm/pci_address.h"

namespace bascule::vmm {

// Members have initialisers, `{}` too, so that a designated initialiser may leave any of them out.

// A port of a USB controller; no hubs.
struct UsbAddress {
    unsigned bus = 0, port = 0;  // port 1 is the first; 0: the next free one
    bool operator==(const UsbAddress&) const = default;
};

// A place on a disk controller.
struct DriveAddress {
    unsigned controller = 0, bus = 0, target = 0, unit = 0;
    bool operator==(const DriveAddress&) const = default;
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

// What other devices hang on. The root of the PCI tree is not among them: it is always there.
struct Controller {
    enum class Type { usb, pci, ide, sata, scsi, virtio_serial };  // in the order of the document
    Type type = Type::virtio_serial;
    unsigned index = 0;                     // a PCI controller's is the number of the bus that it makes
    std::string model{};                    // a word of controllers.h; always there after complete()
    std::optional<unsigned> ports{};        // virtio-serial, xHCI
    std::optional<unsigned> master_port{};  // a USB companion: the first port that it shares
    std::optional<unsigned> chassis{};      // root ports, pci-bridge; always there after complete()
    std::optional<unsigned> port{};         // root ports; always there after complete()
    std::optional<bool> hotplug{};          // PCI ports
    std::string alias{};                    // the user's own, else empty
    std::optional<PciAddress> address{};    // always there after complete(), except what the chipset has anyway
    bool operator==(const Controller&) const = default;
};

struct Input {
    enum class Type { tablet, mouse, keyboard };
    enum class Bus { ps2, usb, virtio };  // the machines have PS/2 either way: such ones are only written out
    Type type = Type::tablet;
    Bus bus = Bus::usb;
    std::string alias{};
    std::optional<UsbAddress> usb{};
    std::optional<PciAddress> address{};
    bool operator==(const Input&) const = default;
};

struct Video {
    enum class Model { vga, cirrus, bochs, virtio };
    Model model = Model::vga;
    std::optional<unsigned> vram_kib{};  // not for virtio
    unsigned heads = 1;
    std::string alias{};
    std::optional<PciAddress> address{};
    bool operator==(const Video&) const = default;
};

// What a display has only while the guest runs.
struct GraphicsLive {
    unsigned port = 0;  // 0: none
    unsigned websocket = 0;
    std::string address{}, socket{};
    bool operator==(const GraphicsLive&) const = default;
};

// A display over VNC.
struct Graphics {
    enum class Listen { address, network, socket };
    enum class Share { absent, allow_exclusive, force_shared, ignore };
    std::optional<unsigned> port{};       // 5900 or more; none: QEMU takes a free one
    std::optional<unsigned> websocket{};  // 0: beside the port
    Listen listen = Listen::address;
    std::string place{};  // address, network's name or path; may be empty, but for a network
    std::string keymap{};
    Share share = Share::absent;
    std::optional<std::string> password{};
    std::string password_valid_to{};  // 2026-12-31T23:59:59, UTC
    std::optional<GraphicsLive> live{};
    bool operator==(const Graphics&) const = default;
};

struct Sound {
    enum class Model { ich6, ich9, ac97 };
    Model model = Model::ich9;
    std::string alias{};
    std::optional<PciAddress> address{};
    bool operator==(const Sound&) const = default;
};

struct Watchdog {
    enum class Model { i6300esb, ib700, itco };
    enum class Action { reset, shutdown, poweroff, pause, none, inject_nmi };
    Model model = Model::i6300esb;
    Action action = Action::reset;
    std::string alias{};
    std::optional<PciAddress> address{};  // i6300esb
    bool operator==(const Watchdog&) const = default;
};

struct Disk {
    enum class Type { file, block };
    enum class Device { disk, cdrom };
    enum class Bus { virtio, ide, sata, scsi, usb };
    enum class Format { raw, qcow2 };
    Type type = Type::file;
    Device device = Device::disk;
    Format format = Format::raw;
    std::string source{};  // empty: a drive without a medium
    std::string target{};  // "vda"
    Bus bus = Bus::virtio;
    bool readonly = false, shareable = false;
    std::string cache{}, io{}, discard{}, detect_zeroes{}, error_policy{}, rerror_policy{};  // checked words
    std::string serial{};
    std::optional<unsigned> boot_order{};
    std::string alias{};
    std::optional<PciAddress> address{};  // virtio
    std::optional<DriveAddress> drive{};  // ide, sata, scsi
    std::optional<UsbAddress> usb{};
    bool operator==(const Disk&) const = default;
};

struct Balloon {
    std::string alias{};
    std::optional<PciAddress> address{};
    std::optional<bool> autodeflate{}, free_page_reporting{};
    std::optional<unsigned> stats_period{};  // seconds
    bool operator==(const Balloon&) const = default;
};

struct Rng {
    std::string source = "/dev/urandom";  // or /dev/random
    std::optional<std::uint64_t> rate_bytes{}, rate_period{};
    std::string alias{};
    std::optional<PciAddress> address{};
    bool operator==(const Rng&) const = default;
};

}  // namespace bascule::vmm
