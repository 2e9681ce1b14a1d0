// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/host.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "base/fd.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/sysfs.h"

namespace bascule::kernel::os {

namespace {

constexpr std::size_t kMostCpus = 65536;

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

HostCpu read_cpu(const std::string& sys, unsigned id) {
    const std::string folder = fmt::format("{}/devices/system/cpu/cpu{}/topology/", sys, id);
    HostCpu cpu{.id = id};
    cpu.socket = static_cast<unsigned>(number(small_file(folder + "physical_package_id")));
    cpu.die = static_cast<unsigned>(number(small_file(folder + "die_id")));
    cpu.core = static_cast<unsigned>(number(small_file(folder + "core_id")));
    cpu.siblings = parse_cpu_list(small_file(folder + "thread_siblings_list"));
    if (cpu.siblings.empty()) {
        cpu.siblings = {id};
    }
    return cpu;
}

// Huge pages of one folder ("hugepages-2048kB" …), smallest first.
std::vector<PagePool> huge_pages(const std::string& folder) {
    std::vector<PagePool> pools;
    constexpr std::string_view kPrefix = "hugepages-";
    for (const std::string& name : folder_entries(folder)) {
        if (name.starts_with(kPrefix)) {
            pools.push_back({.size_kib = number(std::string_view(name).substr(kPrefix.size())),
                             .total = number(small_file(folder + "/" + name + "/nr_hugepages")),
                             .free = number(small_file(folder + "/" + name + "/free_hugepages"))});
        }
    }
    std::ranges::sort(pools, {}, &PagePool::size_kib);
    return pools;
}

// The usual pages: what huge ones leave of the memory, as the peer counts them.
void add_usual_pages(HostNode& node) {
    const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
    std::uint64_t reserved = 0;
    for (const PagePool& pool : node.pages) {
        reserved += pool.size_kib * pool.total;
    }
    const std::uint64_t rest = node.memory_kib - std::min(reserved, node.memory_kib);
    node.pages.insert(node.pages.begin(), PagePool{size, rest / size, node.free_kib / size});
}

HostNode read_node(const std::string& sys, unsigned id, const std::vector<unsigned>& nodes) {
    const std::string folder = fmt::format("{}/devices/system/node/node{}", sys, id);
    const MemoryUse memory = parse_memory_use(read_text(folder + "/meminfo", 65536));
    HostNode node{.id = id, .memory_kib = memory.total_kib, .free_kib = memory.free_kib};
    node.cpus = parse_cpu_list(small_file(folder + "/cpulist"));
    std::istringstream distances(small_file(folder + "/distance"));
    unsigned distance = 0;
    for (std::size_t i = 0; i < nodes.size() && distances >> distance; ++i) {
        node.distances.emplace_back(nodes[i], distance);
    }
    node.pages = huge_pages(folder + "/hugepages");
    add_usual_pages(node);
    return node;
}

}  // namespace

std::vector<unsigned> parse_cpu_list(std::string_view text) {
    std::vector<unsigned> out;
    const auto digits = [&text](unsigned& value) {
        const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
        text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
        return ec == std::errc();
    };
    for (;;) {
        unsigned first = 0, last = 0;
        if (!digits(first)) {
            return out;
        }
        last = first;
        if (text.starts_with('-')) {
            text.remove_prefix(1);
            if (!digits(last)) {
                return out;
            }
        }
        for (unsigned i = first; i <= last && out.size() < kMostCpus; ++i) {
            out.push_back(i);
        }
        if (!text.starts_with(',')) {
            return out;
        }
        text.remove_prefix(1);
    }
}

HostTopology host_topology(const std::string& sys, const MemoryUse& memory) {
    HostTopology out;
    const std::string folder = sys + "/devices/system/cpu/";
    const auto online = parse_cpu_list(small_file(folder + "online"));
    for (const unsigned id : parse_cpu_list(small_file(folder + "present"))) {
        if (std::ranges::binary_search(online, id)) {
            out.cpus.push_back(read_cpu(sys, id));
        } else {
            out.cpus.push_back({.id = id, .online = false});
        }
    }
    if (out.cpus.empty()) {
        out.cpus.push_back({.id = 0, .siblings = {0}});
    }
    const auto nodes = parse_cpu_list(small_file(sys + "/devices/system/node/online"));
    for (const unsigned id : nodes) {
        out.nodes.push_back(read_node(sys, id, nodes));
    }
    if (out.nodes.empty()) {
        HostNode node{.memory_kib = memory.total_kib, .free_kib = memory.free_kib};
        for (const HostCpu& cpu : out.cpus) {
            if (cpu.online) {
                node.cpus.push_back(cpu.id);
            }
        }
        node.distances = {{0, 10}};
        node.pages = huge_pages(sys + "/kernel/mm/hugepages");
        add_usual_pages(node);
        out.nodes.push_back(std::move(node));
    }
    return out;
}

AllCpuTimes parse_cpu_times(std::string_view proc_stat) {
    AllCpuTimes out;
    const auto tick = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    std::istringstream lines{std::string(proc_stat)};
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("cpu")) {
            break;  // they come first
        }
        std::istringstream words(line);
        std::string name;
        // proc(5): user nice system idle iowait irq softirq; what hypervisors took and gave is in none of ours.
        std::array<std::uint64_t, 7> ticks{};
        words >> name;
        for (std::uint64_t& value : ticks) {
            words >> value;
        }
        const CpuTimes times{.user = (ticks[0] + ticks[1]) * tick,
                             .kernel = (ticks[2] + ticks[5] + ticks[6]) * tick,
                             .idle = ticks[3] * tick,
                             .iowait = ticks[4] * tick};
        if (name == "cpu") {
            out.total = times;
        } else {
            out.each[static_cast<unsigned>(number(std::string_view(name).substr(3)))] = times;
        }
    }
    return out;
}

MemoryUse parse_memory_use(std::string_view meminfo) {
    MemoryUse out;
    std::istringstream lines{std::string(meminfo)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string word;
        words >> word;
        if (word == "Node") {  // "Node 0 MemTotal: …" of a node's
            words >> word >> word;
        }
        std::uint64_t kib = 0;
        words >> kib;
        if (word == "MemTotal:") {
            out.total_kib = kib;
        } else if (word == "MemFree:") {
            out.free_kib = kib;
        } else if (word == "Buffers:") {
            out.buffers_kib = kib;
        } else if (word == "Cached:") {
            out.cached_kib = kib;
        }
    }
    return out;
}

std::map<std::string, std::string> firmware_facts(const std::string& sys) {
    std::map<std::string, std::string> out;
    const std::string folder = sys + "/class/dmi/id";
    for (const std::string& name : folder_entries(folder)) {
        if (name != "modalias" && name != "uevent") {
            if (std::string value = printable(small_file(folder + "/" + name)); !value.empty()) {
                out.emplace(name, std::move(value));
            }
        }
    }
    return out;
}

std::map<std::string, std::uint64_t> page_merging(const std::string& sys) {
    std::map<std::string, std::uint64_t> out;
    const std::string folder = sys + "/kernel/mm/ksm";
    for (const std::string& name : folder_entries(folder)) {
        out.emplace(name, number(small_file(folder + "/" + name)));
    }
    return out;
}

namespace {

Result<void> write_number(const std::string& path, std::uint64_t value) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    const std::string text = std::to_string(value);
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail_errno(path);
    }
    return {};
}

}  // namespace

Result<void> set_page_merging(const std::string& name, std::uint64_t value) {
    if (!page_merging("/sys").contains(name) || name.contains('/')) {
        return fail(Code::invalid_argument, fmt::format("the kernel has no samepage merging parameter '{}'", name));
    }
    return write_number("/sys/kernel/mm/ksm/" + name, value);
}

Result<std::uint64_t> set_page_pool(unsigned node, std::uint64_t size_kib, std::uint64_t pages) {
    const std::string path =
        fmt::format("/sys/devices/system/node/node{}/hugepages/hugepages-{}kB/nr_hugepages", node, size_kib);
    TRY_OK(write_number(path, pages));
    return number(small_file(path));
}

std::vector<ThreadUse> thread_uses(int pid) {
    std::vector<ThreadUse> out;
    const auto tick = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    const std::string folder = fmt::format("/proc/{}/task", pid);
    for (const std::string& entry : folder_entries(folder)) {
        const std::string stat = read_text(folder + "/" + entry + "/stat", 4096);
        const auto open = stat.find('('), close = stat.rfind(')');
        if (open == std::string::npos || close == std::string::npos || close < open) {
            continue;
        }
        ThreadUse use{.id = static_cast<int>(number(entry)), .name = stat.substr(open + 1, close - open - 1)};
        std::istringstream fields(stat.substr(close + 1));
        std::string skipped;
        for (int field = 3; field < 14; ++field) {
            fields >> skipped;
        }
        fields >> use.user_ns >> use.kernel_ns;
        use.user_ns *= tick;
        use.kernel_ns *= tick;
        for (int field = 16; field < 39; ++field) {
            fields >> skipped;
        }
        fields >> use.last_cpu;
        std::istringstream(read_text(folder + "/" + entry + "/schedstat", 256)) >> skipped >> use.delay_ns;
        out.push_back(std::move(use));
    }
    std::ranges::sort(out, {}, &ThreadUse::id);
    return out;
}

std::uint64_t resident_kib(int pid) {
    std::uint64_t size = 0, resident = 0;
    std::istringstream(read_text(fmt::format("/proc/{}/statm", pid), 256)) >> size >> resident;
    return resident * (static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024);
}

namespace {

struct FreeCpuSet {
    void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, FreeCpuSet>;

}  // namespace

Result<std::vector<unsigned>> affinity(int thread) {
    const CpuSet set(CPU_ALLOC(kMostCpus));
    const std::size_t size = CPU_ALLOC_SIZE(kMostCpus);
    CPU_ZERO_S(size, set.get());
    if (::sched_getaffinity(thread, size, set.get()) != 0) {
        return fail_errno(fmt::format("processors of thread {}", thread));
    }
    std::vector<unsigned> out;
    for (unsigned cpu = 0; cpu < kMostCpus; ++cpu) {
        if (CPU_ISSET_S(cpu, size, set.get())) {
            out.push_back(cpu);
        }
    }
    return out;
}

Result<void> set_affinity(int thread, const std::vector<unsigned>& cpus) {
    const CpuSet set(CPU_ALLOC(kMostCpus));
    const std::size_t size = CPU_ALLOC_SIZE(kMostCpus);
    CPU_ZERO_S(size, set.get());
    for (const unsigned cpu : cpus) {
        CPU_SET_S(cpu, size, set.get());
    }
    if (::sched_setaffinity(thread, size, set.get()) != 0) {
        return fail_errno(fmt::format("processors of thread {}", thread));
    }
    return {};
}

std::string file_stamp(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
        return {};
    }
    return fmt::format("{}.{:09}/{}.{:09}/{}/{}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
                       status.st_ctim.tv_nsec, status.st_size, status.st_ino);
}

}  // namespace bascule::kernel::os
