// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/agent_facts.h"

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include <fmt/format.h>

namespace bascule::vmm::agent {

using qmp::Json, qmp::member_of, qmp::unsigned_of;

namespace {

constexpr std::size_t kMostText = 1024;

std::unexpected<Error> no_answer(std::string_view what) {
    return fail(Code::malformed, fmt::format("the guest's agent does not say {}", what));
}

std::string text_of(const Json& object, std::string_view name) {
    return qmp::printable(qmp::text_of(object, name), kMostText);
}

// The elements of a list, the first kMostFacts of them, one read after the other.
template <class T, class Read>
Result<std::vector<T>> list_from(const Json& list, std::string_view what, Read read) {
    if (!list.is_array()) {
        return no_answer(what);
    }
    std::vector<T> out;
    for (const Json& one : list) {
        if (out.size() == kMostFacts) {
            break;
        }
        TRY(T value, read(one));
        out.push_back(std::move(value));
    }
    return out;
}

Result<std::string> word_from(const Json& value) {
    if (!value.is_string()) {
        return no_answer("a word where one belongs");
    }
    return qmp::printable(value.get_ref<const std::string&>(), kMostText);
}

// -1 stands for what the agent does not know.
std::optional<PciAddress> pci_from(const Json* object) {
    if (object == nullptr) {
        return std::nullopt;
    }
    const auto domain = unsigned_of(*object, "domain"), bus = unsigned_of(*object, "bus"),
               slot = unsigned_of(*object, "slot"), function = unsigned_of(*object, "function");
    if (!domain || !bus || !slot || !function || *domain > 0xffff || *bus > 0xff || *slot > 0x1f || *function > 7) {
        return std::nullopt;
    }
    return PciAddress{static_cast<std::uint16_t>(*domain), static_cast<std::uint8_t>(*bus),
                      static_cast<std::uint8_t>(*slot), static_cast<std::uint8_t>(*function)};
}

Result<DiskAddress> address_from(const Json& object) {
    if (!object.is_object()) {
        return no_answer("where a disk is");
    }
    return DiskAddress{.pci = pci_from(member_of(object, "pci-controller")),
                       .serial = text_of(object, "serial"),
                       .device = text_of(object, "dev"),
                       .bus_type = text_of(object, "bus-type")};
}

}  // namespace

std::optional<std::string> target_of(const Spec& guest, const DiskAddress& address) {
    const auto there = [&](const PciAddress& pci) {
        return address.pci &&
               std::tie(pci.domain, pci.bus, pci.slot, pci.function) ==
                   std::tie(address.pci->domain, address.pci->bus, address.pci->slot, address.pci->function);
    };
    const auto disk = std::ranges::find_if(guest.disks, [&](const Disk& one) {
        return (one.bus == Disk::Bus::virtio && one.address && there(*one.address)) ||
               (!address.serial.empty() && one.serial == address.serial);
    });
    return disk == guest.disks.end() ? std::nullopt : std::optional(disk->target);
}

Result<std::vector<FileSystem>> file_systems_from(const Json& answer) {
    return list_from<FileSystem>(answer, "which file systems it has", [](const Json& one) -> Result<FileSystem> {
        FileSystem out{.name = text_of(one, "name"),
                       .mountpoint = text_of(one, "mountpoint"),
                       .type = text_of(one, "type"),
                       .total_bytes = unsigned_of(one, "total-bytes"),
                       .used_bytes = unsigned_of(one, "used-bytes")};
        if (out.mountpoint.empty()) {
            return no_answer("where a file system is mounted");
        }
        if (const Json* const disks = member_of(one, "disk")) {
            TRY(out.disks, list_from<DiskAddress>(*disks, "where a file system is", address_from));
        }
        return out;
    });
}

Result<std::vector<BlockDevice>> block_devices_from(const Json& answer) {
    return list_from<BlockDevice>(answer, "which disks it has", [](const Json& one) -> Result<BlockDevice> {
        BlockDevice out{
            .name = text_of(one, "name"), .partition = qmp::flag_of(one, "partition"), .alias = text_of(one, "alias")};
        if (out.name.empty()) {
            return no_answer("a disk's name");
        }
        if (const Json* const below = member_of(one, "dependencies")) {
            TRY(out.dependencies, list_from<std::string>(*below, "what a disk is made of", word_from));
        }
        if (const Json* const address = member_of(one, "address")) {
            TRY(out.address, address_from(*address));
        }
        return out;
    });
}

Result<std::vector<User>> users_from(const Json& answer) {
    return list_from<User>(answer, "who is logged in", [](const Json& one) -> Result<User> {
        User out{.name = text_of(one, "user"), .domain = text_of(one, "domain")};
        const Json* const since = member_of(one, "login-time");
        if (out.name.empty() || since == nullptr || !since->is_number()) {
            return no_answer("who is logged in since when");
        }
        // Seconds with a fraction; to the year 9999.
        constexpr double kLast = 253402300800.0;
        const double seconds = since->get<double>();
        out.login_ms = seconds >= 0 && seconds < kLast ? static_cast<std::uint64_t>(seconds * 1000) : 0;
        return out;
    });
}

Result<std::vector<std::pair<std::string_view, std::string>>> system_from(const Json& answer) {
    if (!answer.is_object()) {
        return no_answer("what system it is");
    }
    static constexpr std::array<std::string_view, 10> kFacts{
        "id",      "name",    "pretty-name", "version", "version-id", "kernel-release", "kernel-version",
        "machine", "variant", "variant-id"};
    std::vector<std::pair<std::string_view, std::string>> out;
    for (const std::string_view fact : kFacts) {
        if (std::string text = text_of(answer, fact); !text.empty()) {
            out.emplace_back(fact, std::move(text));
        }
    }
    return out;
}

Result<TimeZone> time_zone_from(const Json& answer) {
    const Json* const offset = member_of(answer, "offset");
    constexpr std::int64_t kDay = 86400;
    if (offset == nullptr || !offset->is_number_integer() || offset->get<std::int64_t>() < -kDay ||
        offset->get<std::int64_t>() > kDay) {
        return no_answer("its time zone");
    }
    return TimeZone{text_of(answer, "zone"), static_cast<std::int32_t>(offset->get<std::int64_t>())};
}

Result<std::vector<GuestCpu>> cpus_from(const Json& answer) {
    if (!answer.is_array() || answer.size() > kMostCpus) {
        return no_answer("which processors it has");
    }
    std::vector<GuestCpu> out;
    for (const Json& one : answer) {
        const auto id = unsigned_of(one, "logical-id");
        const Json* const online = member_of(one, "online");
        if (!id || *id >= kMostCpus || online == nullptr || !online->is_boolean()) {
            return no_answer("which of its processors are in use");
        }
        out.push_back({static_cast<std::uint32_t>(*id), online->get<bool>(), qmp::flag_of(one, "can-offline")});
    }
    return out;
}

Result<std::vector<double>> load_from(const Json& answer) {
    std::vector<double> out;
    for (const std::string_view name : {"load1m", "load5m", "load15m"}) {
        const Json* const value = member_of(answer, name);
        if (value == nullptr || !value->is_number()) {
            return no_answer("its load");
        }
        out.push_back(value->get<double>());
    }
    return out;
}

Result<std::string> host_name_from(const Json& answer) {
    std::string name = text_of(answer, "host-name");
    if (name.empty()) {
        return no_answer("its host name");
    }
    return name;
}

Result<std::int64_t> time_from(const Json& answer) {
    const bool fits =
        answer.is_number_integer() &&
        (!answer.is_number_unsigned() ||
         answer.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!fits) {
        return no_answer("what time it is");
    }
    return answer.get<std::int64_t>();
}

Result<std::int32_t> count_from(const Json& answer) {
    if (!answer.is_number_unsigned() ||
        answer.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
        return no_answer("how many they were");
    }
    return answer.get<std::int32_t>();
}

Result<std::vector<std::string>> keys_from(const Json& answer) {
    const Json* const keys = member_of(answer, "keys");
    if (keys == nullptr) {
        return no_answer("which keys it has");
    }
    // Longer than other words: an RSA key of 16384 bits has 2800 characters.
    constexpr std::size_t kMostKey = 8192;
    return list_from<std::string>(*keys, "which keys it has", [](const Json& one) -> Result<std::string> {
        if (!one.is_string()) {
            return no_answer("a key");
        }
        return qmp::printable(one.get_ref<const std::string&>(), kMostKey);
    });
}

}  // namespace bascule::vmm::agent
