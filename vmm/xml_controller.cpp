// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

// What virtio-serial devices carry (VIRTIO 1.2, 5.3.4; QEMU's limit): port 0 and 30 more.
constexpr Value<unsigned> kPorts{"a number of ports, 1 to 31", xml::parse_number<unsigned, 1, 31>};
constexpr Value<unsigned> kIndex{"a controller's index, 0 to 255", xml::parse_number<unsigned, 0, 255>};

Result<void> read_virtio_serial(Reader& r, unsigned index, Spec& spec) {
    Controller out{.type = Controller::Type::virtio_serial, .index = index};
    only(r, "model", "virtio");
    out.ports = r.opt("ports", kPorts);
    r.not_supported_attr("vectors");
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    r.not_supported_child("driver");
    TRY_OK(r.finish());
    for (const Controller& other : spec.controllers) {
        if (other.type == out.type && other.index == out.index) {
            return std::unexpected(to_error({Fault::Kind::inconsistent,
                                             r.node().line,
                                             "controller",
                                             "index",
                                             fmt::format("two controllers of this type have index {}", index),
                                             {}}));
        }
    }
    spec.controllers.push_back(std::move(out));
    return {};
}

}  // namespace

// Beside those of channels only the root of the PCI tree and "no USB"; both are what we build anyway.
Result<void> read_controller(const Node& node, Spec& spec) {
    Reader r(node);
    const auto type = r.req("type", kText);
    const auto index = r.opt("index", kIndex).value_or(0);
    if (type == "virtio-serial") {
        return read_virtio_serial(r, index, spec);
    }
    const auto model = r.opt("model", kText);
    r.ignore_child("alias");
    const bool root = type == "pci" && index == 0;
    const std::string_view wanted = spec.os.chipset() == Chipset::q35 ? "pcie-root" : "pci-root";
    if (type == "usb" && model == "none") {
        spec.usb_none = true;
    } else if (root && (model == "pcie-root" || model == "pci-root")) {
        if (model != wanted) {
            r.report(Fault::Kind::inconsistent, "model",
                     fmt::format("machine '{}' has a '{}'", spec.os.machine, wanted), *model);
        }
    } else {
        r.report(Fault::Kind::not_supported, {},
                 fmt::format("controller type '{}', model '{}'; there are only the PCI root, virtio-serial and usb "
                             "model 'none'",
                             type.value_or(""), model.value_or("")),
                 {});
    }
    return r.finish();
}

}  // namespace bascule::vmm::parts
