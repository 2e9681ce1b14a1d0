// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/sysctls.h"

#include <algorithm>
#include <ranges>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/sysctl.h"
#include "kernel/linux/uplinks.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::string_view kFile = "/run/bascule/sysctls";
constexpr std::string_view kForward4 = "net/ipv4/ip_forward", kForward6 = "net/ipv6/conf/all/forwarding";

// The link that a setting belongs to; none: the host's own.
std::optional<IfName> link_of(const std::string& key) {
    for (const std::string_view start : {"net/ipv4/conf/", "net/ipv6/conf/"}) {
        if (key.starts_with(start)) {
            const auto rest = std::string_view(key).substr(start.size());
            const auto name = rest.substr(0, rest.find('/'));
            return name == "all" || name == "default" ? std::nullopt : IfName::parse(name);
        }
    }
    return std::nullopt;
}

bool is_forwarding(const std::string& key) { return key == kForward4 || key == kForward6; }

}  // namespace

KeptSysctls::KeptSysctls(kernel::Kernel& kernel, const kernel::Ledger& ledger, kernel::FileTree& files)
    : kernel_(kernel), ledger_(ledger), files_(files) {
    load();
}

// Lines of "key original set".
void KeptSysctls::load() {
    const auto text = files_.read(std::string(kFile), 1U << 20);
    if (!text) {
        return;
    }
    for (const auto line : std::views::split(*text, '\n')) {
        std::vector<std::string> words;
        for (const auto word : std::views::split(line, ' ')) {
            words.emplace_back(std::string_view(word.begin(), word.end()));
        }
        if (words.size() == 3) {
            kept_.insert_or_assign(words[0], Kept{words[1], words[2]});
        }
    }
}

void KeptSysctls::save() {
    std::string text;
    for (const auto& [key, kept] : kept_) {
        text += fmt::format("{} {} {}\n", key, kept.original, kept.set);
    }
    if (auto saved = files_.write(std::string(kFile), text); !saved) {
        log::warning("settings of the host that are to be put back: {}", saved.error().message);
    }
}

Result<void> KeptSysctls::apply(const kernel::Op& op) {
    const auto* const sysctl = std::get_if<kernel::SetSysctl>(&op);
    return sysctl == nullptr ? kernel_.apply(op) : set(*sysctl);
}

Result<void> KeptSysctls::set(const kernel::SetSysctl& op) {
    const auto link = link_of(op.key);
    const auto wished = link ? ledger_.wanted().links.find(*link) : ledger_.wanted().links.end();
    const bool ours = wished != ledger_.wanted().links.end() && wished->second.kind != kernel::LinkKind::foreign;
    if (ours) {
        return kernel_.apply(op);
    }
    TRY(const auto now, os::read_sysctl(op.key));
    if (!now && link && !os::link_exists(*link)) {
        log::warning("{} is not there yet: it forwards as soon as it comes", link->str());
        return {};
    }
    if (now && !kept_.contains(op.key)) {
        if (is_forwarding(op.key)) {
            TRY_OK(before_forwarding(op.key));
        }
        kept_.insert_or_assign(op.key, Kept{*now, op.value});
        save();
    }
    return kernel_.apply(op);
}

// Setting the host's forwarding sets that of every link; those that forwarded already shall do so afterwards too.
Result<void> KeptSysctls::before_forwarding(const std::string& key) {
    const std::string family = key == kForward4 ? "ipv4" : "ipv6";
    TRY(const auto links, os::link_names());
    for (const IfName& link : links) {
        const std::string one = kernel::sysctl_key(family, link, "forwarding");
        TRY(const auto now, os::read_sysctl(one));
        if (now == "1" && !ledger_.wanted().sysctls.contains(one)) {
            kept_.try_emplace(one, Kept{"1", ""});
        }
    }
    return key == kForward6 ? keep_router_advertisements() : Result<void>();
}

Result<void> KeptSysctls::keep_router_advertisements() {
    TRY(const auto links, os::advertised_links());
    for (const os::AdvertisedLink& link : links) {
        const auto wished = ledger_.wanted().links.find(link.name);
        if (wished != ledger_.wanted().links.end()) {
            continue;  // ours, or a port of ours: nobody's router is there
        }
        const std::string key = kernel::sysctl_key("ipv6", link.name, "accept_ra");
        kept_.try_emplace(key, Kept{"1", "2"});
        TRY_OK(os::write_sysctl(key, "2"));
        log::info("{}: router advertisements are still taken although this host forwards IPv6 now (accept_ra = 2){}",
                  link.name.str(),
                  link.has_default_route ? ": the default route by it came in one" : ", as they were before");
    }
    return {};
}

void KeptSysctls::put_back(const std::string& key, const Kept& kept) {
    const auto now = os::read_sysctl(key);
    if (!now || !*now || **now == kept.original || (!kept.set.empty() && **now != kept.set)) {
        return;  // gone, right already, or changed by somebody who knows better
    }
    if (auto done = os::write_sysctl(key, kept.original); !done) {
        log::warning("{}", done.error().message);
    } else {
        log::debug("sysctl {} is {} again", key, kept.original);
    }
}

void KeptSysctls::restore(const std::function<bool()>& others_forward) {
    const auto& wanted = ledger_.wanted().sysctls;
    bool changed = false;
    const auto take = [&](const std::string& key) {
        if (const auto found = kept_.find(key); found != kept_.end()) {
            const Kept kept = found->second;
            kept_.erase(found);
            put_back(key, kept);
            changed = true;
        }
    };
    // The host's switches first: each sets the links' own, which then come as they were.
    for (const std::string_view key : {kForward4, kForward6}) {
        if (!kept_.contains(std::string(key)) || wanted.contains(std::string(key))) {
            continue;
        }
        if (others_forward()) {
            log::info("sysctl {} stays on: another program's firewall filters forwarded packets here", key);
            kept_.erase(std::string(key));
            changed = true;
        } else {
            take(std::string(key));
        }
    }
    std::vector<std::string> ready;
    for (const auto& [key, kept] : kept_) {
        const bool six = key.starts_with("net/ipv6/");
        const bool held = kept_.contains(std::string(six ? kForward6 : kForward4)) &&
                          (kept.set.empty() || key.ends_with("/accept_ra"));
        if (!is_forwarding(key) && !wanted.contains(key) && !held) {
            ready.push_back(key);
        }
    }
    std::ranges::for_each(ready, take);
    if (changed) {
        save();
    }
}

}  // namespace bascule::daemon
