// SPDX-License-Identifier: GPL-2.0-or-later
// Layouts: QEMU's docs/interop/qcow2.txt and qed_spec.txt, and the block drivers' own headers for the rest.
#include "storage/image.h"

#include <algorithm>
#include <string_view>

namespace bascule::storage {

namespace {

using namespace std::string_view_literals;

bool has(ByteView head, std::size_t at, std::string_view magic) {
    return head.size() >= at + magic.size() && as_text(head.subspan(at, magic.size())) == magic;
}

ByteReader at(ByteView head, std::size_t offset) { return ByteReader(head.subspan(std::min(offset, head.size()))); }

std::uint64_t little(ByteView head, std::size_t offset, std::size_t width) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < width && offset + i < head.size(); ++i) {
        out |= static_cast<std::uint64_t>(head[offset + i]) << (8 * i);
    }
    return out;
}

// A name in the file; empty when it is not all there or no text.
std::string text_at(ByteView head, std::uint64_t offset, std::uint64_t length) {
    constexpr std::uint64_t kMost = 1023;  // qcow2.txt: backing_file_size
    if (length == 0 || length > kMost || offset > head.size() || head.size() - offset < length) {
        return {};
    }
    const std::string_view text =
        as_text(head.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)));
    std::string slashless(text);
    std::ranges::replace(slashless, '/', '_');
    for (std::string_view rest = slashless; !rest.empty();
         rest.remove_prefix(std::min<std::size_t>(rest.size(), 128))) {
        // In pieces, since a name may be longer than that of a file; a character that is cut makes it no text.
        if (!is_volume_name("x" + std::string(rest.substr(0, 128)))) {
            return {};
        }
    }
    return std::string(text);
}

constexpr std::string_view kQcow = "QFI\xfb";
constexpr std::string_view kQed = "QED\0"sv;
constexpr std::string_view kVmdk = "KDMV";
constexpr std::string_view kVpc = "conectix";
constexpr std::string_view kVdi = "\x7f\x10\xda\xbe";
constexpr std::string_view kLuks = "LUKS\xba\xbe";
constexpr std::string_view kIso = "CD001";
constexpr std::size_t kIsoAt = 0x8001, kVdiAt = 64;

// The header extensions of qcow2, of which the backing file's format is one.
std::optional<Format> backing_format(ByteView head, std::size_t offset) {
    constexpr std::uint32_t kEnd = 0, kBackingFormat = 0xE2792ACA;
    ByteReader in = at(head, offset);
    while (in.ok() && in.left() >= 8) {
        const std::uint32_t type = in.u32(), length = in.u32();
        if (type == kEnd || length > in.left()) {
            break;
        }
        const ByteView data = in.take(length);
        if (type == kBackingFormat) {
            return kFormats.parse(as_text(data));
        }
        in.skip(std::min<std::size_t>((8 - length % 8) % 8, in.left()));
    }
    return std::nullopt;
}

void read_backing(Image& out, ByteView head, std::uint64_t offset, std::uint64_t length) {
    if (offset != 0) {
        out.backing = text_at(head, offset, length);
    }
}

std::optional<Image> qcow2(ByteView head) {
    constexpr std::uint64_t kExternalData = 4, kExtendedL2 = 16, kLazyRefcounts = 1;
    ByteReader in(head);
    in.skip(4);
    const std::uint32_t version = in.u32();
    const std::uint64_t backing_offset = in.u64();
    const std::uint32_t backing_length = in.u32(), cluster_bits = in.u32();
    const std::uint64_t capacity = in.u64();
    const std::uint32_t encryption = in.u32();
    if (!in.ok() || (version != 2 && version != 3) || cluster_bits < 9 || cluster_bits > 21) {
        return std::nullopt;
    }
    Image out{.format = Format::qcow2, .capacity = capacity};
    out.details.compat = version == 2 ? "0.10" : "1.1";
    out.details.cluster_size = std::uint64_t{1} << cluster_bits;
    out.encrypted = encryption != 0;
    std::size_t extensions = 72;
    if (version == 3) {
        ByteReader more = at(head, extensions);
        const std::uint64_t incompatible = more.u64(), compatible = more.u64();
        more.skip(8 + 4);
        const std::uint32_t length = more.u32();
        if (!more.ok() || length < 104) {
            return std::nullopt;
        }
        out.external_data = (incompatible & kExternalData) != 0;
        out.details.extended_l2 = (incompatible & kExtendedL2) != 0;
        out.details.lazy_refcounts = (compatible & kLazyRefcounts) != 0;
        extensions = length;
    }
    read_backing(out, head, backing_offset, backing_length);
    if (out.backing) {
        out.backing_format = backing_format(head, extensions);
    }
    return out;
}

std::optional<Image> qcow1(ByteView head) {
    ByteReader in(head);
    in.skip(8);
    const std::uint64_t backing_offset = in.u64();
    const std::uint32_t backing_length = in.u32();
    in.skip(4);
    const std::uint64_t capacity = in.u64();
    in.skip(4);
    const std::uint32_t encryption = in.u32();
    if (!in.ok()) {
        return std::nullopt;
    }
    Image out{.format = Format::qcow, .capacity = capacity};
    out.encrypted = encryption != 0;
    read_backing(out, head, backing_offset, backing_length);
    return out;
}

Image qed(ByteView head) {
    constexpr std::uint64_t kBacking = 1, kNoProbe = 4;
    Image out{.format = Format::qed, .capacity = little(head, 48, 8)};
    const std::uint64_t features = little(head, 16, 8);
    if ((features & kBacking) != 0) {
        out.backing = text_at(head, little(head, 56, 4), little(head, 60, 4));
        out.backing_format = (features & kNoProbe) != 0 ? std::optional(Format::raw) : std::nullopt;
    }
    return out;
}

Image unrecorded(ByteView head) {
    if (has(head, 0, kQcow)) {
        const bool first = little(head, 4, 4) == 0x01000000;  // big-endian 1
        if (auto image = first ? qcow1(head) : qcow2(head)) {
            return *image;
        }
    }
    if (has(head, 0, kQed) && head.size() >= 64) {
        return qed(head);
    }
    if (has(head, 0, kVmdk) && head.size() >= 20) {
        constexpr std::uint64_t kSector = 512, kMostSectors = std::uint64_t{1} << 54;
        return {.format = Format::vmdk, .capacity = std::min(little(head, 12, 8), kMostSectors) * kSector};
    }
    if (has(head, 0, kVpc) && head.size() >= 48) {
        return {.format = Format::vpc, .capacity = at(head, 40).u64()};
    }
    if (has(head, kVdiAt, kVdi) && head.size() >= 376) {
        return {.format = Format::vdi, .capacity = little(head, 368, 8)};
    }
    if (has(head, 0, kLuks)) {
        return {.format = Format::luks, .encrypted = true};
    }
    if (has(head, kIsoAt, kIso)) {
        return {.format = Format::iso};
    }
    return {};
}

}  // namespace

std::size_t head_wanted(ByteView head) {
    if (has(head, 0, kQcow) || has(head, 0, kQed)) {
        return kMostHead;  // names may be anywhere in the first cluster, which is mostly this long
    }
    // The first 32 KiB of ISO 9660 are for boot loaders; a disk with a boot sector has something in them, too.
    return kIsoAt + kIso.size();
}

Image describe(ByteView head, std::optional<Format> recorded) {
    if (recorded == Format::raw) {
        return {};
    }
    Image out = unrecorded(head);
    return recorded && out.format != *recorded ? Image() : out;
}

std::optional<std::string> resolve_backing(const std::string& path, const std::string& backing) {
    // "PROTOCOL:REST" as QEMU understands it: a colon in front of the first slash.
    const auto colon = backing.find(':'), slash = backing.find('/');
    if (backing.empty() || (colon != std::string::npos && (slash == std::string::npos || colon < slash))) {
        return std::nullopt;
    }
    return tidy_path(backing.starts_with('/') ? backing : folder_of(path) + "/" + backing);
}

}  // namespace bascule::storage
