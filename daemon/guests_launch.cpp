// SPDX-License-Identifier: GPL-2.0-or-later
// What stands between a guest's definition and its process: ports, descriptors, files; and taking over the
// processes that a former daemon left.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "daemon/guests.h"
#include "kernel/linux/files.h"
#include "kernel/linux/process.h"
#include "kernel/linux/stream.h"
#include "switch/compile.h"
#include "vhost/choose.h"
#include "vmm/compile.h"
#include "vmm/live.h"
#include "vmm/xml.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::size_t kMaxLive = 8U << 20;

}  // namespace

// Everything up to the process. What is made on the way is in domain.nics or is closed; release() takes it back.
Result<vmm::StartPlan> Guests::prepare(Domain& domain, vmm::Spec spec) {
    TRY(OpenNics nics, open_nics(domain, spec));
    TRY(auto channels, open_channels(domain, spec));
    TRY(auto disks, open_disks(spec));
    TRY_OK(prepare_display(domain, spec));
    TRY(vmm::Launch launch, vmm::compile(spec, nics.plans, disks.plans));
    std::vector<UniqueFd> extra;
    vmm::Spec launched = spec;
    TRY_OK(open_files(launched, extra, launch.slots.size()));
    TRY(launch, vmm::compile(launched, nics.plans, disks.plans));

    for (const char* const folder : {"/run/bascule/guests", "/var/log/bascule/guests"}) {
        TRY_OK(os::make_folder(deps_.host.files.real(folder), 0700, 0, 0));
    }
    const std::string monitor_path = deps_.host.files.real(monitor_file(domain.name));
    TRY(UniqueFd monitor, os::listen_unix(monitor_path, 0600));
    std::vector<UniqueFd> fds;
    for (const vmm::Slot& slot : launch.slots) {
        switch (slot.kind) {
            case vmm::Slot::Kind::monitor: fds.push_back(std::move(monitor)); break;
            case vmm::Slot::Kind::tap: fds.push_back(std::move(nics.taps[slot.index][slot.queue])); break;
            case vmm::Slot::Kind::vhost: fds.push_back(std::move(nics.vhosts[slot.index][slot.queue])); break;
            case vmm::Slot::Kind::passt: fds.push_back(std::move(nics.passts[slot.index])); break;
            case vmm::Slot::Kind::channel: fds.push_back(std::move(channels[slot.index])); break;
            case vmm::Slot::Kind::disk: fds.push_back(std::move(disks.layers[slot.index][slot.queue])); break;
        }
    }
    std::ranges::move(extra, std::back_inserter(fds));
    TRY(os::RunLog log, os::open_run_log(deps_.host.files.real("/var/log/bascule/guests/" + domain.name + ".log")));
    auto shared_log = std::make_shared<os::RunLog>(std::move(log));
    return vmm::StartPlan{.spec = std::move(spec),
                          .launch = std::move(launch),
                          .id = domain.id,
                          .fds = std::move(fds),
                          .monitor = monitor_path,
                          .log = shared_log->fd.duplicate(),
                          .last_words = [shared_log] { return shared_log->since_opened(); },
                          .uid = deps_.uid,
                          .gid = deps_.gid,
                          .groups = deps_.groups};
}

// ---- over a restart of the daemon ---------------------------------------------------------------

void Guests::save_live(const Domain& domain) {
    if (!domain.active()) {
        return;
    }
    vmm::Live live = domain.guest->live();
    live.persistent = domain.persistent();
    live.agent_timeout = domain.agent_timeout;
    if (auto saved = deps_.host.files.write(live_file(domain.name), vmm::to_text(live)); !saved) {
        log::error("guest {}: its state cannot be saved, a restarted daemon will not know it: {}", domain.name,
                   saved.error().message);
    }
}

Result<void> Guests::adopt(const std::string& text) {
    TRY(vmm::Live live, vmm::live_from_text(text));
    const Uuid uuid = live.spec.uuid;
    Domain& domain = domains_[uuid];
    domain.name = live.spec.name.str();
    domain.agent_timeout = live.agent_timeout;
    names_.insert_or_assign(domain.name, uuid);
    domain.id = live.id;
    next_id_ = std::max(next_id_, live.id + 1);
    for (std::size_t i = 0; i < live.spec.interfaces.size(); ++i) {
        if (const auto& on_host = live.spec.interfaces[i].live) {
            Domain::Nic place{.tap = on_host->target};
            auto port = port_of(live.spec, i, place);
            auto kept = port ? deps_.ports.remember(std::move(*port)) : std::unexpected(std::move(port).error());
            if (!kept) {
                log::error("guest {}: port {}: {}", domain.name, place.tap->str(), kept.error().message);
            }
            domain.nics.push_back(place);
            show_binding(live.spec, i, *place.tap);
        } else {
            domain.nics.push_back({});
        }
    }
    for (const vmm::Graphics& display : live.spec.graphics) {
        if (display.live && !display.live->socket.empty()) {
            domain.sockets.push_back(display.live->socket);
        }
    }
    for (const vmm::Channel& channel : live.spec.channels) {
        if (channel.backend == vmm::Channel::Backend::socket && channel.live) {
            domain.sockets.push_back(channel.live->path);
        }
    }
    domain.guest = std::make_unique<vmm::Guest>(vmm::Guest::Deps{deps_.host.loop, deps_.host.spawner, os::connect_unix},
                                                callbacks(uuid));
    domain.guest->attach(std::move(live), [this, uuid](Result<void> attached) {
        Domain* const found = find(uuid);
        if (attached || found == nullptr) {
            return;
        }
        log::warning("guest {}: {}", found->name, attached.error().message);
        if (attached.error().code == Code::unreachable) {  // it ended while no daemon was there
            emit(*found, 5, 5, true);
            found->last = {vmm::State::shutoff, vmm::reason::kShutoffUnknown};
            release(uuid);
        }
    });
    return {};
}

std::vector<std::string> Guests::load() {
    std::vector<std::string> problems;
    const auto entries = definitions_.load();
    if (!entries) {
        return {entries.error().message};
    }
    for (const Store::Entry& entry : *entries) {
        auto spec = entry.text ? read(*entry.text) : std::unexpected(entry.text.error());
        if (!spec) {
            problems.push_back(located(entry.path, std::move(spec).error()).message);
            continue;
        }
        Domain& domain = domains_[spec->uuid];
        domain.name = spec->name.str();
        domain.autostart = definitions_.autostart(spec->name);
        names_.insert_or_assign(domain.name, spec->uuid);
        domain.definition = std::move(*spec);
    }
    const auto running = deps_.host.files.list("/run/bascule/guests");
    for (const std::string& file : running.value_or(std::vector<std::string>{})) {
        if (!file.ends_with(".json")) {
            continue;
        }
        const std::string path = "/run/bascule/guests/" + file;
        const auto text = deps_.host.files.read(path, kMaxLive);
        auto adopted = text ? adopt(*text) : Result<void>(std::unexpected(text.error()));
        if (!adopted) {
            problems.push_back(std::move(adopted.error()).in(deps_.host.files.real(path)).message);
        }
    }
    return problems;
}

void Guests::autostart(std::function<void(std::string)> problem) {
    for (const auto& [name, uuid] : names_) {
        const Domain& domain = domains_.at(uuid);
        if (domain.autostart && !domain.guest) {
            start(uuid, false, [problem, who = name](Result<Uuid> result) {
                if (!result) {
                    problem(fmt::format("guest {}: {}", who, result.error().message));
                }
            });
        }
    }
}

}  // namespace bascule::daemon
