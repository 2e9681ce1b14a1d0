// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/capabilities.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "base/xml.h"
#include "vmm/cpu_models.h"

namespace bascule::vmm {

namespace {

template <class F>
void each_line(std::string_view text, F use) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        use(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The leading digits; 0 when there are none.
template <class T = unsigned>
T number(std::string_view text) {
    T value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

// "0-1", "0,4": numbers in order, runs joined.
std::string cpu_list(const std::vector<unsigned>& cpus) {
    std::string out;
    for (std::size_t i = 0; i < cpus.size();) {
        std::size_t last = i;
        while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) {
            ++last;
        }
        out += fmt::format("{}{}", out.empty() ? "" : ",", cpus[i]);
        if (last > i) {
            out += fmt::format("-{}", cpus[last]);
        }
        i = last + 1;
    }
    return out;
}

void write_cpu(xml::Writer& w, const HostFacts& host) {
    const CpuInfo& cpu = host.cpu;
    w.open("cpu");
    w.leaf("arch", host.arch);
    if (!host.cpu_model.empty()) {
        w.leaf("model", host.cpu_model);
    }
    if (!cpu.vendor.empty()) {
        w.leaf("vendor", cpu.vendor);
    }
    if (cpu.microcode != 0) {
        w.empty("microcode", {{"version", std::to_string(cpu.microcode)}});
    }
    if (cpu.family != 0) {
        w.empty("signature", {{"family", std::to_string(cpu.family)},
                              {"model", std::to_string(cpu.model_number)},
                              {"stepping", std::to_string(cpu.stepping)}});
    }
    const kernel::HostTopology& topology = host.topology;
    w.empty("topology", {{"sockets", std::to_string(topology.sockets_per_node())},
                         {"dies", std::to_string(topology.dies_per_socket())},
                         {"cores", std::to_string(topology.cores_per_die())},
                         {"threads", std::to_string(topology.threads_per_core())}});
    if (cpu.address_bits != 0) {
        w.empty("maxphysaddr", {{"mode", "emulate"}, {"bits", std::to_string(cpu.address_bits)}});
    }
    for (std::string feature : host.cpu_features) {
        std::ranges::replace(feature, '.', '-');  // libvirt's schema of this place knows no "sse4.1"
        w.empty("feature", {{"name", feature}});
    }
    if (!topology.nodes.empty()) {
        for (const kernel::PagePool& pool : topology.nodes.front().pages) {
            w.empty("pages", {{"unit", "KiB"}, {"size", std::to_string(pool.size_kib)}});
        }
    }
    w.close();
}

void write_node(xml::Writer& w, const kernel::HostNode& node, const std::vector<kernel::HostCpu>& cpus) {
    w.open("cell", {{"id", std::to_string(node.id)}});
    w.leaf("memory", std::to_string(node.memory_kib), {{"unit", "KiB"}});
    for (const kernel::PagePool& pool : node.pages) {
        w.leaf("pages", std::to_string(pool.total), {{"unit", "KiB"}, {"size", std::to_string(pool.size_kib)}});
    }
    if (!node.distances.empty()) {
        w.open("distances");
        for (const auto& [other, distance] : node.distances) {
            w.empty("sibling", {{"id", std::to_string(other)}, {"value", std::to_string(distance)}});
        }
        w.close();
    }
    w.open("cpus", {{"num", std::to_string(node.cpus.size())}});
    for (const kernel::HostCpu& cpu : cpus) {
        if (std::ranges::find(node.cpus, cpu.id) != node.cpus.end()) {
            w.empty("cpu", {{"id", std::to_string(cpu.id)},
                            {"socket_id", std::to_string(cpu.socket)},
                            {"die_id", std::to_string(cpu.die)},
                            {"core_id", std::to_string(cpu.core)},
                            {"siblings", cpu_list(cpu.siblings)}});
        }
    }
    w.close();
    w.close();
}

void write_host(xml::Writer& w, const HostFacts& host) {
    w.open("host");
    w.leaf("uuid", format(host.uuid));
    write_cpu(w, host);
    w.empty("power_management");
    w.open("topology");
    w.open("cells", {{"num", std::to_string(host.topology.nodes.size())}});
    for (const kernel::HostNode& node : host.topology.nodes) {
        write_node(w, node, host.topology.cpus);
    }
    w.close();
    w.close();
    w.close();
}

void write_guest(xml::Writer& w, const HostFacts& host) {
    w.open("guest");
    w.leaf("os_type", "hvm");
    w.open("arch", {{"name", "x86_64"}});
    w.leaf("wordsize", "64");
    w.leaf("emulator", host.emulator);
    for (const MachineType& machine : host.machines) {
        xml::Writer::Attrs attrs;
        if (!machine.canonical.empty()) {
            attrs.emplace_back("canonical", machine.canonical);
        }
        attrs.emplace_back("maxCpus", std::to_string(machine.max_cpus));
        if (machine.deprecated) {
            attrs.emplace_back("deprecated", "yes");
        }
        w.leaf("machine", machine.name, attrs);
    }
    w.empty("domain", {{"type", "qemu"}});
    if (host.kvm) {
        w.empty("domain", {{"type", "kvm"}});
    }
    w.close();
    w.open("features");
    w.empty("acpi", {{"default", "on"}, {"toggle", "yes"}});
    w.empty("apic", {{"default", "on"}, {"toggle", "no"}});
    w.empty("cpuselection");
    w.empty("deviceboot");
    w.close();
    w.close();
}

// "pc-q35-7.2" as {7, 2}; none for an alias.
std::vector<unsigned> version_of(std::string_view machine) {
    std::vector<unsigned> out;
    for (auto rest = machine.substr(std::min(machine.rfind('-') + 1, machine.size())); !rest.empty();) {
        const auto dot = rest.find('.');
        out.push_back(number(rest.substr(0, dot)));
        rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    }
    return out;
}

}  // namespace

bool is_our_machine(std::string_view name) {
    return name == "q35" || name == "pc" || name.starts_with("pc-q35-") || name.starts_with("pc-i440fx-");
}

void sort_machines(std::vector<MachineType>& machines) {
    const auto place = [](const MachineType& machine) {
        return machine.name == "q35" ? 0 : machine.name == "pc" ? 1 : machine.name.starts_with("pc-q35-") ? 2 : 3;
    };
    std::ranges::stable_sort(machines, [&](const MachineType& a, const MachineType& b) {
        return place(a) != place(b) ? place(a) < place(b) : version_of(a.name) > version_of(b.name);
    });
}

CpuInfo parse_cpuinfo(std::string_view text) {
    CpuInfo out;
    std::set<std::string, std::less<>> sockets;
    unsigned cpus = 0, siblings = 0, cores = 0;
    each_line(text, [&](std::string_view line) {
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) {
            return;
        }
        const std::string_view key = trimmed(line.substr(0, colon));
        const std::string_view value = trimmed(line.substr(colon + 1));
        if (key == "processor") {
            ++cpus;
        } else if (key == "physical id") {
            sockets.emplace(value);
        } else if (key == "siblings") {
            siblings = number(value);
        } else if (key == "cpu cores") {
            cores = number(value);
        } else if (key == "cpu MHz" && out.mhz == 0) {
            out.mhz = number(value);
        } else if (key == "model name" && out.model.empty()) {
            out.model = std::string(value);
        } else if (key == "vendor_id" && out.vendor.empty()) {
            out.vendor = vendor_name(value);
        } else if (key == "cpu family") {
            out.family = number(value);
        } else if (key == "model") {
            out.model_number = number(value);
        } else if (key == "stepping") {
            out.stepping = number(value);
        } else if (key == "microcode" && value.starts_with("0x")) {
            std::from_chars(value.data() + 2, value.data() + value.size(), out.microcode, 16);
        } else if (key == "address sizes") {
            out.address_bits = number(value);
        } else if (key == "flags" && out.flags.empty()) {
            for (std::string_view rest = value; !rest.empty();) {
                const auto space = rest.find(' ');
                out.flags.emplace_back(rest.substr(0, space));
                rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
            }
        }
    });
    out.cpus = std::max(cpus, 1U);
    out.sockets = std::max<unsigned>(static_cast<unsigned>(sockets.size()), 1);
    out.cores = std::max(cores, 1U);
    out.threads = std::max(siblings / out.cores, 1U);
    // Virtual machines often describe themselves inconsistently. Clients multiply the three: it must come out at
    // no less than what is online, or they show too few.
    if (out.sockets * out.cores * out.threads < out.cpus) {
        out.sockets = 1;
        out.cores = out.cpus;
        out.threads = 1;
    }
    return out;
}

std::uint64_t parse_memory_kib(std::string_view text) {
    std::uint64_t out = 0;
    each_line(text, [&](std::string_view line) {
        constexpr std::string_view kTotal = "MemTotal:";
        if (line.starts_with(kTotal)) {
            out = number<std::uint64_t>(trimmed(line.substr(kTotal.size())));
        }
    });
    return out;
}

std::string capabilities_xml(const HostFacts& host) {
    xml::Writer w;
    w.open("capabilities");
    write_host(w, host);
    if (!host.machines.empty()) {
        write_guest(w, host);
    }
    return w.take();
}

}  // namespace bascule::vmm
