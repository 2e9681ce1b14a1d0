// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest says of itself through its agent, decoded. Every word is the guest's: texts are printable and short,
// lists end at kMostFacts, a member of another type than the agent's is Code::malformed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "vmm/pci_address.h"
#include "vmm/qmp.h"
#include "vmm/spec.h"

namespace bascule::vmm::agent {

inline constexpr std::size_t kMostFacts = 256;

// Where a file system or a block device of the guest lies.
struct DiskAddress {
    std::optional<PciAddress> pci{};  // as the guest numbers its buses
    std::string serial{}, device{};   // "/dev/vda1"
    std::string bus_type{};           // "virtio"
    bool operator==(const DiskAddress&) const = default;
};
// The guest's disk there, by its target ("vda").
std::optional<std::string> target_of(const Spec& guest, const DiskAddress& address);

// guest-get-fsinfo
struct FileSystem {
    std::string name, mountpoint, type;
    std::optional<std::uint64_t> total_bytes{}, used_bytes{};
    std::vector<DiskAddress> disks{};
    bool operator==(const FileSystem&) const = default;
};
Result<std::vector<FileSystem>> file_systems_from(const qmp::Json& answer);

// guest-get-disks
struct BlockDevice {
    std::string name;
    bool partition = false;
    std::vector<std::string> dependencies{};
    std::string alias{};  // the guest's
    std::optional<DiskAddress> address{};
    bool operator==(const BlockDevice&) const = default;
};
Result<std::vector<BlockDevice>> block_devices_from(const qmp::Json& answer);

// guest-get-users
struct User {
    std::string name, domain;
    std::uint64_t login_ms = 0;  // since 1970
    bool operator==(const User&) const = default;
};
Result<std::vector<User>> users_from(const qmp::Json& answer);

// guest-get-osinfo: libvirt's name of each fact that the agent knows, and the fact.
Result<std::vector<std::pair<std::string_view, std::string>>> system_from(const qmp::Json& answer);

// guest-get-timezone
struct TimeZone {
    std::string name;  // may be empty
    std::int32_t offset_s = 0;
    bool operator==(const TimeZone&) const = default;
};
Result<TimeZone> time_zone_from(const qmp::Json& answer);

// guest-get-vcpus
struct GuestCpu {
    std::uint32_t id = 0;
    bool online = false, can_offline = false;
    bool operator==(const GuestCpu&) const = default;
};
inline constexpr std::uint32_t kMostCpus = 4096;
Result<std::vector<GuestCpu>> cpus_from(const qmp::Json& answer);

// guest-get-load: of 1, 5 and 15 minutes.
Result<std::vector<double>> load_from(const qmp::Json& answer);

// guest-get-host-name
Result<std::string> host_name_from(const qmp::Json& answer);
// guest-get-time: nanoseconds since 1970.
Result<std::int64_t> time_from(const qmp::Json& answer);
// Of commands that answer with a number of things (guest-fsfreeze-*).
Result<std::int32_t> count_from(const qmp::Json& answer);
// guest-ssh-get-authorized-keys
Result<std::vector<std::string>> keys_from(const qmp::Json& answer);

}  // namespace bascule::vmm::agent
