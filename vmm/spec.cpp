// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/spec.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "vmm/controllers.h"

namespace bascule::vmm {

namespace {

// The user's own name, or the kind's with a number.
template <class Device>
std::string named(const std::vector<Device>& devices, std::size_t index, std::string_view kind) {
    const std::string& own = devices[index].alias;
    return own.empty() ? fmt::format("{}{}", kind, index) : own;
}

}  // namespace

bool is_generated_target(std::string_view name) {
    return std::ranges::any_of(kReservedTargets, [name](std::string_view prefix) { return name.starts_with(prefix); });
}

Chipset Os::chipset() const { return machine.contains("q35") ? Chipset::q35 : Chipset::i440fx; }

std::string nic_alias(const Spec& spec, std::size_t index) { return named(spec.interfaces, index, "net"); }
std::string serial_alias(const Spec& spec, std::size_t index) { return named(spec.serials, index, "serial"); }
std::string channel_alias(const Spec& spec, std::size_t index) { return named(spec.channels, index, "channel"); }
std::string rng_alias(const Spec& spec, std::size_t index) { return named(spec.rngs, index, "rng"); }
std::string input_alias(const Spec& spec, std::size_t index) { return named(spec.inputs, index, "input"); }
std::string video_alias(const Spec& spec, std::size_t index) { return named(spec.videos, index, "video"); }
std::string sound_alias(const Spec& spec, std::size_t index) { return named(spec.sounds, index, "sound"); }
std::string watchdog_alias(const Spec& spec, std::size_t index) { return named(spec.watchdogs, index, "watchdog"); }

std::string balloon_alias(const Spec& spec) {
    return !spec.balloon || spec.balloon->alias.empty() ? "balloon0" : spec.balloon->alias;
}

// QEMU names the bus of a controller after this, and a companion shares its master's.
std::string controller_alias(const Controller& controller) {
    if (!controller.alias.empty()) {
        return controller.alias;
    }
    switch (controller.type) {
        case Controller::Type::pci: return fmt::format("pci.{}", controller.index);
        case Controller::Type::usb: return controller.index == 0 ? "usb" : fmt::format("usb{}", controller.index);
        case Controller::Type::ide: return "ide";
        case Controller::Type::sata: return fmt::format("sata{}", controller.index);
        case Controller::Type::scsi: return fmt::format("scsi{}", controller.index);
        case Controller::Type::virtio_serial: return fmt::format("virtio-serial{}", controller.index);
    }
    return {};
}

const Controller* find_controller(const Spec& spec, Controller::Type type, unsigned index) {
    for (const Controller& controller : spec.controllers) {
        if (controller.type == type && controller.index == index && !is_companion(controller)) {
            return &controller;
        }
    }
    return nullptr;
}

std::optional<unsigned> target_index(std::string_view target) {
    constexpr std::string_view kPrefixes[] = {"vd", "hd", "sd", "ubd"};
    constexpr unsigned kMost = 26 * 27;
    for (const std::string_view prefix : kPrefixes) {
        if (!target.starts_with(prefix)) {
            continue;
        }
        const std::string_view letters = target.substr(prefix.size());
        unsigned number = 0;
        for (const char c : letters) {
            if (c < 'a' || c > 'z' || number > kMost) {
                return std::nullopt;
            }
            number = number * 26 + static_cast<unsigned>(c - 'a' + 1);
        }
        return number == 0 ? std::nullopt : std::optional(number - 1);
    }
    return std::nullopt;
}

std::string disk_node(std::size_t index, std::size_t layer) { return fmt::format("drive{}-{}", index, layer); }

std::string disk_alias(const Disk& disk) {
    if (!disk.alias.empty()) {
        return disk.alias;
    }
    const DriveAddress at = disk.drive.value_or(DriveAddress{});
    const unsigned number = target_index(disk.target).value_or(0);
    switch (disk.bus) {
        case Disk::Bus::virtio: return fmt::format("virtio-disk{}", number);
        case Disk::Bus::usb: return fmt::format("usb-disk{}", number);
        case Disk::Bus::ide: return fmt::format("ide{}-{}-{}", at.controller, at.bus, at.unit);
        case Disk::Bus::sata: return fmt::format("sata{}-{}-{}", at.controller, at.bus, at.unit);
        case Disk::Bus::scsi: return fmt::format("scsi{}-{}-{}-{}", at.controller, at.bus, at.target, at.unit);
    }
    return {};
}

std::optional<std::int64_t> parse_utc(std::string_view text) {
    constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
    if (text.size() != kShape.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) {
            return std::nullopt;
        }
    }
    const auto number = [text](std::size_t at, std::size_t size) {
        unsigned value = 0;
        std::from_chars(text.data() + at, text.data() + at + size, value);
        return value;
    };
    const std::chrono::year_month_day day{std::chrono::year(static_cast<int>(number(0, 4))),
                                          std::chrono::month(number(5, 2)), std::chrono::day(number(8, 2))};
    const unsigned hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
    if (!day.ok() || hour > 23 || minute > 59 || second > 59) {
        return std::nullopt;
    }
    const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

}  // namespace bascule::vmm
