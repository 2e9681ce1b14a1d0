// SPDX-License-Identifier: GPL-2.0-or-later
// The machine below: processors, memory, firmware. Read from the kernel when asked.
#include <algorithm>
#include <array>

#include "base/xml.h"
#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace field = rpc::typed_param_field;
using rpc::Call;
using rpc::TypedParam;

namespace {

constexpr std::string_view kSys = "/sys";

std::array<std::int8_t, 32> widened(std::string_view text) {
    std::array<std::int8_t, 32> out{};
    std::ranges::transform(text.substr(0, out.size() - 1), out.begin(),
                           [](char c) { return static_cast<std::int8_t>(c); });
    return out;
}

std::string name_of(std::string_view text) { return std::string(text); }

// The nodes from `first` on, at most `count`. A first one that is not there is an error, as the peer has it.
Result<std::vector<kernel::HostNode>> nodes_from(std::int32_t first, std::int64_t count) {
    auto nodes = host_topology().nodes;
    const auto last = static_cast<std::int64_t>(nodes.back().id);
    if (first < 0 || first > last) {
        return fail(Code::invalid_argument, fmt::format("start cell {} out of range (0-{})", first, last));
    }
    std::erase_if(nodes, [&](const kernel::HostNode& node) {
        return node.id < static_cast<unsigned>(first) || std::int64_t{node.id} >= first + count;
    });
    return nodes;
}

Result<proto::node_get_cpu_stats_ret> cpu_stats(const proto::node_get_cpu_stats_args& args) {
    constexpr std::int32_t kParams = 4;
    TRY_OK(check_flags(args.flags, 0, "virHostCPUGetStats"));
    if (args.nparams == 0) {
        return proto::node_get_cpu_stats_ret{.params = {}, .nparams = kParams};
    }
    const os::AllCpuTimes all = os::parse_cpu_times(os::read_text("/proc/stat", 4U << 20));
    kernel::CpuTimes times = all.total;
    if (args.cpu_num != rpc::node_get_cpu_stats_all_cpus::node_cpu_stats_all_cpus) {
        const auto one = all.each.find(static_cast<unsigned>(args.cpu_num));
        if (args.cpu_num < 0 || one == all.each.end()) {
            return fail(Code::invalid_argument, fmt::format("Invalid cpuNum {}: it is not online", args.cpu_num));
        }
        times = one->second;
    }
    if (args.nparams != kParams) {
        return fail(Code::invalid_argument, fmt::format("nparams must be equal to {}, not {}", kParams, args.nparams));
    }
    return proto::node_get_cpu_stats_ret{.params = {{name_of(field::node_cpu_stats_kernel), times.kernel},
                                                    {name_of(field::node_cpu_stats_user), times.user},
                                                    {name_of(field::node_cpu_stats_idle), times.idle},
                                                    {name_of(field::node_cpu_stats_iowait), times.iowait}},
                                         .nparams = kParams};
}

Result<proto::node_get_memory_stats_ret> memory_stats(const proto::node_get_memory_stats_args& args) {
    TRY_OK(check_flags(args.flags, 0, "virHostMemGetStats"));
    const bool all = args.cell_num == rpc::node_get_memory_stats_all_cells::node_memory_stats_all_cells;
    const std::int32_t count = all ? 4 : 2;
    if (args.nparams == 0) {
        return proto::node_get_memory_stats_ret{.params = {}, .nparams = count};
    }
    if (args.nparams != count) {
        return fail(Code::invalid_argument, fmt::format("nparams must be equal to {}, not {}", count, args.nparams));
    }
    if (all) {
        const kernel::MemoryUse use = os::parse_memory_use(os::read_text("/proc/meminfo"));
        return proto::node_get_memory_stats_ret{.params = {{name_of(field::node_memory_stats_total), use.total_kib},
                                                           {name_of(field::node_memory_stats_free), use.free_kib},
                                                           {name_of(field::node_memory_stats_buffers), use.buffers_kib},
                                                           {name_of(field::node_memory_stats_cached), use.cached_kib}},
                                                .nparams = count};
    }
    TRY(const auto nodes, nodes_from(args.cell_num, 1));
    if (nodes.empty()) {
        return fail(Code::invalid_argument, fmt::format("the host has no cell {}", args.cell_num));
    }
    return proto::node_get_memory_stats_ret{
        .params = {{name_of(field::node_memory_stats_total), nodes.front().memory_kib},
                   {name_of(field::node_memory_stats_free), nodes.front().free_kib}},
        .nparams = count};
}

proto::node_get_cpu_map_ret cpu_map(const proto::node_get_cpu_map_args& args) {
    const auto cpus = host_topology().cpus;
    proto::node_get_cpu_map_ret ret;
    ret.ret = static_cast<std::int32_t>(cpus.back().id + 1);
    std::vector<unsigned> online;
    for (const kernel::HostCpu& cpu : cpus) {
        if (cpu.online) {
            online.push_back(cpu.id);
        }
    }
    if (args.need_map != 0) {
        ret.cpumap = cpu_bitmap(online, (cpus.back().id + 8) / 8);
    }
    if (args.need_online != 0) {
        ret.online = static_cast<std::uint32_t>(online.size());
    }
    return ret;
}

void add_processors(rpc::Handlers& h, Services& s) {
    h.add<proto::node_get_info>([&s](Call&, const proto::node_get_info::Args&) -> Result<proto::node_get_info_ret> {
        const kernel::HostTopology host = host_topology();
        const auto number = [](std::size_t value) { return static_cast<std::int32_t>(value); };
        proto::node_get_info_ret ret{.model = widened(s.facts.arch),
                                     .memory = s.facts.memory_kib,
                                     .cpus = number(host.online()),
                                     .mhz = static_cast<std::int32_t>(s.facts.cpu.mhz),
                                     .nodes = number(host.nodes.size()),
                                     .sockets = number(host.sockets_per_node()),
                                     .cores = number(std::size_t{host.cores_per_die()} * host.dies_per_socket()),
                                     .threads = number(host.threads_per_core())};
        // Clients multiply the four: where that is not all there is, libvirt says one node, one socket, so many cores.
        if (std::int64_t{ret.nodes} * ret.sockets * ret.cores * ret.threads < ret.cpus) {
            ret.nodes = ret.sockets = ret.threads = 1;
            ret.cores = ret.cpus;
        }
        return ret;
    });
    h.add<proto::node_get_cpu_stats>([](Call&, const proto::node_get_cpu_stats_args& args) { return cpu_stats(args); });
    h.add<proto::node_get_cpu_map>(
        [](Call&, const proto::node_get_cpu_map_args& args) -> Result<proto::node_get_cpu_map_ret> {
            TRY_OK(check_flags(args.flags, 0, "virHostCPUGetMap"));
            return cpu_map(args);
        });
    h.add<proto::node_get_security_model>(
        [](Call&, const proto::node_get_security_model::Args&) -> Result<proto::node_get_security_model_ret> {
            return proto::node_get_security_model_ret{};  // none: clients show no labels then
        });
}

// ---- memory

Result<proto::node_get_free_pages_ret> free_pages(const proto::node_get_free_pages_args& args) {
    TRY_OK(check_flags(args.flags, 0, "qemuNodeGetFreePages"));
    TRY(const auto nodes, nodes_from(args.start_cell, args.cell_count));
    proto::node_get_free_pages_ret ret;
    for (const kernel::HostNode& node : nodes) {
        for (const std::uint32_t size : args.pages) {
            const auto pool = std::ranges::find(node.pages, std::uint64_t{size}, &kernel::PagePool::size_kib);
            if (pool == node.pages.end()) {
                return fail(Code::invalid_argument, fmt::format("the host has no pages of {} KiB", size));
            }
            ret.counts.push_back(pool->free);
        }
    }
    return ret;
}

Result<proto::node_alloc_pages_ret> alloc_pages(const proto::node_alloc_pages_args& args) {
    constexpr std::uint32_t kSet = 1;  // VIR_NODE_ALLOC_PAGES_SET; otherwise they are added
    TRY_OK(check_flags(args.flags, kSet, "qemuNodeAllocPages"));
    if (args.page_sizes.size() != args.page_counts.size()) {
        return fail(Code::invalid_argument, "each size of pages needs a count");
    }
    TRY(const auto nodes, nodes_from(args.start_cell == -1 ? 0 : args.start_cell,
                                     args.start_cell == -1 ? std::int64_t{1} << 32 : args.cell_count));
    proto::node_alloc_pages_ret ret;
    for (const kernel::HostNode& node : nodes) {
        for (std::size_t i = 0; i < args.page_sizes.size(); ++i) {
            const auto pool =
                std::ranges::find(node.pages, std::uint64_t{args.page_sizes[i]}, &kernel::PagePool::size_kib);
            if (pool == node.pages.end() || pool == node.pages.begin()) {
                return fail(Code::invalid_argument,
                            fmt::format("the host has no huge pages of {} KiB", args.page_sizes[i]));
            }
            const std::uint64_t before = pool->total;
            const std::uint64_t wanted = (args.flags & kSet) != 0 ? args.page_counts[i] : before + args.page_counts[i];
            TRY(const std::uint64_t now, os::set_page_pool(node.id, pool->size_kib, wanted));
            ret.ret += now == wanted ? 1 : 0;
        }
    }
    return ret;
}

// The names on the wire are the kernel's with this in front.
constexpr std::string_view kMergePrefix = "shm_";

// pages_to_scan, sleep_millisecs and merge_across_nodes can be set and are 32 bits wide; the others are counters.
bool is_setting(std::string_view name) {
    return name == "pages_to_scan" || name == "sleep_millisecs" || name == "merge_across_nodes";
}

Result<proto::node_get_memory_parameters_ret> memory_parameters(const proto::node_get_memory_parameters_args& args) {
    TRY_OK(check_flags(args.flags, kStringOkay, "virHostMemGetParameters"));
    proto::node_get_memory_parameters_ret ret;
    const auto known = os::page_merging(std::string(kSys));
    for (const std::string_view name : {"pages_to_scan", "sleep_millisecs", "pages_shared", "pages_sharing",
                                        "pages_unshared", "pages_volatile", "full_scans", "merge_across_nodes"}) {
        const auto it = known.find(std::string(name));
        if (it == known.end()) {
            continue;
        }
        TypedParam param{.field = fmt::format("{}{}", kMergePrefix, name), .value = it->second};
        if (is_setting(name)) {
            param.value = static_cast<std::uint32_t>(it->second);
        }
        ret.params.push_back(std::move(param));
    }
    return sized<proto::node_get_memory_parameters_ret>(std::move(ret.params), args.nparams);
}

Result<void> set_memory_parameters(const proto::node_set_memory_parameters_args& args) {
    TRY_OK(check_flags(args.flags, 0, "virHostMemSetParameters"));
    std::vector<std::pair<std::string, std::uint64_t>> changes;
    for (const TypedParam& param : args.params) {
        const auto* const value = std::get_if<std::uint32_t>(&param.value);
        const std::string name = param.field.starts_with(kMergePrefix) ? param.field.substr(kMergePrefix.size()) : "";
        if (!is_setting(name) || value == nullptr) {
            return fail(Code::invalid_argument, fmt::format("parameter '{}' cannot be set to that", param.field));
        }
        changes.emplace_back(name, *value);
    }
    for (const auto& [name, value] : changes) {
        TRY_OK(os::set_page_merging(name, value));
    }
    return {};
}

void add_memory(rpc::Handlers& h) {
    h.add<proto::node_get_memory_stats>(
        [](Call&, const proto::node_get_memory_stats_args& args) { return memory_stats(args); });
    h.add<proto::node_get_free_memory>(
        [](Call&, const proto::node_get_free_memory::Args&) -> Result<proto::node_get_free_memory_ret> {
            std::uint64_t kib = 0;
            for (const kernel::HostNode& node : host_topology().nodes) {
                kib += node.free_kib;
            }
            return proto::node_get_free_memory_ret{kib * 1024};
        });
    h.add<proto::node_get_cells_free_memory>(
        [](Call&, const proto::node_get_cells_free_memory_args& args) -> Result<proto::node_get_cells_free_memory_ret> {
            TRY(const auto nodes, nodes_from(args.start_cell, args.maxcells));
            proto::node_get_cells_free_memory_ret ret;
            for (const kernel::HostNode& node : nodes) {
                ret.cells.push_back(node.free_kib * 1024);
            }
            return ret;
        });
    h.add<proto::node_get_free_pages>(
        [](Call&, const proto::node_get_free_pages_args& args) { return free_pages(args); });
    h.add<proto::node_alloc_pages>([](Call&, const proto::node_alloc_pages_args& args) { return alloc_pages(args); });
    h.add<proto::node_get_memory_parameters>(
        [](Call&, const proto::node_get_memory_parameters_args& args) { return memory_parameters(args); });
    h.add<proto::node_set_memory_parameters>(
        [](Call&, const proto::node_set_memory_parameters_args& args) { return set_memory_parameters(args); });
}

// ---- firmware

struct Entry {
    const char* name;  // in the document
    const char* file;  // of the kernel
};

void write_block(xml::Writer& w, const std::map<std::string, std::string>& facts, std::string_view element,
                 std::initializer_list<Entry> entries) {
    bool open = false;
    for (const Entry& entry : entries) {
        if (const auto fact = facts.find(entry.file); fact != facts.end()) {
            if (!std::exchange(open, true)) {
                w.open(element);
            }
            w.leaf("entry", fact->second, {{"name", entry.name}});
        }
    }
    if (open) {
        w.close();
    }
}

Result<proto::connect_get_sysinfo_ret> sysinfo(std::uint32_t flags) {
    TRY_OK(check_flags(flags, 0, "qemuConnectGetSysinfo"));
    const auto facts = os::firmware_facts(std::string(kSys));
    if (facts.empty()) {
        return fail(Code::unsupported_config, "Host SMBIOS information is not available");
    }
    xml::Writer w;
    w.open("sysinfo", {{"type", "smbios"}});
    write_block(
        w, facts, "bios",
        {{"vendor", "bios_vendor"}, {"version", "bios_version"}, {"date", "bios_date"}, {"release", "bios_release"}});
    write_block(w, facts, "system",
                {{"manufacturer", "sys_vendor"},
                 {"product", "product_name"},
                 {"version", "product_version"},
                 {"serial", "product_serial"},
                 {"uuid", "product_uuid"},
                 {"sku", "product_sku"},
                 {"family", "product_family"}});
    write_block(w, facts, "baseBoard",
                {{"manufacturer", "board_vendor"},
                 {"product", "board_name"},
                 {"version", "board_version"},
                 {"serial", "board_serial"},
                 {"asset", "board_asset_tag"}});
    write_block(w, facts, "chassis",
                {{"manufacturer", "chassis_vendor"},
                 {"version", "chassis_version"},
                 {"serial", "chassis_serial"},
                 {"asset", "chassis_asset_tag"}});
    w.close();
    return proto::connect_get_sysinfo_ret{w.take()};
}

}  // namespace

kernel::HostTopology host_topology() {
    return os::host_topology(std::string(kSys), os::parse_memory_use(os::read_text("/proc/meminfo")));
}

Bytes cpu_bitmap(const std::vector<unsigned>& cpus, std::size_t bytes) {
    Bytes map(bytes);
    for (const unsigned cpu : cpus) {
        if (cpu / 8 < map.size()) {
            map[cpu / 8] |= std::byte(1U << (cpu % 8));
        }
    }
    return map;
}

std::vector<unsigned> cpus_of(ByteView bitmap) {
    std::vector<unsigned> cpus;
    for (unsigned cpu = 0; cpu < bitmap.size() * 8; ++cpu) {
        if ((bitmap[cpu / 8] >> (cpu % 8) & std::byte{1}) != std::byte{0}) {
            cpus.push_back(cpu);
        }
    }
    return cpus;
}

void add_node_handlers(rpc::Handlers& handlers, Services& services) {
    add_processors(handlers, services);
    add_memory(handlers);
    handlers.add<proto::connect_get_sysinfo>(
        [](Call&, const proto::connect_get_sysinfo_args& args) { return sysinfo(args.flags); });
}

}  // namespace bascule::daemon
