// SPDX-License-Identifier: GPL-2.0-or-later
// What of an <interface> goes together: each fault names the element, why, and what to use.
#include <algorithm>

#include <fmt/format.h>

#include "vmm/xml_interface_parts.h"

namespace bascule::vmm::parts {

namespace {

using Type = Interface::Type;

std::string type_words(const Interface& nic) { return fmt::format("type='{}'", kInterfaceTypes.name(nic.type)); }

// What only a tap can have: the kernel does it, and QEMU's own networks have nothing of the kind.
void check_tap_only(Reader& r, const Interface& nic) {
    struct {
        bool there;
        std::string_view what;
    } const things[] = {{nic.bandwidth.has_value(), "<bandwidth>"},
                        {nic.filter.has_value(), "<filterref>"},
                        {nic.mtu.has_value() && nic.type != Type::user, "<mtu>"},
                        {nic.rx_frames.has_value(), "<coalesce>"},
                        {nic.send_buffer.has_value(), "<sndbuf>"},
                        {nic.queue_count() > 1, "<driver queues>"},
                        {nic.backend == NicBackend::vhost, "<driver name='vhost'>"},
                        {nic.target.has_value(), "<target>"}};
    for (const auto& one : things) {
        if (one.there && !nic.has_tap()) {
            r.report(Fault::Kind::inconsistent, {},
                     fmt::format("{} needs a device of the host, which {} has not; use 'network', 'bridge' or "
                                 "'ethernet'",
                                 one.what, type_words(nic)),
                     {});
        }
    }
}

void check_switch_only(Reader& r, const Interface& nic) {
    const bool switched = nic.type == Type::network || nic.type == Type::bridge;
    struct {
        bool there;
        std::string_view what;
    } const things[] = {{nic.vlan.has_value(), "<vlan>"},
                        {nic.virtual_port.has_value(), "<virtualport>"},
                        {nic.isolated.has_value(), "<port isolated>"}};
    for (const auto& one : things) {
        if (one.there && !switched) {
            r.report(Fault::Kind::inconsistent, {},
                     fmt::format("{} is about a port of a switch, which {} has not; use 'network' or 'bridge'",
                                 one.what, type_words(nic)),
                     {});
        }
    }
    if (nic.type == Type::bridge && nic.virtual_port && nic.virtual_port->type != VirtualPort::Type::openvswitch &&
        nic.virtual_port->type != VirtualPort::Type::midonet) {
        r.report(Fault::Kind::inconsistent, {}, "<virtualport> of a bridge needs type='openvswitch' or type='midonet'",
                 {});
    }
    if (nic.bandwidth && nic.bandwidth->inbound && nic.bandwidth->inbound->floor != 0 && nic.type != Type::network) {
        r.report(Fault::Kind::inconsistent, {},
                 "<inbound floor> is a share of a network's bandwidth: it needs type='network'", {});
    }
}

void check_ethernet_only(Reader& r, const Interface& nic) {
    if (nic.type != Type::ethernet && (!nic.script.empty() || !nic.downscript.empty())) {
        r.report(Fault::Kind::inconsistent, {}, "scripts are for type='ethernet'; the other types are plugged by us",
                 type_words(nic));
    }
    if (nic.type != Type::ethernet && nic.managed_written) {
        r.report(Fault::Kind::inconsistent, {}, "<target managed> is for type='ethernet'", type_words(nic));
    }
    if (!nic.managed && !nic.target) {
        r.report(Fault::Kind::missing, {}, "<target managed='no'> needs dev, the tap that is there", {});
    }
    if (!nic.managed && (!nic.script.empty() || !nic.host_ips.empty() || !nic.host_routes.empty())) {
        r.report(Fault::Kind::inconsistent, {},
                 "with <target managed='no'> the tap is left as it is: no script, no address, no route", {});
    }
}

void check_user_only(Reader& r, const Interface& nic) {
    if (nic.type != Type::user && !nic.guest_ips.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "<ip> for the guest is given by type='user' only", type_words(nic));
    }
    if (std::ranges::any_of(nic.guest_ips, [](const NicIp& ip) { return ip.peer.has_value(); })) {
        r.report(Fault::Kind::inconsistent, {}, "an <ip> of type='user' has no peer", {});
    }
    if (nic.passt && nic.type != Type::user) {
        r.report(Fault::Kind::inconsistent, {}, "<backend type='passt'> is for type='user'", type_words(nic));
    }
    if (!nic.forwards.empty() && !nic.passt) {
        r.report(Fault::Kind::inconsistent, {}, "<portForward> needs <backend type='passt'/>", type_words(nic));
    }
    if (!nic.passt_log.empty() && !nic.passt) {
        r.report(Fault::Kind::inconsistent, {}, "<backend logFile> needs <backend type='passt'/>", type_words(nic));
    }
}

void check_virtio_only(Reader& r, const Interface& nic) {
    if (is_virtio(nic.model)) {
        return;
    }
    const std::string model(kNicModels.name(nic.model));
    if (nic.queue_count() > 1) {
        r.report(Fault::Kind::inconsistent, {}, "more than one queue needs <model type='virtio'/>", model);
    }
    if (nic.rx_queue_size || nic.tx_queue_size || nic.transmit != NicTransmit::unsaid || !nic.driver.empty() ||
        !nic.host_offloads.empty() || !nic.guest_offloads.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "options of <driver> need <model type='virtio'/>", model);
    }
    if (nic.teaming) {
        r.report(Fault::Kind::inconsistent, {}, "<teaming> needs <model type='virtio'/>", model);
    }
}

}  // namespace

void check_interface(Reader& r, const Interface& nic) {
    check_tap_only(r, nic);
    check_switch_only(r, nic);
    check_ethernet_only(r, nic);
    check_user_only(r, nic);
    check_virtio_only(r, nic);
}

}  // namespace bascule::vmm::parts
