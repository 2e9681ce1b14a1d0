// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever parses must format to what parses to the same. The first byte chooses: a pool, a volume of a folder or of a
// group, an image's first bytes, LVM's report.
#include <cstdlib>
#include <string_view>

#include "base/xml.h"
#include "storage/image.h"
#include "storage/lvm.h"
#include "storage/plan.h"
#include "storage/xml.h"

namespace {

using namespace bascule;

void pool(std::string_view text) {
    auto spec = storage::parse_pool(text);
    if (!spec) {
        return;
    }
    spec->uuid = spec->uuid.is_nil() ? storage::implied_uuid("/") : spec->uuid;
    const auto again = storage::parse_pool(storage::format(*spec, {.capacity = 1}));
    if (!again || *again != *spec) {
        std::abort();
    }
}

void volume(std::string_view text, storage::PoolType type) {
    const auto spec = storage::parse_volume(text, type);
    if (!spec) {
        return;
    }
    const auto wanted = storage::settle(*spec, type, nullptr, 1);
    if (!wanted) {
        return;
    }
    storage::Volume made{.name = spec->name,
                         .key = spec->name,
                         .path = "/p/" + spec->name,
                         .format = wanted->format,
                         .capacity = wanted->capacity,
                         .allocation = wanted->allocation};
    made.details = spec->details;
    made.details.compat = made.details.compat.empty() ? "1.1" : made.details.compat;
    made.permissions = spec->permissions;
    made.backing = spec->backing;
    const auto again = storage::parse_volume(storage::format(made), type);
    if (!again || again->name != spec->name || again->capacity != wanted->capacity ||
        again->permissions != spec->permissions) {
        std::abort();
    }
}

void image(ByteView head) {
    const storage::Image seen = storage::describe(head);
    if (storage::head_wanted(head) > storage::kMostHead ||
        storage::describe(head, storage::Format::raw) != storage::Image()) {
        std::abort();
    }
    storage::Volume shown{
        .name = "x", .key = "/x", .path = "/x", .format = seen.format, .capacity = seen.capacity.value_or(0)};
    shown.details = seen.details;
    if (seen.backing) {
        const auto path = storage::resolve_backing("/p/x", *seen.backing);
        if (path && storage::tidy_path(*path) != path) {
            std::abort();
        }
        shown.backing = storage::Backing{*seen.backing, seen.backing_format};
    }
    if (!xml::parse(storage::format(shown))) {  // whatever an image says, a listing is XML
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    switch (data[0]) {
        case 'p': pool(text); break;
        case 'v': volume(text, storage::PoolType::dir); break;
        case 'l': volume(text, storage::PoolType::logical); break;
        case 'r':
            (void)storage::parse_volumes(text, "vg0").has_value();
            (void)storage::parse_group(text, "vg0").has_value();
            (void)storage::parse_groups(text).has_value();
            break;
        default: image(as_bytes(text));
    }
    return 0;
}
