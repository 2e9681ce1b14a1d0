// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of storage/
//
// A pool is a place that holds volumes, a volume is a disk image: a file below a folder (`dir`) or a logical volume
// of an LVM group (`logical`). This folder is the part that needs no disk: the documents (xml.h), what an image's
// first bytes say (image.h), the commands that make and change images (plan.h), what LVM prints (lvm.h), the passes of
// a wipe (wipe.h). daemon/storage puts them to work.
//
//   <pool> ──parse──▶ PoolSpec            <volume> ──parse──▶ VolumeSpec ──plan──▶ [Command, …] ──▶ qemu-img, LVM
//   a file's stat and head ──describe──▶ Volume ──format──▶ <volume>
//
// What is there is looked at, never remembered: a pool's volumes are what its folder or group holds at the last look.
//
// Who may be trusted with what. A guest writes every byte of a raw volume, so it can write one that begins like a qcow2
// image whose header names any file of the host as its backing file. Hence
//  * a volume made as raw is raw for good: its format is recorded beside it (an extended attribute that only root can
//    write), and its bytes are not asked. Only an upload by a client makes it unknown again;
//  * a format that was not recorded is what the first bytes say, for showing; nothing is opened because of it. When an
//    image is copied, its chain may only lead to volumes of active pools;
//  * qemu-img, which parses images in full, is told the format each time, and runs confined to the files it is to read
//    and write (kernel/io.h, Confinement);
//  * the daemon itself reads numbers at fixed offsets of the first bytes, with bounds, and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/names.h"

namespace bascule::storage {

enum class PoolType { dir, logical };
inline constexpr EnumNames<PoolType, 2> kPoolTypes{{{{"dir", PoolType::dir}, {"logical", PoolType::logical}}}};

enum class Format {
    raw,
    qcow2,
    qcow,
    qed,
    vdi,
    vmdk,
    vpc,
    dir,
    iso,
    luks,
    bochs,
    cloop,
    cow,
    dmg,
    fat,
    vhd,
    ploop,
    unknown,
};
inline constexpr EnumNames<Format, 19> kFormats{{{{"raw", Format::raw},
                                                  {"qcow2", Format::qcow2},
                                                  {"qcow", Format::qcow},
                                                  {"qed", Format::qed},
                                                  {"vdi", Format::vdi},
                                                  {"vmdk", Format::vmdk},
                                                  {"vpc", Format::vpc},
                                                  {"dir", Format::dir},
                                                  {"iso", Format::iso},
                                                  {"luks", Format::luks},
                                                  {"bochs", Format::bochs},
                                                  {"cloop", Format::cloop},
                                                  {"cow", Format::cow},
                                                  {"dmg", Format::dmg},
                                                  {"fat", Format::fat},
                                                  {"vhd", Format::vhd},
                                                  {"ploop", Format::ploop},
                                                  {"unknown", Format::unknown},
                                                  {"none", Format::unknown}}}};
// What qemu-img can make and change here. The rest is shown where it is found, no more.
bool can_make(Format format);

// Absent: as the process that makes it has it; -1 in a document.
struct Permissions {
    std::optional<std::uint32_t> mode, owner, group;
    bool operator==(const Permissions&) const = default;
};

// A <pool>, as it was asked for.
struct PoolSpec {
    ObjectName name;
    Uuid uuid{};  // nil: none was given
    PoolType type = PoolType::dir;
    std::string target{};  // absolute, tidy
    Permissions permissions{};
    // logical: the group, and the devices that it is made of when it is built.
    std::string group{};
    std::vector<std::string> devices{};
    bool operator==(const PoolSpec&) const = default;
};

// What a pool has room for, in bytes.
struct Room {
    std::uint64_t capacity = 0, allocation = 0, available = 0;
    bool operator==(const Room&) const = default;
};

enum class VolumeType { file = 0, block = 1, dir = 2 };  // virStorageVolType
inline constexpr EnumNames<VolumeType, 3> kVolumeTypes{
    {{{"file", VolumeType::file}, {"block", VolumeType::block}, {"dir", VolumeType::dir}}}};

// The file under an image that holds what the image itself does not.
struct Backing {
    std::string path;
    std::optional<Format> format;
    bool operator==(const Backing&) const = default;
};

// What only some formats have.
struct FormatDetails {
    std::string compat;  // qcow2: "0.10" or "1.1"
    std::optional<std::uint64_t> cluster_size;
    bool lazy_refcounts = false, extended_l2 = false;
    bool operator==(const FormatDetails&) const = default;
};

// A <volume> to be made.
struct VolumeSpec {
    std::string name{};
    std::optional<std::uint64_t> capacity{}, allocation{};
    std::optional<Format> format{};
    FormatDetails details{};
    Permissions permissions{};
    std::optional<Backing> backing{};
    bool operator==(const VolumeSpec&) const = default;
};

struct Instant {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    bool operator==(const Instant&) const = default;
};

// A volume as it is.
struct Volume {
    std::string name{}, key{}, path{};
    VolumeType type = VolumeType::file;
    Format format = Format::raw;
    std::uint64_t capacity = 0, allocation = 0;
    std::optional<std::uint64_t> physical{};
    FormatDetails details{};
    Permissions permissions{};
    std::optional<Backing> backing{};
    bool encrypted = false;
    bool external_data = false;  // qcow2 whose data is in another file
    struct Times {
        Instant access, change, modification;
        bool operator==(const Times&) const = default;
    };
    std::optional<Times> times{};
    std::vector<std::string> devices{};  // what a logical volume lies on
    bool operator==(const Volume&) const = default;
};

// A file name that can be a volume's: not empty, no '/', no control byte, whole UTF-8, not "." or "..".
bool is_volume_name(std::string_view name);
// "/a//b/../" is not tidied away: a path keeps its meaning, only doubled and trailing slashes go. Nothing for a
// relative path or one with "." or ".." in it.
std::optional<std::string> tidy_path(std::string_view path);
std::string folder_of(std::string_view path);  // of "/a/b": "/a"; of "/a": "/"
std::string name_of(std::string_view path);

// A file that is in no pool is shown in the pool of its folder, which is there while somebody asks for it. Its name
// is made of the path ("/srv/vm" is ":srv:vm"), its uuid too, so that both mean the same after a restart.
std::string implied_name(std::string_view folder);
Uuid implied_uuid(std::string_view folder);

// "10" with the unit "GiB": bytes. The units are the peer's: b and byte(s); k, KiB = 1024, kB = 1000, and so on up to
// E, in either case. Absent where there is no such unit, or it is more than 64 bits.
std::optional<std::uint64_t> scaled(std::uint64_t value, std::string_view unit);

}  // namespace bascule::storage
