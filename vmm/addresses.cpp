// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/addresses.h"

#include <map>

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

// Why a slot of bus 0 is not to be had; empty: it is. q35 has its LPC, SATA and SMBus functions in slot 0x1f,
// i440fx its ISA bridge in slot 1.
std::string_view occupant(Chipset chipset, std::uint8_t slot) {
    if (slot == 0) {
        return "the host bridge";
    }
    if (chipset == Chipset::q35) {
        return slot == 0x1f ? "the chipset's LPC, SATA and SMBus functions" : "";
    }
    return slot == 1 ? "the chipset's ISA bridge" : "";
}

// Kept free for a display (slot 1, or 2 on i440fx) and for q35's USB functions (0x1a, 0x1d), all of which the peer
// puts there, so that devices added later need not move.
std::uint8_t first_slot(Chipset chipset) { return chipset == Chipset::q35 ? 2 : 3; }
std::uint8_t last_slot(Chipset chipset) { return chipset == Chipset::q35 ? 0x19 : 0x1f; }

class Slots {
public:
    explicit Slots(Chipset chipset) : chipset_(chipset) {}

    Result<void> reserve(const PciAddress& address, const std::string& device) {
        if (address.domain != 0 || address.bus != 0 || address.function != 0) {
            return fail(Code::unsupported_config,
                        fmt::format("{}: PCI address {}: there is only bus 0, function 0", device, format(address)));
        }
        if (const auto holder = occupant(chipset_, address.slot); !holder.empty()) {
            return fail(Code::invalid_xml,
                        fmt::format("{}: PCI slot {:#04x} belongs to {}", device, address.slot, holder));
        }
        if (const auto [at, fresh] = taken_.emplace(address.slot, device); !fresh) {
            return fail(Code::invalid_xml,
                        fmt::format("{} and {} both want PCI slot {:#04x}", at->second, device, address.slot));
        }
        return {};
    }

    Result<PciAddress> next(const std::string& device) {
        for (std::uint8_t slot = first_slot(chipset_); slot <= last_slot(chipset_); ++slot) {
            if (taken_.emplace(slot, device).second) {
                return PciAddress{0, 0, slot, 0};
            }
        }
        return fail(Code::unsupported_config, fmt::format("{}: no PCI slot is left for it", device));
    }

private:
    Chipset chipset_;
    std::map<std::uint8_t, std::string> taken_;
};

// Every device that needs a slot, in the order in which they are given out.
std::vector<std::pair<std::string, std::optional<PciAddress>*>> devices(Spec& spec) {
    std::vector<std::pair<std::string, std::optional<PciAddress>*>> out;
    out.reserve(spec.interfaces.size() + spec.controllers.size() + spec.rngs.size() + 1);
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        out.emplace_back(nic_alias(spec, i), &spec.interfaces[i].address);
    }
    for (Controller& controller : spec.controllers) {
        out.emplace_back(controller_alias(controller), &controller.address);
    }
    if (spec.balloon) {
        out.emplace_back(balloon_alias(spec), &spec.balloon->address);
    }
    for (std::size_t i = 0; i < spec.rngs.size(); ++i) {
        out.emplace_back(rng_alias(spec, i), &spec.rngs[i].address);
    }
    return out;
}

}  // namespace

Result<void> assign_addresses(Spec& spec) {
    Slots slots(spec.os.chipset());
    const auto all = devices(spec);
    for (const auto& [device, address] : all) {
        if (*address) {
            TRY_OK(slots.reserve(**address, device));
        }
    }
    for (const auto& [device, address] : all) {
        if (!*address) {
            TRY(*address, slots.next(device));
        }
    }
    return {};
}

std::string format(const PciAddress& address) {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", address.domain, address.bus, address.slot, address.function);
}

}  // namespace bascule::vmm
