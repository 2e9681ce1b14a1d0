// SPDX-License-Identifier: GPL-2.0-or-later
// Disks. QEMU opens no image by path: each is a descriptor in a set of its own, and every format is named, so that a
// guest cannot make a raw image look like one that refers to other files.
#include <fmt/format.h>

#include "vmm/compile_builder.h"
#include "vmm/controllers.h"
#include "vmm/names.h"

namespace bascule::vmm {

namespace {

std::string caching(const Disk& disk) {
    std::string out;
    if (disk.cache == "none" || disk.cache == "directsync") {
        out += ",cache.direct=on";
    } else if (disk.cache == "unsafe") {
        out += ",cache.no-flush=on";
    }
    return out;
}

}  // namespace

// The nodes from the innermost image outwards; returns the name of the outermost.
std::string Builder::disk_nodes(std::size_t index) {
    const Disk& disk = spec_.disks[index];
    std::vector<DiskPlan::Layer> layers{{disk.format, disk.type == Disk::Type::block}};
    if (!disks_.empty()) {
        layers.insert(layers.end(), disks_[index].beneath.begin(), disks_[index].beneath.end());
    }
    std::string beneath;
    for (std::size_t layer = layers.size(); layer-- > 0;) {
        const std::string node = disk_node(index, layer);
        const std::string_view mode = disk.readonly || layer > 0 ? "on" : "off";
        const unsigned set = ++fd_sets_;
        option("-add-fd", fmt::format("set={},fd={}", set, slot(Slot::Kind::disk, index, layer)));
        std::string file = fmt::format("driver={},node-name={}-file,filename=/dev/fdset/{},read-only={}",
                                       layers[layer].block ? "host_device" : "file", node, set, mode);
        file += caching(disk);
        file += disk.io.empty() ? "" : ",aio=" + disk.io;
        file += disk.discard.empty() ? "" : ",discard=" + disk.discard;
        option("-blockdev", file);
        std::string format = fmt::format("driver={},node-name={},file={}-file,read-only={}",
                                         kDiskFormats.name(layers[layer].format), node, node, mode);
        format += caching(disk);
        if (layer == 0) {
            format += disk.discard.empty() ? "" : ",discard=" + disk.discard;
            format += disk.detect_zeroes.empty() ? "" : ",detect-zeroes=" + disk.detect_zeroes;
        }
        if (layers[layer].format == Disk::Format::qcow2) {
            format += beneath.empty() ? "" : ",backing=" + beneath;
        }
        option("-blockdev", format);
        beneath = node;
    }
    return beneath;
}

std::string Builder::disk_bus(const Disk& disk) const {
    const DriveAddress at = disk.drive.value_or(DriveAddress{});
    const bool cdrom = disk.device == Disk::Device::cdrom;
    switch (disk.bus) {
        case Disk::Bus::virtio: return "virtio-blk-pci," + place(disk.address);
        case Disk::Bus::usb: return "usb-storage," + place(*disk.usb);
        case Disk::Bus::ide: return fmt::format("{},bus=ide.{},unit={}", cdrom ? "ide-cd" : "ide-hd", at.bus, at.unit);
        case Disk::Bus::sata: {
            const Controller& controller = *find_controller(spec_, Controller::Type::sata, at.controller);
            const std::string bus = is_built_in(controller, spec_.os.chipset()) ? "ide" : controller_alias(controller);
            return fmt::format("{},bus={}.{}", cdrom ? "ide-cd" : "ide-hd", bus, at.unit);
        }
        case Disk::Bus::scsi: break;
    }
    const Controller& controller = *find_controller(spec_, Controller::Type::scsi, at.controller);
    const std::string bus = fmt::format("{},bus={}.0", cdrom ? "scsi-cd" : "scsi-hd", controller_alias(controller));
    return controller.model == "lsilogic" ? fmt::format("{},scsi-id={}", bus, at.unit)
                                          : fmt::format("{},channel=0,scsi-id={},lun={}", bus, at.target, at.unit);
}

void Builder::disk(std::size_t index) {
    const Disk& disk = spec_.disks[index];
    const std::string node = disk.source.empty() ? "" : disk_nodes(index);
    std::string device = disk_bus(disk) + ",id=" + disk_alias(disk);
    device += node.empty() ? "" : ",drive=" + node;
    device += disk.shareable ? ",share-rw=on" : "";
    if (!node.empty() && !disk.cache.empty()) {
        const bool through = disk.cache == "writethrough" || disk.cache == "directsync";
        device += through ? ",write-cache=off" : ",write-cache=on";
    }
    if (disk.bus == Disk::Bus::usb) {
        device += ",removable=off";
    }
    device += disk.serial.empty() ? "" : ",serial=" + disk.serial;
    if (!node.empty() && !disk.error_policy.empty()) {
        // The peer's "enospace" is QEMU's "enospc", for writing; reading then reports.
        const std::string policy = disk.error_policy == "enospace" ? "enospc" : disk.error_policy;
        device += fmt::format(",werror={}", policy);
        if (disk.rerror_policy.empty() && policy != "enospc") {
            device += fmt::format(",rerror={}", policy);
        }
    }
    device += node.empty() || disk.rerror_policy.empty() ? "" : ",rerror=" + disk.rerror_policy;
    if (const unsigned order = boot_index(disk); order != 0) {
        device += fmt::format(",bootindex={}", order);
    }
    option("-device", device);
}

}  // namespace bascule::vmm
