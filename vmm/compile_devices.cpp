// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "vmm/compile_builder.h"
#include "vmm/controllers.h"
#include "vmm/names.h"

namespace bascule::vmm {

// A bus before what is on it, and a companion after its master.
void Builder::controllers() {
    std::set<unsigned> buses{0};
    std::vector<const Controller*> waiting;
    for (const Controller& one : spec_.controllers) {
        waiting.push_back(&one);
    }
    const auto master_waits = [&](const Controller& one) {
        return is_companion(one) && std::ranges::any_of(waiting, [&one](const Controller* other) {
                   return other->type == one.type && other->index == one.index && !is_companion(*other);
               });
    };
    for (bool any = true; any;) {
        any = false;
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            const Controller& one = *waiting[i];
            if (!buses.contains(one.address->bus) || master_waits(one)) {
                continue;
            }
            controller(one);
            if (one.type == Controller::Type::pci) {
                buses.insert(one.index);
            }
            waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
            any = true;
            break;
        }
    }
    // Buses in a circle: QEMU says which one it does not know.
    std::ranges::for_each(waiting, [this](const Controller* one) { controller(*one); });
    if (std::ranges::any_of(spec_.features.switches,
                            [](const auto& one) { return one.first == "vmcoreinfo" && one.second; })) {
        option("-device", "vmcoreinfo");
    }
}

void Builder::controller(const Controller& one) {
    if (is_built_in(one, spec_.os.chipset())) {
        return;
    }
    const ControllerKind& kind = *controller_kind(one.type, one.model);
    std::string device(kind.device);
    switch (one.type) {
        case Controller::Type::pci:
            if (one.port) {
                device += fmt::format(",port={},chassis={}", *one.port, *one.chassis);
            } else if (one.model == "pci-bridge") {
                device += fmt::format(",chassis_nr={}", *one.chassis);
            }
            if (one.hotplug) {
                device += fmt::format(",hotplug={}", *one.hotplug ? "on" : "off");
            }
            break;
        case Controller::Type::usb:
            if (one.ports) {
                device += fmt::format(",p2={0},p3={0}", *one.ports);
            }
            break;
        case Controller::Type::virtio_serial:
            if (one.ports) {
                device += fmt::format(",max_ports={}", *one.ports);
            }
            break;
        default: break;
    }
    if (is_companion(one)) {
        const Controller* const master = find_controller(spec_, one.type, one.index);
        const unsigned usual = static_cast<unsigned>(one.model.back() - '1') * 2;
        device +=
            fmt::format(",masterbus={}.0,firstport={}", controller_alias(*master), one.master_port.value_or(usual));
    } else {
        device += ",id=" + controller_alias(one);
    }
    option("-device", device + "," + place(one.address));
}

void Builder::serial(std::size_t index) {
    const std::string alias = serial_alias(spec_, index);
    option("-chardev", fmt::format("pty,id=char{}", alias));
    option("-device", fmt::format("isa-serial,chardev=char{0},id={0},index={1}", alias, spec_.serials[index].port));
}

void Builder::channel(std::size_t index) {
    const Channel& channel = spec_.channels[index];
    const std::string alias = channel_alias(spec_, index);
    // A listening socket of ours, as the monitor's.
    option("-chardev",
           channel.backend == Channel::Backend::pty
               ? fmt::format("pty,id=char{}", alias)
               : fmt::format("socket,id=char{},fd={},server=on,wait=off", alias, slot(Slot::Kind::channel, index)));
    const Controller* const bus = find_controller(spec_, Controller::Type::virtio_serial, channel.address->controller);
    option("-device",
           fmt::format("virtserialport,bus={}.0,nr={},chardev=char{},id={}{}", controller_alias(*bus),
                       channel.address->port, alias, alias, channel.name.empty() ? "" : ",name=" + channel.name));
}

void Builder::balloon() {
    if (!spec_.balloon) {
        return;
    }
    std::string device =
        fmt::format("virtio-balloon-pci,id={},{}", balloon_alias(spec_), place(spec_.balloon->address));
    if (spec_.balloon->autodeflate) {
        device += fmt::format(",deflate-on-oom={}", *spec_.balloon->autodeflate ? "on" : "off");
    }
    if (spec_.balloon->free_page_reporting) {
        device += fmt::format(",free-page-reporting={}", *spec_.balloon->free_page_reporting ? "on" : "off");
    }
    option("-device", device);
}

void Builder::rng(std::size_t index) {
    const Rng& rng = spec_.rngs[index];
    const std::string alias = rng_alias(spec_, index);
    option("-object", fmt::format("rng-random,id=obj{},filename={}", alias, rng.source));
    std::string device = fmt::format("virtio-rng-pci,rng=obj{0},id={0},{1}", alias, place(rng.address));
    if (rng.rate_bytes) {
        device += fmt::format(",max-bytes={},period={}", *rng.rate_bytes, rng.rate_period.value_or(1000));
    }
    option("-device", device);
}

void Builder::watchdog(std::size_t index) {
    const Watchdog& one = spec_.watchdogs[index];
    switch (one.model) {
        case Watchdog::Model::i6300esb:
            option("-device", fmt::format("i6300esb,id={},{}", watchdog_alias(spec_, index), place(one.address)));
            break;
        case Watchdog::Model::ib700: option("-device", "ib700,id=" + watchdog_alias(spec_, index)); break;
        case Watchdog::Model::itco: option("-global", "ICH9-LPC.noreboot=off"); break;  // part of the chipset
    }
    if (index == 0) {
        option("-action", fmt::format("watchdog={}", kWatchdogActions.name(one.action)));
    }
}

}  // namespace bascule::vmm
