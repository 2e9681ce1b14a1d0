// SPDX-License-Identifier: GPL-2.0-or-later
// The commands that make and change images.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/spec.h"

namespace bascule::storage {

// A program to run, and the files that it needs. With `confined` it may open nothing else (kernel/io.h).
struct Run {
    std::string program;
    std::vector<std::string> args{};
    std::vector<std::string> reads{}, writes{};
    bool confined = false;
    bool operator==(const Run&) const = default;
};

enum class Preallocation { none, metadata, full };

// An image to be made at a path where an empty file is already.
struct NewImage {
    std::string path;
    Format format = Format::raw;
    std::uint64_t capacity = 0;
    FormatDetails details{};
    std::optional<Backing> backing{};  // with its format
    std::vector<std::string> chain{};  // the files that the backing file builds on, itself included
    Preallocation preallocation = Preallocation::none;
};
Run make_image(const NewImage& image);

// The image to be copied, of a format that is known.
struct OldImage {
    std::string path;
    Format format = Format::raw;
    std::vector<std::string> chain{};
};
// `is_device`: it exists with its size (a block device), and only its content is written.
Run copy_image(const OldImage& from, const NewImage& to, bool is_device);
Run resize_image(const std::string& path, Format format, std::uint64_t capacity, bool shrink, bool allocate);

// What a request for a volume comes to once defaults are filled in; refused where they do not go together.
struct Wanted {
    Format format = Format::raw;
    std::uint64_t capacity = 0, allocation = 0;
};
// `source`: the volume it is to be a copy of; `base`: the capacity of the backing file, where that is known.
Result<Wanted> settle(const VolumeSpec& spec, PoolType pool, const Volume* source, std::optional<std::uint64_t> base);

// The new capacity of a resize call. Flags as in virStorageVolResizeFlags.
inline constexpr std::uint32_t kResizeAllocate = 1, kResizeDelta = 2, kResizeShrink = 4;
Result<std::uint64_t> resized(const Volume& volume, std::uint64_t capacity, std::uint32_t flags,
                              std::uint64_t available);

}  // namespace bascule::storage
