// SPDX-License-Identifier: GPL-2.0-or-later
// The machine that we run on, as plain values: kernel/linux/host.h reads them, documents and answers show them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/names.h"
#include "base/net.h"
#include "kernel/state.h"

namespace bascule::kernel {

struct HostCpu {
    unsigned id = 0;
    bool online = true;
    // Where it sits; unknown of one that is offline.
    unsigned socket = 0, die = 0, core = 0;
    std::vector<unsigned> siblings{};  // that share its core, itself included
    bool operator==(const HostCpu&) const = default;
};

struct PagePool {
    std::uint64_t size_kib = 0, total = 0, free = 0;  // in pages of that size
    bool operator==(const PagePool&) const = default;
};

// One NUMA node. A host without NUMA has one.
struct HostNode {
    unsigned id = 0;
    std::uint64_t memory_kib = 0, free_kib = 0;
    std::vector<unsigned> cpus{};
    std::vector<std::pair<unsigned, unsigned>> distances{};  // to node, how far (10: itself)
    std::vector<PagePool> pages{};                           // smallest first; the first are the usual ones
    bool operator==(const HostNode&) const = default;
};

struct HostTopology {
    std::vector<HostCpu> cpus{};    // present, by number
    std::vector<HostNode> nodes{};  // by number; never empty
    unsigned online() const;
    // Most of any node, package and core: what "sockets per node" and the like mean to clients.
    unsigned sockets_per_node() const, dies_per_socket() const, cores_per_die() const, threads_per_core() const;
    bool operator==(const HostTopology&) const = default;
};

// Since boot, in nanoseconds.
struct CpuTimes {
    std::uint64_t user = 0, kernel = 0, idle = 0, iowait = 0;
    bool operator==(const CpuTimes&) const = default;
};

struct MemoryUse {
    std::uint64_t total_kib = 0, free_kib = 0, buffers_kib = 0, cached_kib = 0;
    bool operator==(const MemoryUse&) const = default;
};

// One network device of the host.
struct HostLink {
    IfName name;
    std::string kind{};  // "bridge", "vlan", "bond", "veth" …; empty: a device with a driver
    std::optional<MacAddr> mac{};
    bool up = false;       // set up by an administrator
    bool carrier = false;  // and working
    std::uint32_t mtu = 0;
    std::string master{};            // the bridge or bond that it belongs to
    std::string parent{};            // of a VLAN
    std::optional<unsigned> vlan{};  // its tag
    std::optional<BondSettings> bond{};
    std::vector<Ip> gateways{};              // of its default routes, where somebody asked (os::gateways_of)
    std::optional<bool> stp{};               // of a bridge
    std::optional<unsigned> delay_centis{};  // of a bridge: forward delay in hundredths of a second
    std::vector<IpInterface> addresses{};
    bool operator==(const HostLink&) const = default;
};

}  // namespace bascule::kernel
