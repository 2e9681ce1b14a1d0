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
    "blkiotune",      "bootloader", "bootloader_args", "cputune",   "genid",         "idmap",          "iothreadids",
    "iothreads",      "keywrap",    "launchSecurity",  "maxMemory", "memoryBacking", "memtune",        "numatune",
    "on_lockfailure", "perf",       "resource",        "seclabel",  "sysinfo",       "throttlegroups", "vcpus",
};
constexpr std::string_view kLaterOs[] = {
    "acpi", "dtb", "firmware", "init", "initarg", "loader", "nvram", "shim", "smbios",
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
constexpr Value<unsigned> kMilliseconds{"milliseconds, 0 to 65535", xml::parse_number<unsigned, 0, 65535>};
constexpr Value<int> kRebootTimeout{"milliseconds, -1 to 65535", xml::parse_number<int, -1, 65535>};
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

Result<void> read_boot_menu(const Node& node, Os& os) {
    Reader r(node);
    os.boot_menu = req_yes_no(r, "enable");
    os.boot_menu_timeout = r.opt("timeout", kMilliseconds);
    return r.finish();
}

Result<void> read_bios(const Node& node, Os& os) {
    Reader r(node);
    os.bios_serial = r.opt("useserial", xml::kYesNo);
    os.reboot_timeout = r.opt("rebootTimeout", kRebootTimeout);
    return r.finish();
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
    if (const Node* const menu = r.child("bootmenu")) {
        TRY_OK(read_boot_menu(*menu, out));
    }
    if (const Node* const bios = r.child("bios")) {
        TRY_OK(read_bios(*bios, out));
    }
    if (out.kernel.empty() && !(out.initrd.empty() && out.cmdline.empty())) {
        r.report(Fault::Kind::inconsistent, {}, "<initrd> and <cmdline> need a <kernel>", {});
    }
    r.not_supported_attr("firmware");
    refuse_children(r, kLaterOs);
    TRY_OK(r.finish());
    return out;
}

template <std::size_t N>
Lifecycle read_lifecycle(Reader& r, std::string_view element, Lifecycle otherwise,
                         const EnumNames<Lifecycle, N>& names) {
    const auto text = r.child_text(element, kText);
    const auto value = text ? names.parse(*text) : otherwise;
    if (!value) {
        r.report_error(to_error({Fault::Kind::not_supported,
                                 r.child(element)->line,
                                 std::string(element),
                                 {},
                                 "'" + *text + "'; use " + names.choices(),
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

void check_boot_order(Reader& r, const Spec& spec) {
    std::vector<unsigned> orders;
    const auto add = [&](const std::optional<unsigned>& order) {
        if (order && std::ranges::find(orders, *order) != orders.end()) {
            r.report(Fault::Kind::inconsistent, {}, fmt::format("two devices have boot order {}", *order), {});
        }
        if (order) {
            orders.push_back(*order);
        }
    };
    for (const Disk& disk : spec.disks) {
        add(disk.boot_order);
    }
    for (const Interface& nic : spec.interfaces) {
        add(nic.boot_order);
    }
    if (!spec.os.boot.empty() && !orders.empty()) {
        r.report(Fault::Kind::inconsistent, {}, "<boot order=> of a device and <os><boot dev=> exclude each other", {});
    }
}

// What only the whole document shows.
void check_together(Reader& r, const Spec& spec) {
    if (spec.accelerator == Accelerator::tcg && spec.cpu.mode == CpuMode::host_passthrough) {
        r.report(Fault::Kind::inconsistent, "type",
                 "<cpu mode='host-passthrough'> needs type='kvm'; use mode='maximum' or leave <cpu> out", "qemu");
    }
    if (spec.accelerator == Accelerator::tcg && !spec.features.hyperv_mode.empty()) {
        r.report(Fault::Kind::inconsistent, "type", "<hyperv> needs type='kvm'", "qemu");
    }
    if (spec.cpu.topology && spec.cpu.topology->total() != spec.vcpus) {
        r.report(Fault::Kind::inconsistent, {},
                 fmt::format("<topology> has {} CPUs, <vcpu> {}", spec.cpu.topology->total(), spec.vcpus), {});
    }
    if (spec.current_memory_kib < spec.memory_kib && !spec.balloon) {
        r.report(Fault::Kind::inconsistent, {}, "<currentMemory> below <memory> needs <memballoon model='virtio'/>",
                 {});
    }
    check_boot_order(r, spec);
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
    spec.clock = r.parse_child("clock", read_clock).value_or(Clock{});
    spec.pm = r.parse_child("pm", read_power_management).value_or(PowerManagement{});
    if (read_lifecycle(r, "on_poweroff", Lifecycle::destroy, kLifecycles) != Lifecycle::destroy) {
        r.report_error(to_error({Fault::Kind::not_supported,
                                 r.child("on_poweroff")->line,
                                 "on_poweroff",
                                 {},
                                 "'restart'; use 'destroy'",
                                 {}}));
    }
    spec.on_reboot = read_lifecycle(r, "on_reboot", Lifecycle::restart, kLifecycles);
    spec.on_crash = read_lifecycle(r, "on_crash", Lifecycle::destroy, kCrashLifecycles);
    if (const Node* const devices = r.child("devices"); devices != nullptr && r.ok()) {
        TRY_OK(read_devices(*devices, spec));
    }
    refuse_children(r, kLaterChildren);
    check_together(r, spec);
    TRY_OK(r.finish());
    return spec;
}

}  // namespace bascule::vmm
