// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/compile_builder.h"
#include "vmm/names.h"

namespace bascule::vmm {

namespace {

using Type = Interface::Type;

std::string_view driver_of(NicModel model) {
    switch (model) {
        case NicModel::virtio: return "virtio-net-pci";
        case NicModel::virtio_transitional: return "virtio-net-pci-transitional";
        case NicModel::virtio_non_transitional: return "virtio-net-pci-non-transitional";
        default: return kNicModels.name(model);
    }
}

// QEMU's words for a switch of <driver>.
std::string_view property(std::string_view name) {
    constexpr std::pair<std::string_view, std::string_view> kOthers[] = {
        {"rss_hash_report", "hash"}, {"iommu", "iommu_platform"}, {"page_per_vq", "page-per-vq"}};
    for (const auto& [ours, theirs] : kOthers) {
        if (ours == name) {
            return theirs;
        }
    }
    return name;
}

std::string switches(const NicSwitches& from, std::string_view prefix) {
    std::string out;
    for (const auto& [name, on] : from) {
        const bool bare = prefix == "host_" && (name == "csum" || name == "gso" || name == "mrg_rxbuf");
        out += fmt::format(",{}{}={}", bare ? "" : prefix, prefix.empty() ? property(name) : name, on ? "on" : "off");
    }
    return out;
}

std::string user_options(const Interface& nic) {
    std::string out;
    for (const NicIp& ip : nic.guest_ips) {
        if (ip.address.is_v4()) {
            // The network; the guest gets its fifteenth address.
            const unsigned length = ip.prefix.value_or(24);
            out += fmt::format(",net={}/{}", format(Prefix::of(ip.address, length).network), length);
        } else {
            out += fmt::format(",ipv6-prefix={}", format(ip.address));
            if (ip.prefix) {
                out += fmt::format(",ipv6-prefixlen={}", *ip.prefix);
            }
        }
    }
    return out;
}

std::string end(const NicEndpoint& at) { return fmt::format("{}:{}", at.address, at.port); }

}  // namespace

std::string Builder::netdev(std::size_t index) {
    const Interface& nic = spec_.interfaces[index];
    const std::string id = fmt::format("id=hostnet{}", index);
    switch (nic.type) {
        case Type::user:
            return nic.passt ? fmt::format("stream,{},addr.type=fd,addr.str={}", id, slot(Slot::Kind::passt, index))
                             : fmt::format("user,{}{}", id, user_options(nic));
        case Type::mcast: return fmt::format("socket,{},mcast={}", id, end(nic.remote));
        case Type::server: return fmt::format("socket,{},listen={}", id, end(nic.remote));
        case Type::client: return fmt::format("socket,{},connect={}", id, end(nic.remote));
        case Type::udp: return fmt::format("socket,{},udp={},localaddr={}", id, end(nic.remote), end(nic.local));
        case Type::network:
        case Type::bridge:
        case Type::ethernet: break;
    }
    const unsigned queues = nic.queue_count();
    const auto numbers = [&](Slot::Kind kind) {
        std::string out;
        for (unsigned queue = 0; queue < queues; ++queue) {
            out += fmt::format("{}{}", queue == 0 ? "" : ":", slot(kind, index, queue));
        }
        return out;
    };
    const std::string_view plural = queues > 1 ? "s" : "";
    std::string out = fmt::format("tap,{},fd{}={}", id, plural, numbers(Slot::Kind::tap));
    if (nics_[index].vhost) {
        out += fmt::format(",vhost=on,vhostfd{}={}", plural, numbers(Slot::Kind::vhost));
    }
    if (nic.send_buffer) {
        out += fmt::format(",sndbuf={}", *nic.send_buffer);
    }
    return out;
}

std::string Builder::nic_device(std::size_t index) {
    const Interface& nic = spec_.interfaces[index];
    std::string device = fmt::format("{},netdev=hostnet{},id={},mac={},{}", driver_of(nic.model), index,
                                     nic_alias(spec_, index), format(*nic.mac), place(nic.address));
    if (nic.queue_count() > 1) {
        // A vector for each queue's two rings, one for configuration changes, one for the control queue.
        device += fmt::format(",mq=on,vectors={}", 2 * nic.queue_count() + 2);
    }
    if (nic.transmit != NicTransmit::unsaid) {
        device += nic.transmit == NicTransmit::timer ? ",tx=timer" : ",tx=bh";
    }
    device += switches(nic.driver, "") + switches(nic.host_offloads, "host_") + switches(nic.guest_offloads, "guest_");
    if (nic.rx_queue_size) {
        device += fmt::format(",rx_queue_size={}", *nic.rx_queue_size);
    }
    if (nic.tx_queue_size) {
        device += fmt::format(",tx_queue_size={}", *nic.tx_queue_size);
    }
    if (nic.mtu && is_virtio(nic.model)) {
        device += fmt::format(",host_mtu={}", *nic.mtu);
    }
    if (nic.teaming) {
        device += ",failover=on";
    }
    if (const unsigned order = boot_index(index); order != 0) {
        device += fmt::format(",bootindex={}", order);
    }
    if (!nic.rom) {
        device += ",romfile=";
    } else if (!nic.rom_file.empty()) {
        device += ",romfile=" + quoted(nic.rom_file);
    }
    if (nic.rom_bar) {
        device += fmt::format(",rombar={}", *nic.rom_bar ? 1 : 0);
    }
    if (nic.acpi_index) {
        device += fmt::format(",acpi-index={}", *nic.acpi_index);
    }
    return device;
}

void Builder::nic(std::size_t index) {
    option("-netdev", netdev(index));
    option("-device", nic_device(index));
}

}  // namespace bascule::vmm
