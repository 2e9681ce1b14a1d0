// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/host_facts.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace bascule::kernel {

namespace {

// The most members that any group has; at least 1. `key` names the group of a processor, `value` its member.
template <class Key, class Value>
unsigned most(const std::vector<HostCpu>& cpus, Key key, Value value) {
    std::map<decltype(key(cpus.front())), std::set<decltype(value(cpus.front()))>> groups;
    for (const HostCpu& cpu : cpus) {
        if (cpu.online) {
            groups[key(cpu)].insert(value(cpu));
        }
    }
    std::size_t out = 1;
    for (const auto& [group, members] : groups) {
        out = std::max(out, members.size());
    }
    return static_cast<unsigned>(out);
}

}  // namespace

unsigned HostTopology::online() const {
    return static_cast<unsigned>(std::ranges::count_if(cpus, [](const HostCpu& cpu) { return cpu.online; }));
}

unsigned HostTopology::sockets_per_node() const {
    std::size_t out = 1;
    for (const HostNode& node : nodes) {
        std::set<unsigned> sockets;
        for (const HostCpu& cpu : cpus) {
            if (cpu.online && std::ranges::find(node.cpus, cpu.id) != node.cpus.end()) {
                sockets.insert(cpu.socket);
            }
        }
        out = std::max(out, sockets.size());
    }
    return static_cast<unsigned>(out);
}

unsigned HostTopology::dies_per_socket() const {
    return most(cpus, [](const HostCpu& c) { return c.socket; }, [](const HostCpu& c) { return c.die; });
}

unsigned HostTopology::cores_per_die() const {
    return most(
        cpus, [](const HostCpu& c) { return std::pair(c.socket, c.die); }, [](const HostCpu& c) { return c.core; });
}

unsigned HostTopology::threads_per_core() const {
    return most(
        cpus, [](const HostCpu& c) { return std::tuple(c.socket, c.die, c.core); },
        [](const HostCpu& c) { return c.id; });
}

}  // namespace bascule::kernel
