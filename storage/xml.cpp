// SPDX-License-Identifier: GPL-2.0-or-later
// <pool>. What the peer's schema knows and this version does not do is named here; whatever is not named at all is
// refused by Reader::finish().
#include "storage/xml.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "storage/lvm.h"
#include "storage/xml_parts.h"

namespace bascule::storage {

using xml::Fault;
using xml::Node;
using xml::Reader;

namespace {

constexpr std::array<std::string_view, 12> kOtherTypes{
    "fs", "netfs", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs", "vstorage"};
// Others of libvirt's schema, each with what its volumes may be; for capabilities().
constexpr std::string_view kLvm2 = "lvm2";

constexpr xml::Value<ObjectName> kName{"a name without '/', at most 200 characters long", ObjectName::parse};
constexpr xml::Value<Uuid> kUuid{"a UUID", [](std::string_view text) {
                                     const auto uuid = Uuid::parse(text);
                                     return uuid && !uuid->is_nil() ? uuid : std::nullopt;
                                 }};
constexpr xml::Value<std::string> kGroup{"the name of an LVM volume group", [](std::string_view text) {
                                             return is_lvm_name(text) ? std::optional(std::string(text)) : std::nullopt;
                                         }};
constexpr xml::Value<std::string> kLvmFormat{
    "'lvm2'", [](std::string_view text) {
        return text == kLvm2 || text == "unknown" ? std::optional(std::string(text)) : std::nullopt;
    }};

struct Source {
    std::optional<std::string> group;
    std::vector<std::string> devices;
};

Result<std::string> parse_device(const Node& node) {
    Reader r(node);
    const auto path = r.req("path", kPath);
    r.ignore_attr("part_separator");  // about naming partitions, which a group has not
    TRY_OK(r.finish());
    return *path;
}

Result<Source> parse_source(const Node& node, PoolType type) {
    Reader r(node);
    r.ignore_child("vendor");  // words for people, of a storage array
    r.ignore_child("product");
    Source out;
    if (type == PoolType::logical) {
        out.group = r.child_text("name", kGroup);
        out.devices = r.parse_children("device", parse_device);
        if (const Node* const format = r.child("format")) {
            Reader f(*format);
            f.get("type", kLvmFormat, std::string(kLvm2));
            if (auto done = f.finish(); !done) {
                r.report_error(done.error());
            }
        }
    } else {
        for (const std::string_view name :
             {"name", "device", "dir", "host", "adapter", "auth", "format", "initiator"}) {
            r.not_supported_child(name, "a pool of type 'dir' has no source but its folder");
        }
    }
    TRY_OK(r.finish());
    return out;
}

struct Target {
    std::optional<std::string> path;
    Permissions permissions;
};

Result<Target> parse_target(const Node& node) {
    Reader r(node);
    Target out;
    out.path = r.child_text("path", kPath);
    if (auto permissions = r.parse_child("permissions", parse_permissions)) {
        out.permissions = *permissions;
    }
    r.not_supported_child("encryption");
    TRY_OK(r.finish());
    return out;
}

Result<PoolType> parse_type(Reader& r) {
    const auto text = r.req("type", xml::kText);
    if (!text) {
        return r.finish() ? fail(Code::internal, "no type") : std::unexpected(r.finish().error());
    }
    const auto type = kPoolTypes.parse(*text);
    if (!type) {
        const bool known = std::ranges::find(kOtherTypes, *text) != kOtherTypes.end();
        r.report(known ? Fault::Kind::not_supported : Fault::Kind::malformed, "type",
                 known ? fmt::format("the type '{}'; {} are", *text, kPoolTypes.choices()) : kPoolTypes.choices(),
                 *text);
        return std::unexpected(r.finish().error());
    }
    return *type;
}

PoolSpec combine(ObjectName name, PoolType type, Uuid uuid, Source source, Target target) {
    PoolSpec out{.name = std::move(name),
                 .uuid = uuid,
                 .type = type,
                 .target = target.path.value_or(""),
                 .permissions = target.permissions,
                 .group = {},
                 .devices = std::move(source.devices)};
    if (type == PoolType::logical) {
        out.group = source.group.value_or(out.name.str());
        out.target = "/dev/" + out.group;  // where device-mapper puts them, whatever was said
    }
    return out;
}

}  // namespace

Result<PoolSpec> parse_pool(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    TRY_OK(check_root(root, "pool"));
    Reader r(root);
    TRY(const PoolType type, parse_type(r));
    auto name = r.child_text("name", kName);
    const auto uuid = r.child_text("uuid", kUuid);
    for (const std::string_view reported : {"capacity", "allocation", "available"}) {
        r.ignore_child(reported);  // of a listing: what is there, not what is wanted
    }
    r.not_supported_child("features");
    r.not_supported_child("refresh");
    const Source source =
        r.parse_child("source", [type](const Node& node) { return parse_source(node, type); }).value_or(Source());
    const Target target = r.parse_child("target", parse_target).value_or(Target());
    if (!name && type == PoolType::logical && source.group) {
        name = ObjectName::parse(*source.group);
    }
    if (!name) {
        r.report(Fault::Kind::missing, {}, "an element <name>", {});
    }
    if (type == PoolType::dir && !target.path) {
        r.report(Fault::Kind::missing, {}, "an element <target> with a <path>", {});
    }
    if (name && type == PoolType::logical && !source.group && !is_lvm_name(name->str())) {
        r.report(Fault::Kind::missing, {}, "an element <source> with the <name> of a volume group", {});
    }
    TRY_OK(r.finish());
    return combine(std::move(*name), type, uuid.value_or(Uuid()), source, target);
}

std::string format(const PoolSpec& pool, const Room& room, const std::optional<Permissions>& permissions) {
    xml::Writer w;
    w.open("pool", {{"type", std::string(kPoolTypes.name(pool.type))}});
    w.leaf("name", pool.name.str());
    w.leaf("uuid", bascule::format(pool.uuid));
    write_bytes(w, "capacity", room.capacity);
    write_bytes(w, "allocation", room.allocation);
    write_bytes(w, "available", room.available);
    w.open("source");
    if (pool.type == PoolType::logical) {
        for (const std::string& device : pool.devices) {
            w.empty("device", {{"path", device}});
        }
        w.leaf("name", pool.group);
        w.empty("format", {{"type", std::string(kLvm2)}});
    }
    w.close();
    w.open("target");
    w.leaf("path", pool.target);
    write_permissions(w, permissions.value_or(pool.permissions));
    w.close();
    return w.take();
}

std::string capabilities() {
    xml::Writer w;
    w.open("storagepoolCapabilities");
    w.open("pool", {{"type", "dir"}, {"supported", "yes"}});
    w.open("volOptions");
    w.empty("defaultFormat", {{"type", "raw"}});
    w.open("enum", {{"name", "targetFormatType"}});
    w.leaf("value", "none");
    for (const auto& [name, format] : kFormats.entries) {
        if (can_make(format) || format == Format::dir) {
            w.leaf("value", name);
        }
    }
    w.close();
    w.close();
    w.close();
    w.open("pool", {{"type", "logical"}, {"supported", "yes"}});
    w.open("poolOptions");
    w.empty("defaultFormat", {{"type", std::string(kLvm2)}});
    w.open("enum", {{"name", "sourceFormatType"}});
    w.leaf("value", "unknown");
    w.leaf("value", kLvm2);
    w.close();
    w.close();
    w.close();
    for (const std::string_view type : kOtherTypes) {
        w.empty("pool", {{"type", std::string(type)}, {"supported", "no"}});
    }
    return w.take();
}

Result<void> check_source_spec(std::string_view text) {
    if (text.empty()) {
        return {};
    }
    TRY(const Node root, xml::parse(text));
    TRY_OK(check_root(root, "source"));
    TRY(const Source source, parse_source(root, PoolType::logical));
    (void)source;
    return {};
}

std::string format_groups(const std::vector<PoolSpec>& groups) {
    xml::Writer w;
    w.open("sources");
    for (const PoolSpec& pool : groups) {
        w.open("source");
        for (const std::string& device : pool.devices) {
            w.empty("device", {{"path", device}});
        }
        w.leaf("name", pool.group);
        w.empty("format", {{"type", std::string(kLvm2)}});
        w.close();
    }
    return w.take();
}

}  // namespace bascule::storage
