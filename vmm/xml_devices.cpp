// SPDX-License-Identifier: GPL-2.0-or-later
#include <set>

#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr std::string_view kLaterDevices[] = {
    "crypto",   "filesystem", "hostdev",  "hub",         "iommu", "lease",     "memory", "nvram", "panic",
    "parallel", "pstore",     "redirdev", "redirfilter", "shmem", "smartcard", "tpm",    "vsock",
};
constexpr Value<unsigned> kSeconds{"seconds, 1 or more", xml::parse_number<unsigned, 1>};
constexpr Value<std::uint64_t> kBytes{"bytes, 1 or more", xml::parse_number<std::uint64_t, 1>};
constexpr Value<std::uint64_t> kPeriod{"milliseconds, 1 or more", xml::parse_number<std::uint64_t, 1>};
constexpr std::size_t kMostDevices = 64;

Result<void> read_audio(const Node& node, Spec& spec) {
    Reader r(node);
    only(r, "type", "none");
    only(r, "id", "1");
    spec.audio_none = true;
    return r.finish();
}

Result<unsigned> read_stats(const Node& node) {
    Reader r(node);
    const auto period = r.req("period", kSeconds);
    TRY_OK(r.finish());
    return *period;
}

Result<std::optional<Balloon>> read_balloon(const Node& node) {
    Reader r(node);
    const auto model = r.req("model", kText);
    Balloon out;
    out.autodeflate = r.opt("autodeflate", xml::kOnOff);
    out.free_page_reporting = r.opt("freePageReporting", xml::kOnOff);
    out.stats_period = r.parse_child("stats", read_stats);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    if (model && model != "virtio" && model != "none") {
        r.report(Fault::Kind::not_supported, "model", fmt::format("'{}'; use 'virtio' or 'none'", *model), {});
    }
    refuse_children(r, {"driver"});
    TRY_OK(r.finish());
    return model == "virtio" ? std::optional(out) : std::nullopt;
}

Result<std::string> read_rng_backend(const Node& node) {
    Reader r(node);
    only(r, "model", "random");
    const std::string source = r.text();
    if (source != "/dev/urandom" && source != "/dev/random") {
        r.report(Fault::Kind::not_supported, {}, "'" + source + "'; use '/dev/urandom' or '/dev/random'", {});
    }
    TRY_OK(r.finish());
    return source;
}

Result<void> read_rate(const Node& node, Rng& rng) {
    Reader r(node);
    rng.rate_bytes = r.req("bytes", kBytes);
    rng.rate_period = r.opt("period", kPeriod);
    return r.finish();
}

Result<Rng> read_rng(const Node& node) {
    Reader r(node);
    Rng out;
    only(r, "model", "virtio");
    r.req_child("backend");
    out.source = r.parse_child("backend", read_rng_backend).value_or("");
    if (const Node* const rate = r.child("rate")) {
        TRY_OK(read_rate(*rate, out));
    }
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    refuse_children(r, {"driver"});
    TRY_OK(r.finish());
    return out;
}

Result<Watchdog> read_watchdog(const Node& node) {
    Reader r(node);
    Watchdog out;
    if (const auto model = one_of(r, "model", kWatchdogModels)) {
        out.model = *model;
    } else {
        r.report(Fault::Kind::missing, "model", kWatchdogModels.choices(), {});
    }
    out.action = one_of(r, "action", kWatchdogActions).value_or(Watchdog::Action::reset);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    if (out.model == Watchdog::Model::i6300esb) {
        out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    }
    TRY_OK(r.finish());
    return out;
}

// Every name once: they are QEMU's ids too.
void check_aliases(const Spec& spec, Reader& r) {
    std::set<std::string> seen;
    const auto add = [&](const auto& devices) {
        for (const auto& device : devices) {
            if (!device.alias.empty() && !seen.insert(device.alias).second) {
                r.report(Fault::Kind::inconsistent, {}, fmt::format("two devices have the alias '{}'", device.alias),
                         {});
            }
        }
    };
    add(spec.disks);
    add(spec.controllers);
    add(spec.interfaces);
    add(spec.serials);
    add(spec.channels);
    add(spec.inputs);
    add(spec.sounds);
    add(spec.videos);
    add(spec.watchdogs);
    add(spec.rngs);
    add(spec.balloon ? std::vector{*spec.balloon} : std::vector<Balloon>());
}

void read_videos(Reader& r, Spec& spec) {
    for (auto& video : r.parse_children("video", read_video)) {
        if (video) {
            spec.videos.push_back(*std::move(video));
        } else {
            spec.video_none = true;
        }
    }
    if (spec.videos.size() + (spec.video_none ? 1 : 0) > 1) {
        r.report(Fault::Kind::not_supported, {}, "more than one <video>", {});
    }
}

// No more than a machine can have, and no definition that takes long to look at.
void check_amounts(Reader& r, const Spec& spec) {
    if (spec.interfaces.size() > 24) {
        r.report(Fault::Kind::not_supported, {}, "more than 24 interfaces", {});
    }
    if (spec.graphics.size() > 1) {
        r.report(Fault::Kind::not_supported, {}, "more than one <graphics>", {});
    }
    for (const Watchdog& one : spec.watchdogs) {
        if (one.action != spec.watchdogs.front().action) {
            r.report(Fault::Kind::inconsistent, {}, "all <watchdog> need the same action", {});
        }
    }
    for (const std::size_t count : {spec.disks.size(), spec.controllers.size(), spec.channels.size(),
                                    spec.inputs.size(), spec.rngs.size(), spec.sounds.size()}) {
        if (count > kMostDevices) {
            r.report(Fault::Kind::not_supported, {}, fmt::format("more than {} devices of a kind", kMostDevices), {});
        }
    }
}

}  // namespace

Result<void> read_devices(const Node& node, Spec& spec) {
    Reader r(node);
    if (const auto emulator = r.child_text("emulator", kAbsolutePath)) {
        spec.emulator = *emulator;
    }
    spec.disks = r.parse_children("disk", read_disk);
    spec.interfaces = r.parse_children("interface", read_interface);
    TRY_OK(read_serials(r, spec));
    for (const Node* const n : r.children("controller")) {
        TRY_OK(read_controller(*n, spec));
    }
    spec.channels = r.parse_children("channel", read_channel);
    spec.inputs = r.parse_children("input", read_input);
    spec.graphics = r.parse_children("graphics", read_graphics);
    spec.sounds = r.parse_children("sound", read_sound);
    for (const Node* const n : r.children("audio")) {
        TRY_OK(read_audio(*n, spec));
    }
    read_videos(r, spec);
    spec.watchdogs = r.parse_children("watchdog", read_watchdog);
    spec.balloon = r.parse_child("memballoon", read_balloon).value_or(std::nullopt);
    spec.rngs = r.parse_children("rng", read_rng);
    refuse_children(r, kLaterDevices);
    check_aliases(spec, r);
    check_amounts(r, spec);
    return r.finish();
}

}  // namespace bascule::vmm::parts
