// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/host_side.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "kernel/linux/proxies.h"
#include "network/extras.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr const char* kOwnZone = "bascule";

}  // namespace

Result<void> check_zone(const network::Spec& spec, os::Firewalld::State state, const std::set<std::string>& zones) {
    if (spec.zone.empty() || state == os::Firewalld::State::unknown) {
        return {};
    }
    if (state == os::Firewalld::State::absent) {
        return fail(Code::unsupported_config,
                    fmt::format("network '{}': <bridge zone='{}'>: firewalld does not run on this host: start it, or "
                                "leave zone= out",
                                spec.name.str(), spec.zone));
    }
    if (!zones.contains(spec.zone)) {
        return fail(Code::unsupported_config,
                    fmt::format("network '{}': <bridge zone='{}'>: firewalld has no such zone; it has: {}",
                                spec.name.str(), spec.zone, fmt::join(zones, ", ")));
    }
    return {};
}

std::string zone_of(const network::Spec& spec, const std::set<std::string>& zones) {
    const std::string& wanted = spec.zone.empty() ? kOwnZone : spec.zone;
    return spec.has_own_bridge() && spec.bridge && zones.contains(wanted) ? wanted : std::string();
}

namespace {

// Those of "virbr0" and so on are in the installed files.
std::string names_of(const std::set<IfName>& bridges, std::string_view before, std::string_view between) {
    std::string out;
    for (const IfName& bridge : bridges) {
        if (!bridge.str().starts_with("virbr")) {
            out += fmt::format("{}{}{}", out.empty() ? "" : between, before, bridge.str());
        }
    }
    return out;
}

}  // namespace

std::string network_manager_file(const std::set<IfName>& bridges) {
    const std::string names = names_of(bridges, "interface-name:=", ";");
    return names.empty()
               ? names
               : "# Written by basculed: bridges of its networks.\n[keyfile]\nunmanaged-devices+=" + names + "\n";
}

std::string networkd_file(const std::set<IfName>& bridges) {
    const std::string names = names_of(bridges, "", " ");
    return names.empty() ? names
                         : "# Written by basculed: bridges of its networks.\n[Match]\nName=" + names +
                               "\n\n[Link]\nUnmanaged=yes\nRequiredForOnline=no\n";
}

HostSide::HostSide(Host& host, Networks networks)
    : host_(host),
      networks_(std::move(networks)),
      firewalld_(os::make_firewalld(host.loop, [](const std::string& problem) { log::error("{}", problem); })),
      managers_(os::make_link_managers(host.loop)) {}

void HostSide::follow() {
    following_ = true;
    firewalld_->on_change([this] {
        told_.clear();  // by whom it forgot
        settle();
    });
    settle();
}

Result<void> HostSide::check(const network::Spec& spec) const {
    return check_zone(spec, firewalld_->state(), firewalld_->zones());
}

void HostSide::settle_soon() {
    constexpr std::chrono::milliseconds kPause{50};
    if (!later_ && following_) {
        later_ = host_.loop.at(host_.loop.clock().now() + kPause, [this] {
            later_.reset();
            settle();
        });
    }
}

void HostSide::settle() {
    if (!following_) {
        return;
    }
    const auto running = networks_.running();
    settle_zones(running);
    settle_proxies(running);
    settle_managers();
}

// True when it is another now.
bool HostSide::settle_file(const std::string& path, const std::string& text) {
    constexpr std::size_t kLongest = 1U << 20;
    const bool there = host_.files.exists(path);
    if (text.empty() && !there) {
        return false;
    }
    if (there && !text.empty()) {
        const auto now = host_.files.read(path, kLongest);
        if (now && *now == text) {
            return false;
        }
    }
    constexpr unsigned kMode = 0644;
    auto done = text.empty() ? host_.files.remove(path) : host_.files.write(path, text, kMode);
    if (!done) {
        log::warning("{}", done.error().message);
    }
    return done.has_value();
}

// A host without a manager does not have its folder.
void HostSide::settle_managers() {
    const bool has_manager = host_.files.exists("/run/NetworkManager"),
               has_networkd = host_.files.exists("/run/systemd/netif");
    if (!has_manager && !has_networkd) {
        return;
    }
    const auto bridges = networks_.bridges();
    const bool one =
        has_manager && settle_file("/run/NetworkManager/conf.d/bascule.conf", network_manager_file(bridges));
    const bool other =
        has_networkd && settle_file("/run/systemd/network/10-bascule-networks.network", networkd_file(bridges));
    if (one || other) {
        managers_->reload();
    }
}

void HostSide::settle_zones(const std::vector<const network::Spec*>& running) {
    if (firewalld_->state() != os::Firewalld::State::running) {
        return;
    }
    std::map<IfName, std::string> wanted;
    for (const network::Spec* const spec : running) {
        if (const std::string zone = zone_of(*spec, firewalld_->zones()); !zone.empty()) {
            wanted.emplace(*spec->bridge, zone);
        } else if (!spec->zone.empty()) {
            log::error("network {}: firewalld has no zone '{}'", spec->name.str(), spec->zone);
        } else if (spec->has_own_bridge() && !std::exchange(advised_, true)) {
            log::warning(
                "firewalld runs and has no zone '{}': its default zone decides what guests reach (install "
                "Bascule's zone file, then firewall-cmd --reload)",
                kOwnZone);
        }
    }
    for (const auto& [bridge, zone] : told_) {
        if (!wanted.contains(bridge)) {
            firewalld_->remove(bridge, zone);
        }
    }
    for (const auto& [bridge, zone] : wanted) {
        if (const auto told = told_.find(bridge); told == told_.end() || told->second != zone) {
            firewalld_->put(bridge, zone);
        }
    }
    told_ = std::move(wanted);
}

void HostSide::settle_proxies(const std::vector<const network::Spec*>& running) {
    std::set<os::ProxyEntry> wanted;
    for (const network::Spec* const spec : running) {
        if (spec->metadata.empty()) {
            continue;
        }
        const auto device = spec->forward_device();
        for (const network::GuestAddress& guest : network::extras_of(spec->metadata).guest_addresses) {
            if (guest.proxy && device) {
                wanted.insert({*device, guest.ip});
            }
        }
    }
    if (wanted.empty() && !std::exchange(proxied_, false)) {
        return;
    }
    proxied_ = proxied_ || !wanted.empty();
    const auto missing = os::put_proxies(wanted);
    if (!missing) {
        log::error("{}", missing.error().message);
        return;
    }
    for (const IfName& link : *missing) {
        log::warning("{} is not there: guests' addresses are not answered for on it", link.str());
    }
}

}  // namespace bascule::daemon
