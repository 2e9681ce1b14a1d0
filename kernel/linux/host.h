// SPDX-License-Identifier: GPL-2.0-or-later
// The machine as /proc and /sys describe it, read when asked: nothing of it is kept. Functions that take a folder read
// below it, so that tests can give them another machine.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/host_facts.h"

namespace bascule::kernel::os {

// "0-3,8": the numbers, in order; what is not a number ends it. At most 65536 of them.
std::vector<unsigned> parse_cpu_list(std::string_view text);

// Processors and NUMA nodes. `sys` is "/sys" but for tests; `memory` answers for a host whose kernel shows no nodes.
HostTopology host_topology(const std::string& sys, const MemoryUse& memory);

// The lines of /proc/stat: the whole machine, and each processor by its number.
struct AllCpuTimes {
    CpuTimes total;
    std::map<unsigned, CpuTimes> each;
};
AllCpuTimes parse_cpu_times(std::string_view proc_stat);

// The text of /proc/meminfo, or of a node's.
MemoryUse parse_memory_use(std::string_view meminfo);

// What the firmware says of the machine, by file of /sys/class/dmi/id ("sys_vendor" → "QEMU"). Empty: it says nothing.
std::map<std::string, std::string> firmware_facts(const std::string& sys);

// Samepage merging, by file of /sys/kernel/mm/ksm. Empty: the kernel has none.
std::map<std::string, std::uint64_t> page_merging(const std::string& sys);
// Code::invalid_argument for a name that there is not; the kernel's refusal otherwise.
Result<void> set_page_merging(const std::string& name, std::uint64_t value);

// Pages of that size set aside on that node. Returns what the kernel then has: it may get fewer than it was asked for.
Result<std::uint64_t> set_page_pool(unsigned node, std::uint64_t size_kib, std::uint64_t pages);

// Every network device of our namespace with its addresses, by name.
Result<std::vector<HostLink>> host_links();

// Where each thread of a process last ran and for how long, in the order of /proc/PID/task.
struct ThreadUse {
    int id = 0;
    std::string name{};  // "CPU 0/KVM", "CPU 0/TCG" of a guest's processors
    std::uint64_t user_ns = 0, kernel_ns = 0;
    unsigned last_cpu = 0;
    std::uint64_t delay_ns = 0;  // waited for a processor
};
std::vector<ThreadUse> thread_uses(int pid);
// Resident memory of a process; 0: it is gone.
std::uint64_t resident_kib(int pid);

// Where a thread may run, and making it so. Numbers of processors.
Result<std::vector<unsigned>> affinity(int thread);
Result<void> set_affinity(int thread, const std::vector<unsigned>& cpus);

// Times of a file's last changes, its owner's and mode's included, with its size: whether it is still the same. Empty:
// no such file.
std::string file_stamp(const std::string& path);

}  // namespace bascule::kernel::os
