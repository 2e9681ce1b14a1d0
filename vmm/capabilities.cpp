// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/capabilities.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/xml.h"

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

// "pc   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)"
std::optional<MachineType> parse_machine(std::string_view line) {
    const auto end = line.find(' ');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    MachineType out;
    out.name = std::string(line.substr(0, end));
    constexpr std::string_view kAlias = "(alias of ";
    if (const auto at = line.find(kAlias); at != std::string_view::npos) {
        const std::string_view rest = line.substr(at + kAlias.size());
        out.canonical = std::string(rest.substr(0, rest.find(')')));
    }
    const bool ours =
        out.name == "q35" || out.name == "pc" || out.name.starts_with("pc-q35-") || out.name.starts_with("pc-i440fx-");
    return ours ? std::optional(out) : std::nullopt;
}

void write_host(xml::Writer& w, const HostFacts& host) {
    w.open("host");
    w.leaf("uuid", format(host.uuid));
    w.open("cpu");
    w.leaf("arch", host.arch);
    if (!host.cpu.vendor.empty()) {
        w.leaf("vendor", host.cpu.vendor);
    }
    w.empty("topology", {{"sockets", std::to_string(host.cpu.sockets)},
                         {"dies", "1"},
                         {"cores", std::to_string(host.cpu.cores)},
                         {"threads", std::to_string(host.cpu.threads)}});
    w.close();
    w.open("topology");
    w.open("cells", {{"num", "1"}});
    w.open("cell", {{"id", "0"}});
    w.leaf("memory", std::to_string(host.memory_kib), {{"unit", "KiB"}});
    w.open("cpus", {{"num", std::to_string(host.cpu.cpus)}});
    for (unsigned i = 0; i < host.cpu.cpus; ++i) {
        w.empty("cpu", {{"id", std::to_string(i)}});
    }
    w.close();
    w.close();
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
    w.close();
    w.close();
}

}  // namespace

std::vector<MachineType> parse_machines(std::string_view text) {
    std::vector<MachineType> out;
    each_line(text, [&](std::string_view line) {
        if (auto machine = parse_machine(line)) {
            out.push_back(std::move(*machine));
        }
    });
    if (out.empty()) {
        return {{"q35", "", 255}, {"pc", "", 255}};
    }
    // Clients take the first as the default.
    std::ranges::stable_partition(out, [](const MachineType& m) { return m.name == "q35"; });
    return out;
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
            out.vendor = value == "GenuineIntel" ? "Intel" : value == "AuthenticAMD" ? "AMD" : std::string(value);
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
    write_guest(w, host);
    return w.take();
}

}  // namespace bascule::vmm
