// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/xml.h"

#include <algorithm>

#include <fmt/format.h>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm {

namespace {

using namespace parts;
using xml::kText;
using xml::Value;

constexpr std::string_view kLaterChildren[] = {
    "blkiotune",   "bootloader", "bootloader_args", "cputune",        "genid",     "idmap",
    "iothreadids", "iothreads",  "keywrap",         "launchSecurity", "maxMemory", "memoryBacking",
    "memtune",     "numatune",   "on_lockfailure",  "perf",           "pm",        "resource",
    "seclabel",    "sysinfo",    "throttlegroups",  "vcpus",
};
constexpr std::string_view kLaterFeatures[] = {
    "aia",          "async-teardown",
    "capabilities", "ccf-assist",
    "cfpc",         "gic",
    "hap",          "hpt",
    "htm",          "hyperv",
    "ibs",          "ioapic",
    "kvm",          "msrs",
    "nested-hv",    "privnet",
    "ps2",          "pmu",
    "pvspinlock",   "ras",
    "sbbc",         "smm",
    "tcg",          "viridian",
    "vmcoreinfo",   "vmport",
    "xen",
};
constexpr std::string_view kLaterOs[] = {
    "acpi", "bios", "bootmenu", "dtb", "firmware", "init", "initarg", "loader", "nvram", "shim", "smbios",
};

// i440fx and q35 in any version; QEMU says itself when it has not got that one.
constexpr Value<std::string> kMachine{
    "'q35', 'pc' or a version of these (pc-q35-7.2)", [](std::string_view t) -> std::optional<std::string> {
        const bool known = t == "q35" || t == "pc" || t.starts_with("pc-q35-") || t.starts_with("pc-i440fx-");
        const bool clean = std::ranges::all_of(t, [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
                   c == '_';
        });
        return known && clean && t.size() <= 64 ? std::optional(std::string(t)) : std::nullopt;
    }};
constexpr Value<unsigned> kVcpus{"a number of virtual CPUs, 1 to 255", xml::parse_number<unsigned, 1, 255>};
constexpr Value<unsigned> kCount{"a number, 1 to 255", xml::parse_number<unsigned, 1, 255>};
constexpr Value<std::uint64_t> kAmount{"a whole number", xml::parse_number<std::uint64_t>};
constexpr Value<ObjectName> kName{"a name of 1 to 200 bytes without '/'", ObjectName::parse};
constexpr Value<Uuid> kUuid{"a UUID", Uuid::parse};
constexpr Value<std::string> kOneLine{"text on one line", [](std::string_view t) {
                                          return t.contains('\n') ? std::nullopt : std::optional(std::string(t));
                                      }};

// Bytes a unit stands for. The peer takes any case: "k" and "KiB" are 1024, "KB" is 1000.
std::optional<std::uint64_t> parse_unit(std::string_view text) {
    std::string unit(text);
    std::ranges::transform(unit, unit.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    if (unit == "b" || unit == "byte" || unit == "bytes") {
        return 1;
    }
    constexpr std::string_view kPowers = "kmgtpe";
    const auto power = unit.empty() ? std::string_view::npos : kPowers.find(unit[0]);
    const std::string_view tail = unit.empty() ? std::string_view() : std::string_view(unit).substr(1);
    if (power == std::string_view::npos || (!tail.empty() && tail != "b" && tail != "ib")) {
        return std::nullopt;
    }
    const std::uint64_t base = tail == "b" ? 1000 : 1024;
    std::uint64_t out = base;
    for (std::size_t i = 0; i < power; ++i) {
        out *= base;
    }
    return out;
}
constexpr Value<std::uint64_t> kUnit{"a unit of memory (b, KB, KiB, MB, MiB, GB, GiB …)", parse_unit};

constexpr std::uint64_t kMaxMemoryKib = std::uint64_t{16} << 30;  // 16 TiB: the address space of the machines

// <memory unit='MiB'>512</memory> in KiB, rounded up as the peer does.
Result<std::uint64_t> read_memory(const Node& node) {
    Reader r(node);
    const std::uint64_t unit = r.get("unit", kUnit, 1024);
    const std::uint64_t amount = r.text(kAmount).value_or(0);
    r.not_supported_attr("dumpCore");
    TRY_OK(r.finish());
    if (amount > kMaxMemoryKib * 1024 / unit) {
        return std::unexpected(
            to_error({Fault::Kind::malformed, node.line, node.name, {}, "at most 16 TiB", node.text}));
    }
    return (amount * unit + 1023) / 1024;
}

Result<unsigned> read_vcpu(const Node& node) {
    Reader r(node);
    const auto count = r.text(kVcpus);
    only(r, "placement", "static");
    r.not_supported_attr("current");
    r.not_supported_attr("cpuset");
    TRY_OK(r.finish());
    return *count;
}

Result<BootDevice> read_boot(const Node& node) {
    Reader r(node);
    const auto device = r.opt("dev", kBootDevices);
    if (!device) {
        r.report(Fault::Kind::missing, "dev", kBootDevices.choices(), {});
    }
    TRY_OK(r.finish());
    return *device;
}

Result<std::string> read_os_type(const Node& node) {
    Reader r(node);
    only(r, "arch", "x86_64");
    std::string machine = r.get("machine", kMachine, "q35");
    if (r.text() != "hvm") {
        r.report(Fault::Kind::not_supported, {}, fmt::format("type '{}'; use 'hvm'", r.text()), {});
    }
    TRY_OK(r.finish());
    return machine;
}

Result<Os> read_os(const Node& node) {
    Reader r(node);
    Os out;
    r.req_child("type");
    out.machine = r.parse_child("type", read_os_type).value_or("q35");
    out.boot = r.parse_children("boot", read_boot);
    out.kernel = r.child_text("kernel", kAbsolutePath).value_or("");
    out.initrd = r.child_text("initrd", kAbsolutePath).value_or("");
    out.cmdline = r.child_text("cmdline", kOneLine).value_or("");
    if (out.kernel.empty() && !(out.initrd.empty() && out.cmdline.empty())) {
        r.report(Fault::Kind::inconsistent, {}, "<initrd> and <cmdline> need a <kernel>", {});
    }
    r.not_supported_attr("firmware");
    refuse_children(r, kLaterOs);
    TRY_OK(r.finish());
    return out;
}

Result<bool> read_flag(const Node& node) {
    Reader r(node);
    r.not_supported_attr("eoi");
    TRY_OK(r.finish());
    return true;
}

Result<Features> read_features(const Node& node) {
    Reader r(node);
    Features out;
    out.acpi = r.parse_child("acpi", read_flag).value_or(false);
    out.apic = r.parse_child("apic", read_flag).value_or(false);
    out.pae = r.parse_child("pae", read_flag).value_or(false);
    refuse_children(r, kLaterFeatures);
    TRY_OK(r.finish());
    return out;
}

Result<CpuTopology> read_topology(const Node& node) {
    Reader r(node);
    CpuTopology out;
    out.sockets = r.req("sockets", kCount).value_or(1);
    out.dies = r.get("dies", kCount, 1);
    only(r, "clusters", "1");
    out.cores = r.req("cores", kCount).value_or(1);
    out.threads = r.req("threads", kCount).value_or(1);
    TRY_OK(r.finish());
    return out;
}

Result<Cpu> read_cpu(const Node& node) {
    Reader r(node);
    Cpu out;
    if (r.opt("mode", kText)) {
        out.mode = one_of(r, "mode", kCpuModes).value_or(CpuMode::absent);
    }
    // What the peer writes beside each mode, and what it does with nothing to compare against: no check.
    only(r, "check", out.mode == CpuMode::host_model ? "partial" : "none");
    out.migratable = r.get("migratable", xml::kOnOff, true);
    if (!out.migratable && out.mode != CpuMode::host_passthrough) {
        r.report(Fault::Kind::inconsistent, "migratable", "'off' needs mode='host-passthrough'", {});
    }
    out.topology = r.parse_child("topology", read_topology);
    refuse_attributes(r, {"match"});
    refuse_children(r, {"cache", "feature", "maxphysaddr", "model", "numa", "vendor"});
    TRY_OK(r.finish());
    return out;
}

Result<Clock> read_clock(const Node& node) {
    Reader r(node);
    const auto offset = one_of(r, "offset", kClocks);
    refuse_attributes(r, {"adjustment", "basis", "start", "timezone"});
    r.not_supported_child("timer");
    TRY_OK(r.finish());
    return offset.value_or(Clock::utc);
}

Lifecycle read_lifecycle(Reader& r, std::string_view element, Lifecycle otherwise) {
    const auto text = r.child_text(element, kText);
    const auto value = text ? kLifecycles.parse(*text) : otherwise;
    if (!value) {
        r.report_error(to_error({Fault::Kind::not_supported,
                                 r.child(element)->line,
                                 std::string(element),
                                 {},
                                 "'" + *text + "'; use " + kLifecycles.choices(),
                                 *text}));
    }
    return value.value_or(otherwise);
}

Result<std::vector<std::string>> read_metadata(const Node& node) {
    std::vector<std::string> out;
    for (const Node& child : node.children) {
        if (child.ns.empty()) {
            return std::unexpected(to_error({Fault::Kind::inconsistent,
                                             child.line,
                                             child.name,
                                             {},
                                             "elements of <metadata> need a namespace of their own",
                                             {}}));
        }
        out.push_back(child.raw);
    }
    return out;
}

void read_amounts(Reader& r, Spec& spec) {
    r.req_child("memory");
    spec.memory_kib = r.parse_child("memory", read_memory).value_or(0);
    spec.current_memory_kib = r.parse_child("currentMemory", read_memory).value_or(0);
    if (spec.current_memory_kib == 0) {
        spec.current_memory_kib = spec.memory_kib;
    }
    if (spec.memory_kib == 0) {
        r.report(Fault::Kind::inconsistent, {}, "<memory> must be more than 0", {});
    }
    if (spec.current_memory_kib > spec.memory_kib) {
        r.report(Fault::Kind::inconsistent, {},
                 fmt::format("<currentMemory> ({} KiB) is more than <memory> ({} KiB)", spec.current_memory_kib,
                             spec.memory_kib),
                 {});
    }
    spec.vcpus = r.parse_child("vcpu", read_vcpu).value_or(1);
}

// What only the whole document shows.
void check_together(Reader& r, const Spec& spec) {
    if (spec.accelerator == Accelerator::tcg && spec.cpu.mode == CpuMode::host_passthrough) {
        r.report(Fault::Kind::inconsistent, "type",
                 "<cpu mode='host-passthrough'> needs type='kvm'; use mode='maximum' or leave <cpu> out", "qemu");
    }
    if (spec.cpu.topology && spec.cpu.topology->total() != spec.vcpus) {
        r.report(Fault::Kind::inconsistent, {},
                 fmt::format("<topology> has {} CPUs, <vcpu> {}", spec.cpu.topology->total(), spec.vcpus), {});
    }
    if (spec.current_memory_kib < spec.memory_kib && !spec.balloon) {
        r.report(Fault::Kind::inconsistent, {}, "<currentMemory> below <memory> needs <memballoon model='virtio'/>",
                 {});
    }
    std::vector<unsigned> orders;
    for (const Interface& nic : spec.interfaces) {
        if (nic.boot_order && std::ranges::find(orders, *nic.boot_order) != orders.end()) {
            r.report(Fault::Kind::inconsistent, {}, fmt::format("two devices have boot order {}", *nic.boot_order), {});
        }
        orders.push_back(nic.boot_order.value_or(0));
    }
    if (!spec.os.boot.empty() && std::ranges::any_of(orders, [](unsigned order) { return order != 0; })) {
        r.report(Fault::Kind::inconsistent, {}, "<boot order=> of a device and <os><boot dev=> exclude each other", {});
    }
}

}  // namespace

Result<Spec> parse(std::string_view text) {
    TRY(const Node root, xml::parse(text));
    if (root.name != "domain" || !root.ns.empty()) {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: <{}>: expected the root element <domain>", root.line, root.name));
    }
    Reader r(root);
    const auto accelerator = one_of(r, "type", kAccelerators);
    if (!accelerator) {
        r.report(Fault::Kind::missing, "type", kAccelerators.choices(), {});
    }
    r.ignore_attr("id");  // of a running guest
    r.req_child("name");
    const auto name = r.child_text("name", kName);
    if (!name || !r.ok()) {
        TRY_OK(r.finish());
        return fail(Code::invalid_xml, fmt::format("line {}: <domain>: <name> is missing", root.line));
    }
    Spec spec{.name = *name, .accelerator = *accelerator};
    spec.uuid = r.child_text("uuid", kUuid).value_or(Uuid{});
    spec.title = r.child_text("title", kOneLine).value_or("");
    spec.description = r.child_text("description", kText).value_or("");
    spec.metadata = r.parse_child("metadata", read_metadata).value_or(std::vector<std::string>());
    read_amounts(r, spec);
    r.req_child("os");
    spec.os = r.parse_child("os", read_os).value_or(Os{});
    spec.features = r.parse_child("features", read_features).value_or(Features{});
    spec.cpu = r.parse_child("cpu", read_cpu).value_or(Cpu{});
    spec.clock = r.parse_child("clock", read_clock).value_or(Clock::utc);
    if (read_lifecycle(r, "on_poweroff", Lifecycle::destroy) != Lifecycle::destroy) {
        r.report_error(to_error({Fault::Kind::not_supported,
                                 r.child("on_poweroff")->line,
                                 "on_poweroff",
                                 {},
                                 "'restart'; use 'destroy'",
                                 {}}));
    }
    spec.on_reboot = read_lifecycle(r, "on_reboot", Lifecycle::restart);
    spec.on_crash = read_lifecycle(r, "on_crash", Lifecycle::destroy);
    if (const Node* const devices = r.child("devices"); devices != nullptr && r.ok()) {
        TRY_OK(read_devices(*devices, spec));
    }
    refuse_children(r, kLaterChildren);
    check_together(r, spec);
    TRY_OK(r.finish());
    return spec;
}

}  // namespace bascule::vmm
