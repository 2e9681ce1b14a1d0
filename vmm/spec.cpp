// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/spec.h"

#include <fmt/format.h>

namespace bascule::vmm {

Chipset Os::chipset() const { return machine.contains("q35") ? Chipset::q35 : Chipset::i440fx; }

std::string nic_alias(const Spec& spec, std::size_t index) {
    const std::string& own = spec.interfaces[index].alias;
    return own.empty() ? fmt::format("net{}", index) : own;
}

std::string serial_alias(const Spec& spec, std::size_t index) {
    const std::string& own = spec.serials[index].alias;
    return own.empty() ? fmt::format("serial{}", index) : own;
}

std::string channel_alias(const Spec& spec, std::size_t index) {
    const std::string& own = spec.channels[index].alias;
    return own.empty() ? fmt::format("channel{}", index) : own;
}

std::string controller_alias(const Controller& controller) {
    return controller.alias.empty() ? fmt::format("virtio-serial{}", controller.index) : controller.alias;
}

std::string balloon_alias(const Spec& spec) {
    return !spec.balloon || spec.balloon->alias.empty() ? "balloon0" : spec.balloon->alias;
}

std::string rng_alias(const Spec& spec, std::size_t index) {
    const std::string& own = spec.rngs[index].alias;
    return own.empty() ? fmt::format("rng{}", index) : own;
}

}  // namespace bascule::vmm
