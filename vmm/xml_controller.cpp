// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include <fmt/format.h>

#include "vmm/controllers.h"
#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr Value<unsigned> kIndex{"a controller's index, 0 to 255", xml::parse_number<unsigned, 0, 255>};
// VIRTIO 1.2, 5.3.4, and QEMU's limit: port 0 and 30 more. xHCI has at most 15 ports in QEMU.
constexpr Value<unsigned> kSerialPorts{"a number of ports, 1 to 31", xml::parse_number<unsigned, 1, 31>};
constexpr Value<unsigned> kUsbPorts{"a number of ports, 1 to 15", xml::parse_number<unsigned, 1, 15>};
constexpr Value<unsigned> kByte{"a number, 0 to 255", [](std::string_view t) -> std::optional<unsigned> {
                                    const auto bus = xml::parse_number<unsigned, 0, 255>(t);
                                    return bus ? bus : parse_hex_byte(t);
                                }};

std::string models_of(Controller::Type type) {
    std::string out;
    for (const ControllerKind& kind : kControllerKinds) {
        if (kind.type == type && !kind.model.empty()) {
            out += (out.empty() ? "'" : ", '") + std::string(kind.model) + "'";
        }
    }
    return out;
}

// The root of the tree, and "no USB": neither is a device of its own.
bool read_special(Reader& r, Spec& spec, Controller::Type type, const std::optional<std::string>& model) {
    if (type == Controller::Type::usb && model == "none") {
        spec.usb_none = true;
        return true;
    }
    if (type != Controller::Type::pci || (model != "pcie-root" && model != "pci-root")) {
        return false;
    }
    const std::string_view wanted = spec.os.chipset() == Chipset::q35 ? "pcie-root" : "pci-root";
    if (model != wanted) {
        r.report(Fault::Kind::inconsistent, "model", fmt::format("machine '{}' has a '{}'", spec.os.machine, wanted),
                 *model);
    }
    return true;
}

// Left out: a companion belongs to the last ich9-ehci1; others are numbered, PCI from 1 on since 0 is the root.
unsigned next_index(const Spec& spec, const Controller& controller) {
    unsigned next = controller.type == Controller::Type::pci ? 1 : 0;
    for (const Controller& other : spec.controllers) {
        if (other.type != controller.type) {
            continue;
        }
        if (is_companion(controller)) {
            next = other.model == "ich9-ehci1" ? other.index : next;
        } else {
            next = std::max(next, other.index + 1);
        }
    }
    return next;
}

void read_target(const Node& node, Controller& out, Reader& outer) {
    Reader r(node);
    out.chassis = r.opt("chassis", kByte);
    if (const auto number = r.opt("chassisNr", kByte)) {
        out.chassis = number;
    }
    out.port = r.opt("port", kByte);
    out.hotplug = r.opt("hotplug", xml::kOnOff);
    refuse_attributes(r, {"busNr", "index", "memReserve"});
    r.not_supported_child("node");
    if (auto done = r.finish(); !done) {
        outer.report_error(std::move(done).error());
    }
}

// <model name=>: QEMU's device, which the model says already.
Result<bool> read_device_name(const Node& node, std::string_view device) {
    Reader r(node);
    only(r, "name", device);
    TRY_OK(r.finish());
    return true;
}

Result<unsigned> read_master(const Node& node) {
    Reader r(node);
    const auto port = r.req("startport", kByte);
    TRY_OK(r.finish());
    return *port;
}

void check_twin(Reader& r, const Spec& spec, const Controller& controller) {
    for (const Controller& other : spec.controllers) {
        const bool same = other.type == controller.type && other.index == controller.index;
        if (same && is_companion(other) == is_companion(controller) &&
            (!is_companion(controller) || other.model == controller.model)) {
            r.report(Fault::Kind::inconsistent, "index",
                     fmt::format("two controllers of this type have index {}", controller.index), {});
        }
    }
}

// Which of the models is meant; absent and "default" leave it to complete().
void read_model(Reader& r, Controller& out, const std::optional<std::string>& model) {
    const bool only_one = models_of(out.type).empty();
    if (!model || model->empty() || (only_one && (model == "virtio" || model == "ahci"))) {
        if (out.type == Controller::Type::pci) {
            r.report(Fault::Kind::missing, "model", models_of(out.type), {});
        }
        return;
    }
    if (controller_kind(out.type, *model) == nullptr) {
        r.report(Fault::Kind::not_supported, "model",
                 only_one ? fmt::format("'{}'; leave it out", *model)
                          : fmt::format("'{}'; use {}", *model, models_of(out.type)),
                 {});
        return;
    }
    out.model = *model;
}

}  // namespace

Result<void> read_controller(const Node& node, Spec& spec) {
    Reader r(node);
    Controller out;
    const auto type = one_of(r, "type", kControllerTypes);
    if (!type) {
        r.report(Fault::Kind::missing, "type", kControllerTypes.choices(), {});
        return r.finish();
    }
    out.type = *type;
    const auto index = r.opt("index", kIndex);
    const auto model = r.opt("model", kText);
    if (index.value_or(0) == 0 && read_special(r, spec, out.type, model)) {
        r.ignore_child("alias");
        return r.finish();
    }
    read_model(r, out, model);
    out.index = index.value_or(next_index(spec, out));
    if (out.type == Controller::Type::pci && out.index == 0 && r.ok()) {
        r.report(Fault::Kind::inconsistent, "index", "bus 0 is the root's; use 1 or more", "0");
    }
    if (out.type == Controller::Type::virtio_serial) {
        out.ports = r.opt("ports", kSerialPorts);
    } else if (out.model.ends_with("xhci")) {
        out.ports = r.opt("ports", kUsbPorts);
    }
    r.not_supported_attr("vectors");
    r.not_supported_attr("maxGrantFrames");
    const ControllerKind* const kind = controller_kind(out.type, out.model);
    if (out.type == Controller::Type::pci && kind != nullptr) {
        if (const Node* const target = r.child("target")) {
            read_target(*target, out, r);
        }
        r.parse_child("model", [&](const Node& n) { return read_device_name(n, kind->device); });
    }
    if (is_companion(out)) {
        out.master_port = r.parse_child("master", read_master);
    }
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    r.not_supported_child("driver");
    r.not_supported_child("pcihole64");
    check_twin(r, spec, out);
    TRY_OK(r.finish());
    spec.controllers.push_back(std::move(out));
    return {};
}

}  // namespace bascule::vmm::parts
