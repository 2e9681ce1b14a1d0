// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/buses.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "vmm/controllers.h"

namespace bascule::vmm {

namespace {

constexpr unsigned kLastPort = 30;  // of a virtio-serial controller that does not say how many it has

// What a controller is when the document does not say: the peer's choices.
std::string usual_model(Controller::Type type) {
    return type == Controller::Type::usb ? "piix3-uhci" : type == Controller::Type::scsi ? "lsilogic" : "";
}

// The one of that type and index, which is made when it is not there. Valid until the next one is made.
const Controller& controller_of(Spec& spec, Controller::Type type, unsigned index) {
    if (const Controller* const known = find_controller(spec, type, index)) {
        return *known;
    }
    return spec.controllers.emplace_back(Controller{.type = type, .index = index, .model = usual_model(type)});
}

// Every channel gets a port of its own, and every port a controller.
Result<void> complete_channels(Spec& spec) {
    const auto last_port = [&](unsigned index) {
        const auto ports = controller_of(spec, Controller::Type::virtio_serial, index).ports;
        return ports ? *ports - 1 : kLastPort;
    };
    std::set<std::pair<unsigned, unsigned>> taken;
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        const auto& address = spec.channels[i].address;
        if (!address || address->port == 0) {
            continue;
        }
        if (address->port > last_port(address->controller)) {
            return fail(Code::invalid_xml, fmt::format("{}: virtio-serial controller {} has no port {}",
                                                       channel_alias(spec, i), address->controller, address->port));
        }
        if (!taken.emplace(address->controller, address->port).second) {
            return fail(Code::invalid_xml, fmt::format("two channels want port {} of virtio-serial controller {}",
                                                       address->port, address->controller));
        }
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        auto& address = spec.channels[i].address;
        if (address && address->port != 0) {
            continue;
        }
        const unsigned controller = address ? address->controller : 0;
        unsigned port = 1;
        while (port <= last_port(controller) && !taken.emplace(controller, port).second) {
            ++port;
        }
        if (port > last_port(controller)) {
            return fail(Code::invalid_xml, fmt::format("{}: virtio-serial controller {} has no port left for it",
                                                       channel_alias(spec, i), controller));
        }
        address = VirtioSerialAddress{controller, port};
    }
    return {};
}

// ---- disks --------------------------------------------------------------------------------------

// The place that goes with a name: hdc is the third IDE drive.
DriveAddress usual_place(Disk::Bus bus, unsigned index) {
    if (bus == Disk::Bus::ide) {
        return {.controller = index / 4, .bus = index % 4 / 2, .unit = index % 2};
    }
    if (bus == Disk::Bus::sata) {
        return {.controller = index / 6, .unit = index % 6};
    }
    // Wide SCSI: fifteen a controller, which itself is number 7.
    const unsigned unit = index % 15;
    return {.controller = index / 15, .unit = unit < 7 ? unit : unit + 1};
}

Controller::Type controller_type(Disk::Bus bus) {
    return bus == Disk::Bus::ide    ? Controller::Type::ide
           : bus == Disk::Bus::sata ? Controller::Type::sata
                                    : Controller::Type::scsi;
}

// What the controller has not got; empty: it has.
std::string_view beyond(const Disk& disk, const DriveAddress& at, const Controller& controller) {
    switch (disk.bus) {
        case Disk::Bus::ide:
            return at.controller == 0 && at.bus < 2 && at.target == 0 && at.unit < 2
                       ? ""
                       : "IDE has controller 0 with buses 0 and 1, units 0 and 1";
        case Disk::Bus::sata: return at.bus == 0 && at.target == 0 && at.unit < 6 ? "" : "SATA has bus 0, units 0 to 5";
        default: break;
    }
    if (controller.model == "lsilogic") {
        return at.bus == 0 && at.target == 0 && at.unit < 7 ? "" : "this SCSI controller has bus 0, units 0 to 6";
    }
    return at.bus == 0 ? "" : "a SCSI controller has bus 0";
}

Result<void> complete_drives(Spec& spec) {
    std::set<std::string> names;
    std::set<std::tuple<Disk::Bus, unsigned, unsigned, unsigned, unsigned>> taken;
    for (Disk& disk : spec.disks) {
        if (!names.insert(disk.target).second) {
            return fail(Code::invalid_xml, fmt::format("two disks have the target '{}'", disk.target));
        }
        if (disk.bus == Disk::Bus::virtio || disk.bus == Disk::Bus::usb) {
            continue;
        }
        if (disk.bus == Disk::Bus::ide && spec.os.chipset() == Chipset::q35) {
            return fail(Code::unsupported_config,
                        fmt::format("disk {}: machine '{}' has no IDE; use bus 'sata'", disk.target, spec.os.machine));
        }
        if (!disk.drive) {
            disk.drive = usual_place(disk.bus, target_index(disk.target).value_or(0));
        }
        const DriveAddress& at = *disk.drive;
        const Controller& controller = controller_of(spec, controller_type(disk.bus), at.controller);
        if (const auto why = beyond(disk, at, controller); !why.empty()) {
            return fail(Code::invalid_xml, fmt::format("disk {}: {}", disk.target, why));
        }
        if (!taken.emplace(disk.bus, at.controller, at.bus, at.target, at.unit).second) {
            return fail(Code::invalid_xml,
                        fmt::format("disk {}: another disk has this place on its controller", disk.target));
        }
    }
    return {};
}

// ---- USB ----------------------------------------------------------------------------------------

// Every USB device of the document, with what to call it.
std::vector<std::pair<std::string, std::optional<UsbAddress>*>> usb_devices(Spec& spec) {
    std::vector<std::pair<std::string, std::optional<UsbAddress>*>> out;
    for (Disk& disk : spec.disks) {
        if (disk.bus == Disk::Bus::usb) {
            out.emplace_back("disk " + disk.target, &disk.usb);
        }
    }
    for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
        if (spec.inputs[i].bus == Input::Bus::usb) {
            out.emplace_back(input_alias(spec, i), &spec.inputs[i].usb);
        }
    }
    return out;
}

unsigned usb_ports(const Spec& spec, unsigned bus) {
    const Controller* const controller = find_controller(spec, Controller::Type::usb, bus);
    const ControllerKind* const kind =
        controller != nullptr ? controller_kind(controller->type, controller->model) : nullptr;
    return kind == nullptr ? 0 : controller->ports.value_or(kind->ports);
}

Result<void> complete_usb(Spec& spec) {
    const auto devices = usb_devices(spec);
    const bool any =
        std::ranges::any_of(spec.controllers, [](const Controller& c) { return c.type == Controller::Type::usb; });
    if (spec.usb_none && any) {
        return fail(Code::invalid_xml, "there is a USB controller beside <controller type='usb' model='none'/>");
    }
    if (spec.usb_none && !devices.empty()) {
        return fail(Code::invalid_xml, fmt::format("{} needs USB, and <controller type='usb' model='none'/> says none",
                                                   devices.front().first));
    }
    if (!devices.empty() && !any) {
        const bool q35 = spec.os.chipset() == Chipset::q35;
        spec.controllers.push_back({.type = Controller::Type::usb, .model = q35 ? "qemu-xhci" : "piix3-uhci"});
    }
    std::set<std::pair<unsigned, unsigned>> taken;
    for (const auto& [name, address] : devices) {
        if (!*address || (*address)->port == 0) {
            continue;
        }
        const UsbAddress at = **address;
        if (at.port > usb_ports(spec, at.bus)) {
            return fail(Code::invalid_xml, fmt::format("{}: there is no port {} on USB bus {}", name, at.port, at.bus));
        }
        if (!taken.emplace(at.bus, at.port).second) {
            return fail(Code::invalid_xml, fmt::format("{}: port {} of USB bus {} is taken", name, at.port, at.bus));
        }
    }
    for (const auto& [name, address] : devices) {
        if (*address && (*address)->port != 0) {
            continue;
        }
        // The bus that was named, else whichever has room.
        std::optional<UsbAddress> found;
        for (const Controller& controller : spec.controllers) {
            const bool fits = controller.type == Controller::Type::usb && !is_companion(controller) &&
                              (!*address || (*address)->bus == controller.index);
            for (unsigned port = 1; fits && !found && port <= usb_ports(spec, controller.index); ++port) {
                if (taken.emplace(controller.index, port).second) {
                    found = UsbAddress{controller.index, port};
                }
            }
        }
        if (!found) {
            return fail(Code::unsupported_config, fmt::format("{}: no USB port is left for it", name));
        }
        *address = found;
    }
    return {};
}

Result<void> check_companions(const Spec& spec) {
    for (const Controller& controller : spec.controllers) {
        const Controller* const master =
            is_companion(controller) ? find_controller(spec, Controller::Type::usb, controller.index) : &controller;
        if (master == nullptr || (is_companion(controller) && master->model != "ich9-ehci1")) {
            return fail(Code::invalid_xml, fmt::format("USB controller '{}' needs an 'ich9-ehci1' of index {}",
                                                       controller.model, controller.index));
        }
        if (controller.type == Controller::Type::ide && (controller.index != 0 || spec.os.chipset() == Chipset::q35)) {
            return fail(Code::unsupported_config,
                        fmt::format("machine '{}' has no IDE controller {}", spec.os.machine, controller.index));
        }
    }
    return {};
}

}  // namespace

Result<void> complete_buses(Spec& spec) {
    for (Controller& controller : spec.controllers) {
        if (controller.model.empty()) {
            controller.model = usual_model(controller.type);
        }
    }
    TRY_OK(check_companions(spec));
    TRY_OK(complete_drives(spec));
    TRY_OK(complete_usb(spec));
    TRY_OK(complete_channels(spec));
    std::ranges::stable_sort(spec.controllers, {}, [](const Controller& c) { return std::pair(c.type, c.index); });
    return {};
}

}  // namespace bascule::vmm
