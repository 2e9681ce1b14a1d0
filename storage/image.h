// SPDX-License-Identifier: GPL-2.0-or-later
// What the first bytes of a file say: which format of image it looks like, how large a disk it holds, and on which
// file it builds. Numbers at fixed offsets, read with bounds; nothing in them is followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "storage/spec.h"

namespace bascule::storage {

// Enough for every format's fixed part but that of ISO 9660, whose mark is at 32769.
inline constexpr std::size_t kHead = 4096;
inline constexpr std::size_t kMostHead = 65536;
// How much of the file describe() wants to see, given its first kHead bytes.
std::size_t head_wanted(ByteView head);

struct Image {
    Format format = Format::raw;
    std::optional<std::uint64_t> capacity{};  // none: the file's size
    FormatDetails details{};
    std::optional<std::string> backing{};  // as written: maybe relative, maybe no file at all; empty: not readable
    std::optional<Format> backing_format{};
    bool encrypted = false, external_data = false;
    bool operator==(const Image&) const = default;
};
// `recorded`: the format that the file was made with; a head that does not agree with it is raw bytes.
Image describe(ByteView head, std::optional<Format> recorded = {});

// The file that an image at `path` means by `backing`; nothing where that is no local file (a protocol, json:).
std::optional<std::string> resolve_backing(const std::string& path, const std::string& backing);

}  // namespace bascule::storage
