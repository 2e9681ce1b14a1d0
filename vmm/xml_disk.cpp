// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include <fmt/format.h>

#include "vmm/controllers.h"
#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::Value;

constexpr std::string_view kLaterChildren[] = {
    "auth",   "backenddomain", "blockio",         "encryption", "geometry", "iotune",
    "mirror", "product",       "throttlefilters", "transient",  "vendor",   "wwn",
};
constexpr std::string_view kLaterDriver[] = {
    "ats",      "copy_on_read",   "discard_no_unref", "event_idx",   "ioeventfd",  "iommu",
    "iothread", "metadata_cache", "packed",           "page_per_vq", "queue_size", "queues",
};
constexpr Value<std::string> kTarget{"a name as vda, sda or hda", [](std::string_view t) {
                                         return target_index(t) ? std::optional(std::string(t)) : std::nullopt;
                                     }};
// QEMU's disks show at most 36 bytes of it; quotes and commas would reach its options.
constexpr Value<std::string> kSerial{
    "a serial number of at most 36 letters, digits, '-', '_', '.' and ' '", [](std::string_view t) {
        const bool good = !t.empty() && t.size() <= 36 && std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                   c == '.' || c == ' ';
        });
        return good ? std::optional(std::string(t)) : std::nullopt;
    }};

Result<std::string> read_source(const Node& node, Disk::Type type) {
    Reader r(node);
    const std::string_view attr = type == Disk::Type::file ? "file" : "dev";
    auto path = r.opt(attr, kAbsolutePath);
    r.ignore_attr("index");  // of a running guest
    only(r, "startupPolicy", "mandatory");
    refuse_children(r, {"cookies", "encryption", "reservations", "seclabel", "slices", "ssl"});
    TRY_OK(r.finish());
    return path.value_or("");
}

Result<void> read_driver(const Node& node, Disk& out) {
    Reader r(node);
    only(r, "name", "qemu");
    out.format = one_of(r, "type", kDiskFormats).value_or(Disk::Format::raw);
    out.cache = word(r, "cache", {"default", "none", "writethrough", "writeback", "directsync", "unsafe"});
    out.cache = out.cache == "default" ? "" : out.cache;
    out.io = word(r, "io", {"threads", "native", "io_uring"});
    out.discard = word(r, "discard", {"ignore", "unmap"});
    out.detect_zeroes = word(r, "detect_zeroes", {"off", "on", "unmap"});
    out.error_policy = word(r, "error_policy", {"stop", "report", "ignore", "enospace"});
    out.rerror_policy = word(r, "rerror_policy", {"stop", "report", "ignore"});
    if (out.io == "native" && out.cache != "none" && out.cache != "directsync") {
        r.report(Fault::Kind::inconsistent, "io", "'native' needs cache='none' or 'directsync'", {});
    }
    refuse_attributes(r, kLaterDriver);
    return r.finish();
}

// Without a bus the name says it, as for the peer.
Disk::Bus bus_of(std::string_view target) {
    return target.starts_with("hd") ? Disk::Bus::ide : target.starts_with("sd") ? Disk::Bus::scsi : Disk::Bus::virtio;
}

Result<void> read_target(const Node& node, Disk& out) {
    Reader r(node);
    out.target = r.req("dev", kTarget).value_or("");
    out.bus = one_of(r, "bus", kDiskBuses).value_or(bus_of(out.target));
    only(r, "tray", "closed");
    refuse_attributes(r, {"dpofua", "removable", "rotation_rate"});
    return r.finish();
}

Result<bool> read_flag(const Node& node) {
    Reader r(node);
    TRY_OK(r.finish());
    return true;
}

Result<unsigned> read_boot(const Node& node) {
    Reader r(node);
    const auto order = r.req("order", kBootOrder);
    r.not_supported_attr("loadparm");
    TRY_OK(r.finish());
    return *order;
}

}  // namespace

Result<Disk> read_disk(const Node& node) {
    Reader r(node);
    Disk out;
    if (const auto type = one_of(r, "type", kDiskTypes)) {
        out.type = *type;
    }
    out.device = one_of(r, "device", kDiskDevices).value_or(Disk::Device::disk);
    refuse_attributes(r, {"model", "rawio", "sgio", "snapshot"});
    if (const Node* const driver = r.child("driver")) {
        TRY_OK(read_driver(*driver, out));
    }
    out.source = r.parse_child("source", [&](const Node& n) { return read_source(n, out.type); }).value_or("");
    if (const Node* const target = r.req_child("target"); target != nullptr && r.ok()) {
        TRY_OK(read_target(*target, out));
    }
    out.readonly = r.parse_child("readonly", read_flag).value_or(false) || out.device == Disk::Device::cdrom;
    out.shareable = r.parse_child("shareable", read_flag).value_or(false);
    out.serial = r.child_text("serial", kSerial).value_or("");
    out.boot_order = r.parse_child("boot", read_boot);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    if (out.bus == Disk::Bus::virtio) {
        out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    } else if (out.bus == Disk::Bus::usb) {
        out.usb = r.parse_child("address", read_usb_address);
    } else {
        out.drive = r.parse_child("address", read_drive_address);
    }
    // The images say themselves what is beneath them; empty is what a running guest shows below the last.
    if (const Node* const beneath = r.child("backingStore"); beneath != nullptr && r.ok()) {
        TRY_OK(Reader(*beneath).finish());
    }
    refuse_children(r, kLaterChildren);
    if (out.device == Disk::Device::disk && out.source.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "a disk needs a <source>; only a cdrom may be empty", {});
    }
    if (out.device == Disk::Device::cdrom && (out.bus == Disk::Bus::virtio || out.bus == Disk::Bus::usb)) {
        r.report(Fault::Kind::inconsistent, {}, "a cdrom needs bus 'sata', 'ide' or 'scsi'",
                 std::string(kDiskBuses.name(out.bus)));
    }
    if (out.device == Disk::Device::disk && out.bus == Disk::Bus::ide && out.readonly) {
        r.report(Fault::Kind::not_supported, {}, "a read-only disk on bus 'ide'; use 'virtio' or 'scsi'", {});
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
