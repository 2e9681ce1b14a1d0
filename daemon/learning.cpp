// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/learning.h"

#include "base/log.h"
#include "kernel/linux/log_socket.h"

namespace bascule::daemon {

Learning::Learning(Ports& ports, Netsvc& netsvc) : ports_(ports), netsvc_(netsvc) {
    ports_.on_change([this](const IfName& port) { port_changed(port); });
}

void Learning::port_changed(const IfName& port) {
    auto watched = ports_.watched(port);
    const std::uint32_t index = watched ? kernel::os::interface_index(port.str()) : 0;
    if (const auto known = indices_.find(port); known != indices_.end() && known->second != index) {
        netsvc_.unwatch(known->second);
        names_.erase(known->second);
        indices_.erase(known);
    }
    if (watched && index != 0) {
        watched->index = index;
        indices_.insert_or_assign(port, index);
        names_.insert_or_assign(index, port);
        netsvc_.watch(*watched);
    }
}

void Learning::attached() {
    for (const auto& [port, index] : std::map(indices_)) {
        port_changed(port);
    }
    for (const std::uint32_t index : std::exchange(unknown_, {})) {
        if (!names_.contains(index)) {
            netsvc_.unwatch(index);
        }
    }
}

void Learning::refresh() {
    for (const auto& [port, index] : std::map(indices_)) {
        if (kernel::os::interface_index(port.str()) != index) {
            port_changed(port);
        }
    }
}

void Learning::heard(const dhcp::wire::Learned& learned) {
    const auto name = names_.find(learned.port);
    if (name == names_.end()) {
        unknown_.insert(learned.port);
    } else if (!live_) {
        ports_.learned_quietly(name->second, learned.addresses);
    } else if (auto done = ports_.learned(name->second, learned.addresses); !done) {
        log::error("what port {} has learned: {}", name->second.str(), done.error().message);
    }
}

void Learning::forget_seen(const IfName& port) {
    if (const auto index = indices_.find(port); index != indices_.end()) {
        netsvc_.unwatch(index->second, true);
    }
}

}  // namespace bascule::daemon
