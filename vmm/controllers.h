// SPDX-License-Identifier: GPL-2.0-or-later
// What controllers there are: the document's word, QEMU's device, and where it plugs in.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "vmm/spec.h"

namespace bascule::vmm {

// The kind of PCI slot that a device wants. Conventional ones may sit in the root of q35 too.
enum class PciFit {
    none,          // no slot: the chipset has it
    conventional,  // a bridge of conventional slots, else the root
    express,       // a root port, else the root
    root,          // only the root: ports and their like
};

struct ControllerKind {
    Controller::Type type;
    std::string_view model;   // of the document; empty: the type's only one
    std::string_view device;  // QEMU's; empty: built in
    PciFit fit;
    unsigned ports = 0;  // USB: how many, unless the document says
};

inline constexpr std::array kControllerKinds{
    ControllerKind{Controller::Type::usb, "piix3-uhci", "piix3-usb-uhci", PciFit::conventional, 2},
    ControllerKind{Controller::Type::usb, "piix4-uhci", "piix4-usb-uhci", PciFit::conventional, 2},
    ControllerKind{Controller::Type::usb, "ehci", "usb-ehci", PciFit::conventional, 6},
    ControllerKind{Controller::Type::usb, "ich9-ehci1", "ich9-usb-ehci1", PciFit::conventional, 6},
    ControllerKind{Controller::Type::usb, "ich9-uhci1", "ich9-usb-uhci1", PciFit::conventional, 2},
    ControllerKind{Controller::Type::usb, "ich9-uhci2", "ich9-usb-uhci2", PciFit::conventional, 2},
    ControllerKind{Controller::Type::usb, "ich9-uhci3", "ich9-usb-uhci3", PciFit::conventional, 2},
    ControllerKind{Controller::Type::usb, "nec-xhci", "nec-usb-xhci", PciFit::express, 4},
    ControllerKind{Controller::Type::usb, "qemu-xhci", "qemu-xhci", PciFit::express, 4},
    ControllerKind{Controller::Type::pci, "pcie-root-port", "pcie-root-port", PciFit::root},
    ControllerKind{Controller::Type::pci, "pcie-to-pci-bridge", "pcie-pci-bridge", PciFit::express},
    ControllerKind{Controller::Type::pci, "dmi-to-pci-bridge", "i82801b11-bridge", PciFit::root},
    ControllerKind{Controller::Type::pci, "pci-bridge", "pci-bridge", PciFit::conventional},
    ControllerKind{Controller::Type::ide, "", "", PciFit::none},
    ControllerKind{Controller::Type::sata, "", "ahci", PciFit::conventional},
    ControllerKind{Controller::Type::scsi, "virtio-scsi", "virtio-scsi-pci", PciFit::express},
    ControllerKind{Controller::Type::scsi, "lsilogic", "lsi", PciFit::conventional},
    ControllerKind{Controller::Type::virtio_serial, "", "virtio-serial-pci", PciFit::express},
};

// Null when there is no such model.
constexpr const ControllerKind* controller_kind(Controller::Type type, std::string_view model) {
    for (const ControllerKind& kind : kControllerKinds) {
        if (kind.type == type && kind.model == model) {
            return &kind;
        }
    }
    return nullptr;
}

// A companion shares the ports of its master, the ich9-ehci1 of the same index.
constexpr bool is_companion(const Controller& controller) { return controller.model.starts_with("ich9-uhci"); }

// q35's SATA and i440fx's IDE are part of the chipset: they have an address, but are not made.
constexpr bool is_built_in(const Controller& controller, Chipset chipset) {
    return controller.index == 0 &&
           controller.type == (chipset == Chipset::q35 ? Controller::Type::sata : Controller::Type::ide);
}

// Null when there is none of that type and index; companions are not looked at.
const Controller* find_controller(const Spec& spec, Controller::Type type, unsigned index);

// "vda" is 0, "vdb" 1, "vdaa" 26; none for what is no such name.
std::optional<unsigned> target_index(std::string_view target);

}  // namespace bascule::vmm
