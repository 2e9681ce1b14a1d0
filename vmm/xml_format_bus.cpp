// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/controllers.h"
#include "vmm/names.h"
#include "vmm/xml_format_parts.h"

namespace bascule::vmm::parts {

namespace {

// What the peer writes into a port or bridge of its own.
void write_pci_details(Writer& w, const Controller& controller, const ControllerKind& kind) {
    const bool port = controller.model == "pcie-root-port";
    const bool bridge = controller.model == "pci-bridge";
    w.empty("model", {{"name", std::string(kind.device)}});
    const auto attrs = present({{"chassisNr", bridge ? number(controller.chassis) : ""},
                                {"chassis", port ? number(controller.chassis) : ""},
                                {"port", port && controller.port ? fmt::format("0x{:x}", *controller.port) : ""},
                                {"hotplug", on_off(controller.hotplug)}});
    if (!attrs.empty()) {
        w.empty("target", attrs);
    }
}

void write_controller(Writer& w, const Controller& controller, bool running) {
    w.open("controller", present({{"type", std::string(kControllerTypes.name(controller.type))},
                                  {"index", std::to_string(controller.index)},
                                  {"model", controller.model},
                                  {"ports", number(controller.ports)}}));
    const ControllerKind* const kind = controller_kind(controller.type, controller.model);
    if (controller.type == Controller::Type::pci && kind != nullptr) {
        write_pci_details(w, controller, *kind);
    }
    if (controller.master_port) {
        w.empty("master", {{"startport", number(controller.master_port)}});
    }
    write_alias(w, controller.alias, controller_alias(controller), running);
    write_address(w, controller.address);
    w.close();
}

}  // namespace

void write_disk(Writer& w, const Disk& disk, View view) {
    w.open("disk", {{"type", std::string(kDiskTypes.name(disk.type))},
                    {"device", std::string(kDiskDevices.name(disk.device))}});
    w.empty("driver", present({{"name", "qemu"},
                               {"type", std::string(kDiskFormats.name(disk.format))},
                               {"cache", disk.cache},
                               {"error_policy", disk.error_policy},
                               {"rerror_policy", disk.rerror_policy},
                               {"io", disk.io},
                               {"discard", disk.discard},
                               {"detect_zeroes", disk.detect_zeroes}}));
    if (!disk.source.empty()) {
        w.empty("source", {{disk.type == Disk::Type::file ? "file" : "dev", disk.source}});
    }
    w.empty("target", {{"dev", disk.target}, {"bus", std::string(kDiskBuses.name(disk.bus))}});
    if (disk.readonly) {
        w.empty("readonly");
    }
    if (disk.shareable) {
        w.empty("shareable");
    }
    if (!disk.serial.empty()) {
        w.leaf("serial", disk.serial);
    }
    if (disk.boot_order) {
        w.empty("boot", {{"order", number(disk.boot_order)}});
    }
    write_alias(w, disk.alias, disk_alias(disk), view.running);
    write_address(w, disk.address);
    write_address(w, disk.drive);
    write_address(w, disk.usb);
    w.close();
}

void write_controllers(Writer& w, const Spec& spec, View view) {
    if (spec.usb_none) {
        w.empty("controller", {{"type", "usb"}, {"index", "0"}, {"model", "none"}});
    }
    const auto write_type = [&](Controller::Type type, bool wanted) {
        for (const Controller& controller : spec.controllers) {
            if ((controller.type == type) == wanted && (wanted || controller.type != Controller::Type::usb)) {
                write_controller(w, controller, view.running);
            }
        }
    };
    write_type(Controller::Type::usb, true);
    w.empty("controller",
            {{"type", "pci"}, {"index", "0"}, {"model", spec.os.chipset() == Chipset::q35 ? "pcie-root" : "pci-root"}});
    write_type(Controller::Type::usb, false);
}

}  // namespace bascule::vmm::parts
