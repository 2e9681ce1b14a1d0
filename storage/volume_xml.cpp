// SPDX-License-Identifier: GPL-2.0-or-later
// <volume>.
#include <fmt/format.h>

#include "storage/lvm.h"
#include "storage/xml.h"
#include "storage/xml_parts.h"

namespace bascule::storage {

using xml::Fault;
using xml::Node;
using xml::Reader;

namespace {

constexpr xml::Value<std::string> kFileName{
    "a file name: no '/', no control characters, at most 255 bytes, not '.' or '..'",
    [](std::string_view text) { return is_volume_name(text) ? std::optional(std::string(text)) : std::nullopt; }};
constexpr xml::Value<std::string> kVolumeOfGroup{
    "the name of a logical volume: letters, digits and +_.-, at most 127 of them, not beginning with '-'",
    [](std::string_view text) { return is_lvm_name(text) ? std::optional(std::string(text)) : std::nullopt; }};
constexpr xml::Value<std::string> kCompat{"'0.10' or '1.1'", [](std::string_view text) {
                                              return text == "0.10" || text == "1.1" ? std::optional(std::string(text))
                                                                                     : std::nullopt;
                                          }};

Result<Format> parse_format(const Node& node) {
    Reader r(node);
    const Format format = r.get("type", kFormats, Format::unknown);
    TRY_OK(r.finish());
    return format;
}

struct Features {
    bool lazy_refcounts = false, extended_l2 = false;
};
Result<Features> parse_features(const Node& node) {
    Reader r(node);
    const Features out{r.child("lazy_refcounts") != nullptr, r.child("extended_l2") != nullptr};
    TRY_OK(r.finish());
    return out;
}

// "unknown" in a request is no request.
std::optional<Format> asked(std::optional<Format> format) { return format == Format::unknown ? std::nullopt : format; }

Result<Backing> parse_backing(const Node& node) {
    Reader r(node);
    Backing out;
    if (const auto path = r.child_text("path", kPath)) {
        out.path = *path;
    } else if (r.ok()) {
        r.report(Fault::Kind::missing, {}, "an element <path>", {});
    }
    out.format = asked(r.parse_child("format", parse_format));
    r.ignore_child("permissions");  // of a listing: the backing file stays as it is
    r.ignore_child("timestamps");
    TRY_OK(r.finish());
    return out;
}

Result<void> parse_target(const Node& node, VolumeSpec& out) {
    Reader r(node);
    r.ignore_child("path");  // the pool and the name say where it is
    r.ignore_child("timestamps");
    out.format = asked(r.parse_child("format", parse_format));
    if (const auto permissions = r.parse_child("permissions", parse_permissions)) {
        out.permissions = *permissions;
    }
    out.details.compat = r.child_text("compat", kCompat).value_or("");
    out.details.cluster_size = r.parse_child("clusterSize", parse_bytes);
    if (const auto features = r.parse_child("features", parse_features)) {
        out.details.lazy_refcounts = features->lazy_refcounts;
        out.details.extended_l2 = features->extended_l2;
    }
    r.not_supported_child("encryption", "encrypted volumes");
    r.not_supported_child("nocow", "copy-on-write of the file system below is left as it is");
    return r.finish();
}

Result<void> check(const VolumeSpec& spec, const Node& root) {
    const Format format = spec.format.value_or(Format::raw);
    const auto wrong = [&](std::string what) {
        return std::unexpected(
            xml::to_error({Fault::Kind::inconsistent, root.line, root.name, {}, std::move(what), {}}));
    };
    const bool has_details = !spec.details.compat.empty() || spec.details.cluster_size || spec.details.lazy_refcounts ||
                             spec.details.extended_l2;
    if (format != Format::qcow2 && has_details) {
        return wrong("<compat>, <clusterSize> and <features> are for the format 'qcow2' only");
    }
    if ((spec.details.lazy_refcounts || spec.details.extended_l2) && spec.details.compat == "0.10") {
        return wrong("<features> need <compat>1.1</compat>");
    }
    return {};
}

}  // namespace

Result<VolumeSpec> parse_volume(std::string_view text, PoolType pool) {
    TRY(const Node root, xml::parse(text));
    TRY_OK(check_root(root, "volume"));
    Reader r(root);
    r.ignore_attr("type");  // follows from the pool and the format
    VolumeSpec out;
    if (const auto name = r.child_text("name", pool == PoolType::logical ? kVolumeOfGroup : kFileName)) {
        out.name = *name;
    } else if (r.ok()) {
        r.report(Fault::Kind::missing, {}, "an element <name>", {});
    }
    r.ignore_child("key");  // of a listing, as these two
    r.ignore_child("source");
    r.ignore_child("physical");
    out.capacity = r.parse_child("capacity", parse_bytes);
    out.allocation = r.parse_child("allocation", parse_bytes);
    if (const Node* const target = r.child("target")) {
        if (auto done = parse_target(*target, out); !done) {
            r.report_error(done.error());
        }
    }
    out.backing = r.parse_child("backingStore", parse_backing);
    TRY_OK(r.finish());
    TRY_OK(check(out, root));
    return out;
}

namespace {

void write_details(xml::Writer& w, const Volume& volume) {
    const FormatDetails& details = volume.details;
    if (volume.encrypted) {
        w.empty("encryption", {{"format", volume.format == Format::luks ? "luks" : "default"}});
    }
    if (volume.format != Format::qcow2) {
        return;
    }
    w.leaf("compat", details.compat);
    if (details.cluster_size) {
        w.leaf("clusterSize", std::to_string(*details.cluster_size), {{"unit", "B"}});
    }
    if (details.compat != "0.10") {
        w.open("features");
        if (details.lazy_refcounts) {
            w.empty("lazy_refcounts");
        }
        if (details.extended_l2) {
            w.empty("extended_l2");
        }
        w.close();
    }
}

std::string text_of(const Instant& instant) {
    return fmt::format("{}.{:09}", std::max<std::int64_t>(instant.seconds, 0), instant.nanoseconds);
}

}  // namespace

std::string format(const Volume& volume) {
    xml::Writer w;
    w.open("volume", {{"type", std::string(kVolumeTypes.name(volume.type))}});
    w.leaf("name", volume.name);
    w.leaf("key", volume.key);
    w.open("source");
    for (const std::string& device : volume.devices) {
        w.empty("device", {{"path", device}});
    }
    w.close();
    write_bytes(w, "capacity", volume.capacity);
    write_bytes(w, "allocation", volume.allocation);
    if (volume.physical) {
        write_bytes(w, "physical", *volume.physical);
    }
    w.open("target");
    w.leaf("path", volume.path);
    w.empty("format", {{"type", std::string(kFormats.name(volume.format))}});
    write_permissions(w, volume.permissions);
    if (volume.times) {
        w.open("timestamps");
        w.leaf("atime", text_of(volume.times->access));
        w.leaf("mtime", text_of(volume.times->modification));
        w.leaf("ctime", text_of(volume.times->change));
        w.close();
    }
    write_details(w, volume);
    w.close();
    if (volume.backing && volume.backing->path.starts_with('/')) {  // the schema knows local files only
        w.open("backingStore");
        w.leaf("path", volume.backing->path);
        w.empty("format", {{"type", std::string(kFormats.name(volume.backing->format.value_or(Format::unknown)))}});
        w.close();
    }
    return w.take();
}

}  // namespace bascule::storage
