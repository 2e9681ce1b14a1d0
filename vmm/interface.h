// SPDX-License-Identifier: GPL-2.0-or-later
// A guest's NIC (<interface>): plain values, as written and then completed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "base/port_settings.h"
#include "vmm/pci_address.h"

namespace bascule::vmm {

// Members have initialisers, `{}` too, so that a designated initialiser may leave any of them out.

enum class NicModel {
    virtio,
    virtio_transitional,
    virtio_non_transitional,
    e1000,
    e1000e,
    rtl8139,
    igb,
    vmxnet3,
    ne2k_pci,
    pcnet,
};
inline bool is_virtio(NicModel model) {
    return model == NicModel::virtio || model == NicModel::virtio_transitional ||
           model == NicModel::virtio_non_transitional;
}
enum class NicBackend { automatic, qemu, vhost };  // <driver name=>
enum class NicTransmit { unsaid, iothread, timer };

// A switch of <driver>, <driver><host> or <driver><guest>, by its name there.
using NicSwitches = std::vector<std::pair<std::string, bool>>;

// A reference to an nwfilter. A name may repeat: its values form a list, in order.
struct FilterRef {
    std::string filter{};
    std::vector<std::pair<std::string, std::string>> parameters{};
    bool operator==(const FilterRef&) const = default;
};

// <ip>: the guest's own (type user), or the host's end of a tap (type ethernet, inside <source>).
struct NicIp {
    Ip address{};
    std::optional<unsigned> prefix{};  // none: all of it (ethernet), or what QEMU takes (user)
    std::optional<Ip> peer{};          // the other end of a point-to-point link
    bool operator==(const NicIp&) const = default;
};

struct NicRoute {
    Prefix destination{};
    Ip gateway{};
    std::uint32_t metric = 0;
    bool operator==(const NicRoute&) const = default;
};

// <portForward>, passt only.
struct PortForward {
    struct Range {
        std::uint16_t start = 0, end = 0, to = 0;  // end, to: 0 unsaid
        bool exclude = false;
        bool operator==(const Range&) const = default;
    };
    bool tcp = true;
    std::optional<Ip> address{};
    std::optional<IfName> device{};
    std::vector<Range> ranges{};
    bool operator==(const PortForward&) const = default;
};

// Where a frame is carried to: mcast, server, client, udp.
struct NicEndpoint {
    std::string address{};  // an IPv4 address or a host's name; may be empty for a server
    std::uint16_t port = 0;
    bool operator==(const NicEndpoint&) const = default;
};

// What a NIC has only while the guest runs. One that is not a device of the host has none.
struct NicLive {
    IfName target;         // the tap
    std::string bridge{};  // the bridge that it is on
    bool vhost = false;    // whether the kernel's vhost-net serves it
    bool operator==(const NicLive&) const = default;
};

struct Interface {
    enum class Type { network, bridge, ethernet, user, mcast, server, client, udp };
    Type type = Type::network;
    std::string source{};     // the network's or the bridge's name
    std::string portgroup{};  // of the network
    NicEndpoint remote{}, local{};
    std::optional<MacAddr> mac{};         // always there after complete()
    std::string mac_type{}, mac_check{};  // as written; other hypervisors' business
    NicModel model = NicModel::virtio;
    NicBackend backend = NicBackend::automatic;
    std::optional<unsigned> queues{};  // virtio only; 1..256
    std::optional<unsigned> rx_queue_size{}, tx_queue_size{};
    NicTransmit transmit = NicTransmit::unsaid;
    NicSwitches driver{}, host_offloads{}, guest_offloads{};
    std::optional<IfName> target{};  // a name the user wants for the tap; none: the daemon's choice
    bool managed = true;             // ethernet: <target managed='no'> is a tap made by somebody else
    std::optional<bool> managed_written{};
    std::optional<IfName> guest_device{};  // as written: containers' business
    std::string script{}, downscript{};    // ethernet: run by the daemon when the tap comes and goes
    std::vector<NicIp> host_ips{};         // ethernet
    std::vector<NicRoute> host_routes{};   // ethernet
    std::vector<NicIp> guest_ips{};        // user
    bool passt = false;                    // user: by passt instead of QEMU's own
    std::string passt_log{};
    std::vector<PortForward> forwards{};
    bool link_up = true;
    std::optional<bool> link_state{};  // as written, for format(); link_up is what it means
    std::optional<std::uint32_t> mtu{};
    std::optional<std::uint32_t> rx_frames{};    // <coalesce>: frames that wait for one look
    std::optional<std::uint64_t> send_buffer{};  // <tune><sndbuf>
    std::optional<Vlan> vlan{};
    std::optional<VirtualPort> virtual_port{};
    std::optional<Bandwidth> bandwidth{};
    std::optional<bool> isolated{};
    std::optional<bool> trust_rx_filters{};
    std::optional<FilterRef> filter{};
    bool teaming = false;                  // <teaming type='persistent'>: stands by for a device that may go
    std::optional<unsigned> boot_order{};  // 1 is first
    bool rom = true;                       // <rom enabled='no'/> clears it
    std::optional<bool> rom_bar{};
    std::string rom_file{};
    std::optional<unsigned> acpi_index{};
    std::string alias{};                  // the user's own ("ua-…"), else empty
    std::optional<PciAddress> address{};  // always there after complete()
    std::optional<NicLive> live{};
    bool operator==(const Interface&) const = default;

    unsigned queue_count() const { return queues.value_or(1); }
    // Whether a tap of the host carries it.
    bool has_tap() const { return type == Type::network || type == Type::bridge || type == Type::ethernet; }
};

}  // namespace bascule::vmm
