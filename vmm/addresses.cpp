// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/addresses.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "vmm/controllers.h"

namespace bascule::vmm {

namespace {

using Place = std::pair<std::uint8_t, std::uint8_t>;  // slot, function

constexpr std::uint8_t kUsb2Slot = 0x1d;  // of q35, where the peer puts the ich9 set

// Why a slot of bus 0 is not to be had; empty: it is. q35 has its LPC, SATA and SMBus functions in slot 0x1f,
// i440fx its ISA bridge, IDE, USB and power management in slot 1.
std::string_view occupant(Chipset chipset, std::uint8_t slot) {
    if (slot == 0) {
        return "the host bridge";
    }
    if (chipset == Chipset::q35) {
        return slot == 0x1f ? "the chipset's LPC, SATA and SMBus functions" : "";
    }
    return slot == 1 ? "the chipset's ISA bridge" : "";
}

// What the chipset has itself, or what it leaves a function for.
std::optional<PciAddress> chipset_place(Chipset chipset, const Controller& controller) {
    const bool q35 = chipset == Chipset::q35;
    if (controller.index != 0) {
        return std::nullopt;
    }
    if (controller.type == Controller::Type::sata && q35) {
        return PciAddress{0, 0, 0x1f, 2};
    }
    if (controller.type == Controller::Type::ide && !q35) {
        return PciAddress{0, 0, 1, 1};
    }
    if (controller.model == "piix3-uhci" && !q35) {
        return PciAddress{0, 0, 1, 2};
    }
    return std::nullopt;
}

bool same_place(const PciAddress& a, const PciAddress& b) {
    return a.domain == b.domain && a.bus == b.bus && a.slot == b.slot && a.function == b.function;
}

// The function that each of the ich9 USB set has in the real chipset.
std::optional<std::uint8_t> ich9_function(std::string_view model) {
    if (model == "ich9-ehci1") {
        return 7;
    }
    return model.starts_with("ich9-uhci") ? std::optional(static_cast<std::uint8_t>(model.back() - '1')) : std::nullopt;
}

struct Device {
    std::string name;
    std::optional<PciAddress>* address;
    PciFit fit;
    const Controller* controller = nullptr;
    bool display = false;
};

struct Bus {
    std::uint8_t number = 0;
    enum class Kind { root, port, bridge } kind = Kind::root;
    std::map<Place, Device> taken{};

    bool slot_free(std::uint8_t slot) const {
        return std::ranges::none_of(taken, [slot](const auto& one) { return one.first.first == slot; });
    }
    std::uint8_t first() const { return kind == Kind::port ? 0 : 1; }
    std::uint8_t last() const { return kind == Kind::port ? 0 : 0x1f; }
};

class Allocator {
public:
    Allocator(Spec& spec) : chipset_(spec.os.chipset()) {
        buses_[0] = {.number = 0, .kind = Bus::Kind::root};
        for (const Controller& controller : spec.controllers) {
            if (controller.type == Controller::Type::pci) {
                const auto number = static_cast<std::uint8_t>(controller.index);
                buses_[number] = {.number = number,
                                  .kind = controller.model == "pcie-root-port" ? Bus::Kind::port : Bus::Kind::bridge};
            }
        }
    }

    Result<void> reserve(const Device& device) {
        const PciAddress& address = **device.address;
        const auto bus = buses_.find(address.bus);
        if (bus == buses_.end() || address.domain != 0) {
            return fail(Code::invalid_xml, fmt::format("{}: PCI address {}: there is no controller of that bus",
                                                       device.name, format(address)));
        }
        if (bus->second.kind == Bus::Kind::root) {
            TRY_OK(check_root(device, address));
        } else if (address.slot < bus->second.first() || address.slot > bus->second.last()) {
            return fail(Code::invalid_xml,
                        fmt::format("{}: PCI address {}: that bus has slots {:#04x} to {:#04x}", device.name,
                                    format(address), bus->second.first(), bus->second.last()));
        }
        const Place place{address.slot, address.function};
        if (const auto [at, fresh] = bus->second.taken.emplace(place, device); !fresh) {
            return fail(Code::invalid_xml, fmt::format("{} and {} both want PCI address {}", at->second.name,
                                                       device.name, format(address)));
        }
        return {};
    }

    Result<void> place(const Device& device) {
        if (device.controller != nullptr) {
            if (place_controller(device)) {
                return {};
            }
        } else if (device.display && place_display(device)) {
            return {};
        }
        // A bridge goes to a bus before its own, never into a circle.
        const Controller* const bridge =
            device.controller != nullptr && device.controller->type == Controller::Type::pci ? device.controller
                                                                                             : nullptr;
        for (auto& [number, bus] : buses_) {
            if (bridge != nullptr && number >= bridge->index) {
                break;
            }
            const bool fits = (device.fit == PciFit::express && bus.kind == Bus::Kind::port) ||
                              (device.fit == PciFit::conventional && bus.kind == Bus::Kind::bridge);
            if (fits && place_on(bus, device)) {
                return {};
            }
        }
        if (place_on(buses_.at(0), device)) {
            return {};
        }
        return fail(Code::unsupported_config, fmt::format("{}: no PCI slot is left for it", device.name));
    }

    // A slot of several functions says so at function 0, or QEMU and guests look no further.
    Result<void> settle_functions() {
        for (auto& [number, bus] : buses_) {
            for (auto& [at, device] : bus.taken) {
                const bool chipsets = number == 0 && !occupant(chipset_, at.first).empty();
                if (at.second == 0 || chipsets) {
                    continue;
                }
                const auto zero = bus.taken.find({at.first, 0});
                if (zero == bus.taken.end()) {
                    return fail(Code::invalid_xml, fmt::format("{}: PCI address {} needs a device at function 0",
                                                               device.name, format(**device.address)));
                }
                auto& multifunction = (**zero->second.address).multifunction;
                if (!multifunction.value_or(true)) {
                    return fail(Code::invalid_xml, fmt::format("{} shares its PCI slot with {}, which says "
                                                               "multifunction='off'",
                                                               device.name, zero->second.name));
                }
                multifunction = true;
            }
        }
        return {};
    }

private:
    Result<void> check_root(const Device& device, const PciAddress& address) const {
        const auto holder = occupant(chipset_, address.slot);
        if (holder.empty()) {
            return {};
        }
        const auto own = device.controller != nullptr ? chipset_place(chipset_, *device.controller) : std::nullopt;
        if (own && same_place(*own, address)) {
            return {};
        }
        return fail(Code::invalid_xml,
                    fmt::format("{}: PCI slot {:#04x} belongs to {}", device.name, address.slot, holder));
    }

    bool take(Bus& bus, const Device& device, std::uint8_t slot, std::uint8_t function) {
        if (!bus.taken.emplace(Place{slot, function}, device).second) {
            return false;
        }
        *device.address = PciAddress{0, bus.number, slot, function};
        return true;
    }

    // A slot of its own.
    bool place_on(Bus& bus, const Device& device, std::uint8_t function = 0) {
        const bool root = bus.kind == Bus::Kind::root;
        const bool q35 = chipset_ == Chipset::q35;
        const std::uint8_t first = !root ? bus.first() : q35 ? 2 : 3;
        const std::uint8_t last = root && q35 ? 0x19 : bus.last();
        for (std::uint8_t slot = first; slot <= last; ++slot) {
            if (bus.slot_free(slot)) {
                return take(bus, device, slot, function);
            }
        }
        return false;
    }

    bool place_display(const Device& device) {
        const std::uint8_t slot = chipset_ == Chipset::q35 ? 1 : 2;
        return buses_.at(0).slot_free(slot) && take(buses_.at(0), device, slot, 0);
    }

    bool place_controller(const Device& device) {
        Bus& root = buses_.at(0);
        if (const auto own = chipset_place(chipset_, *device.controller)) {
            return take(root, device, own->slot, own->function);
        }
        if (device.controller->model == "pcie-root-port") {
            return place_port(root, device);
        }
        if (const auto function = ich9_function(device.controller->model)) {
            return place_usb2(root, device, *function);
        }
        return false;
    }

    // Beside another port, as long as that slot has a function left.
    bool place_port(Bus& root, const Device& device) {
        for (std::uint8_t slot = 1; slot < 0x1f; ++slot) {
            const auto zero = root.taken.find({slot, 0});
            const bool ports = zero != root.taken.end() && zero->second.controller != nullptr &&
                               zero->second.controller->model == "pcie-root-port" &&
                               (**zero->second.address).multifunction.value_or(true);
            for (std::uint8_t function = 1; ports && function < 8; ++function) {
                if (take(root, device, slot, function)) {
                    return true;
                }
            }
        }
        return place_on(root, device);
    }

    // The set of one index shares a slot.
    bool place_usb2(Bus& root, const Device& device, std::uint8_t function) {
        for (const auto& [at, other] : root.taken) {
            const Controller* const known = other.controller;
            if (known != nullptr && known->type == Controller::Type::usb && known->index == device.controller->index &&
                ich9_function(known->model)) {
                return take(root, device, at.first, function);
            }
        }
        if (chipset_ == Chipset::q35 && root.slot_free(kUsb2Slot)) {
            return take(root, device, kUsb2Slot, function);
        }
        return place_on(root, device, function);
    }

    Chipset chipset_;
    std::map<std::uint8_t, Bus> buses_;
};

PciFit fit_of(NicModel model) {
    switch (model) {
        case NicModel::virtio:
        case NicModel::virtio_non_transitional:
        case NicModel::e1000e:
        case NicModel::igb:
        case NicModel::vmxnet3: return PciFit::express;
        default: return PciFit::conventional;
    }
}

void add_controllers(Spec& spec, std::vector<Device>& out, bool pci) {
    for (Controller& controller : spec.controllers) {
        const ControllerKind* const kind = controller_kind(controller.type, controller.model);
        if (kind != nullptr && (controller.type == Controller::Type::pci) == pci) {
            out.push_back({controller_alias(controller), &controller.address, kind->fit, &controller});
        }
    }
}

// Every device that needs a place, in the order in which they are given out: ports and bridges before what goes there.
std::vector<Device> pci_devices(Spec& spec) {
    std::vector<Device> out;
    add_controllers(spec, out, true);
    for (std::size_t i = 0; i < spec.videos.size(); ++i) {
        out.push_back({video_alias(spec, i), &spec.videos[i].address, PciFit::conventional, nullptr, true});
    }
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        out.push_back({nic_alias(spec, i), &spec.interfaces[i].address, fit_of(spec.interfaces[i].model)});
    }
    for (std::size_t i = 0; i < spec.sounds.size(); ++i) {
        out.push_back({sound_alias(spec, i), &spec.sounds[i].address, PciFit::conventional});
    }
    add_controllers(spec, out, false);
    for (Disk& disk : spec.disks) {
        if (disk.bus == Disk::Bus::virtio) {
            out.push_back({disk_alias(disk), &disk.address, PciFit::express});
        }
    }
    if (spec.balloon) {
        out.push_back({balloon_alias(spec), &spec.balloon->address, PciFit::express});
    }
    for (std::size_t i = 0; i < spec.rngs.size(); ++i) {
        out.push_back({rng_alias(spec, i), &spec.rngs[i].address, PciFit::express});
    }
    for (std::size_t i = 0; i < spec.watchdogs.size(); ++i) {
        if (spec.watchdogs[i].model == Watchdog::Model::i6300esb) {
            out.push_back({watchdog_alias(spec, i), &spec.watchdogs[i].address, PciFit::conventional});
        }
    }
    for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
        if (spec.inputs[i].bus == Input::Bus::virtio) {
            out.push_back({input_alias(spec, i), &spec.inputs[i].address, PciFit::express});
        }
    }
    return out;
}

}  // namespace

Result<void> assign_addresses(Spec& spec) {
    Allocator allocator(spec);
    const std::vector<Device> all = pci_devices(spec);
    for (const Device& device : all) {
        if (*device.address) {
            TRY_OK(allocator.reserve(device));
        }
    }
    for (const Device& device : all) {
        if (!*device.address) {
            TRY_OK(allocator.place(device));
        }
    }
    TRY_OK(allocator.settle_functions());
    for (Controller& controller : spec.controllers) {
        // What guests and QEMU tell ports apart by; the peer's numbers.
        const bool port = controller.model == "pcie-root-port";
        if ((port || controller.model == "pci-bridge") && !controller.chassis) {
            controller.chassis = controller.index;
        }
        if (port && !controller.port) {
            controller.port = static_cast<unsigned>(controller.address->slot << 3) + controller.address->function;
        }
    }
    return {};
}

std::string format(const PciAddress& address) {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", address.domain, address.bus, address.slot, address.function);
}

}  // namespace bascule::vmm
