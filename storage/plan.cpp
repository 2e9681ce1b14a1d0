// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/plan.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace bascule::storage {

namespace {

constexpr std::uint64_t kMostBytes = std::numeric_limits<std::int64_t>::max();  // of a file

std::string name_of_format(Format format) { return std::string(kFormats.name(format)); }

// A comma in a value of -o is doubled (qemu-img(1)); file names never go there.
void add_options(std::vector<std::string>& args, const NewImage& image) {
    std::vector<std::string> options;
    if (image.format == Format::qcow2) {
        options.push_back("compat=" + (image.details.compat.empty() ? "1.1" : image.details.compat));
        if (image.details.cluster_size) {
            options.push_back(fmt::format("cluster_size={}", *image.details.cluster_size));
        }
        if (image.details.lazy_refcounts) {
            options.emplace_back("lazy_refcounts=on");
        }
        if (image.details.extended_l2) {
            options.emplace_back("extended_l2=on");
        }
        if (image.preallocation != Preallocation::none) {
            options.push_back(
                fmt::format("preallocation={}", image.preallocation == Preallocation::full ? "falloc" : "metadata"));
        }
    }
    if (!options.empty()) {
        args.emplace_back("-o");
        args.push_back(fmt::format("{}", fmt::join(options, ",")));
    }
}

void add_chain(Run& run, const std::vector<std::string>& chain) {
    run.reads.insert(run.reads.end(), chain.begin(), chain.end());
}

Run qemu_img(std::vector<std::string> args) {
    return {.program = "qemu-img", .args = std::move(args), .confined = true};
}

}  // namespace

// "./" or "file:" in front is not needed: paths are absolute, and QEMU takes one that begins with '/' for a file
// whatever colons follow.
Run make_image(const NewImage& image) {
    Run out = qemu_img({"create", "-q", "-f", name_of_format(image.format)});
    if (image.backing) {
        out.args.insert(out.args.end(),
                        {"-b", image.backing->path, "-F", name_of_format(image.backing->format.value_or(Format::raw))});
    }
    add_options(out.args, image);
    out.args.push_back(image.path);
    out.args.push_back(std::to_string(image.capacity));
    out.writes = {image.path};
    add_chain(out, image.chain);
    return out;
}

Run copy_image(const OldImage& from, const NewImage& to, bool is_device) {
    Run out = qemu_img({"convert", "-q", "-f", name_of_format(from.format), "-O", name_of_format(to.format)});
    if (is_device) {
        out.args.emplace_back("-n");
    } else {
        add_options(out.args, to);
    }
    if (to.backing) {
        out.args.insert(out.args.end(),
                        {"-B", to.backing->path, "-F", name_of_format(to.backing->format.value_or(Format::raw))});
    }
    if (to.preallocation == Preallocation::full && to.format == Format::raw && !is_device) {
        out.args.insert(out.args.end(), {"-S", "0"});  // holes are written out
    }
    out.args.insert(out.args.end(), {from.path, to.path});
    out.reads = {from.path};
    out.writes = {to.path};
    add_chain(out, from.chain);
    add_chain(out, to.chain);
    return out;
}

Run resize_image(const std::string& path, Format format, std::uint64_t capacity, bool shrink, bool allocate) {
    Run out = qemu_img({"resize", "-q", "-f", name_of_format(format)});
    if (shrink) {
        out.args.emplace_back("--shrink");
    }
    if (allocate) {
        out.args.emplace_back("--preallocation=falloc");
    }
    out.args.push_back(path);
    out.args.push_back(std::to_string(capacity));
    out.writes = {path};
    return out;
}

Result<Wanted> settle(const VolumeSpec& spec, PoolType pool, const Volume* source, std::optional<std::uint64_t> base) {
    Wanted out;
    out.format = spec.format.value_or(Format::raw);
    if (pool == PoolType::logical && out.format != Format::raw) {
        return fail(Code::unsupported_config,
                    fmt::format("a logical volume holds the format 'raw', not '{}'", name_of_format(out.format)));
    }
    if (pool == PoolType::logical && spec.backing) {
        return fail(Code::unsupported_config, "<backingStore> of a logical volume (a snapshot) is not supported");
    }
    if (out.format == Format::dir && (source != nullptr || spec.backing)) {
        return fail(Code::unsupported_config, "a volume of the format 'dir' is an empty folder: nothing to copy from");
    }
    if (!can_make(out.format) && out.format != Format::dir) {
        return fail(Code::unsupported_config,
                    fmt::format("volumes of the format '{}' cannot be made: take 'raw' or 'qcow2'",
                                name_of_format(out.format)));
    }
    if (spec.backing && out.format != Format::qcow2 && out.format != Format::qcow && out.format != Format::qed) {
        return fail(Code::unsupported_config,
                    fmt::format("<backingStore>: a volume of the format '{}' has no backing file, one of 'qcow2' does",
                                name_of_format(out.format)));
    }
    const auto least = source != nullptr ? std::optional(source->capacity) : base;
    if (!spec.capacity && !least && out.format != Format::dir) {
        return fail(Code::invalid_xml, "missing capacity element");
    }
    out.capacity = spec.capacity.value_or(least.value_or(0));
    if (source != nullptr) {
        out.capacity = std::max(out.capacity, source->capacity);  // a copy is not cut short
    }
    if (pool == PoolType::logical && out.capacity == 0) {
        return fail(Code::invalid_argument, "a logical volume needs a capacity above 0");
    }
    if (out.capacity > kMostBytes) {
        return fail(Code::invalid_argument,
                    fmt::format("a capacity of {} bytes is more than a file can have", out.capacity));
    }
    // The peer takes a volume without <allocation> as one to be allocated in full.
    out.allocation = std::min(spec.allocation.value_or(out.capacity), out.capacity);
    return out;
}

Result<std::uint64_t> resized(const Volume& volume, std::uint64_t capacity, std::uint32_t flags,
                              std::uint64_t available) {
    const bool shrink = (flags & kResizeShrink) != 0;
    std::uint64_t wanted = capacity;
    if ((flags & kResizeDelta) != 0) {
        if (shrink ? capacity > volume.capacity : capacity > kMostBytes - std::min(volume.capacity, kMostBytes)) {
            return fail(Code::invalid_argument,
                        fmt::format("the capacity of {} bytes cannot change by {}", volume.capacity, capacity));
        }
        wanted = shrink ? volume.capacity - capacity : volume.capacity + capacity;
    }
    if (wanted > kMostBytes) {
        return fail(Code::invalid_argument, fmt::format("a capacity of {} bytes is more than a file can have", wanted));
    }
    if (!shrink && wanted < volume.allocation && volume.format == Format::raw) {
        return fail(Code::invalid_argument, "can't shrink capacity below existing allocation");
    }
    if (!shrink && wanted < volume.capacity) {
        return fail(Code::invalid_argument,
                    "Can't shrink capacity below current capacity unless shrink flag explicitly specified");
    }
    const bool uses_room = (flags & kResizeAllocate) != 0 || volume.type == VolumeType::block;
    if (uses_room && wanted > volume.capacity && wanted - volume.capacity > available) {
        return fail(Code::exists, "Not enough space left in storage pool");
    }
    return wanted;
}

}  // namespace bascule::storage
