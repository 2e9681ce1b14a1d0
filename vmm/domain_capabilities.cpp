// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/domain_capabilities.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/xml.h"
#include "vmm/capabilities.h"
#include "vmm/defaults.h"
#include "vmm/qmp.h"
#include "vmm/xml.h"

namespace bascule::vmm {

namespace {

// A value and what a definition that has it would say.
struct Sample {
    const char* value;
    const char* xml;
};

class Document {
public:
    explicit Document(const DomainFacts& facts) : facts_(facts) {}

    std::string build() {
        w_.open("domainCapabilities");
        w_.leaf("path", facts_.emulator);
        w_.leaf("domain", type());
        w_.leaf("machine", facts_.machine);
        w_.leaf("arch", "x86_64");
        w_.empty("vcpu", {{"max", std::to_string(facts_.max_cpus)}});
        w_.empty("iothreads", {{"supported", accepts("<iothreads>1</iothreads>", "") ? "yes" : "no"}});
        write_os();
        write_cpus();
        write_memory();
        write_devices();
        write_features();
        w_.close();
        return w_.take();
    }

private:
    std::string type() const { return facts_.accelerator == Accelerator::kvm ? "kvm" : "qemu"; }

    // Whether we take a definition with that in it, on this machine.
    bool accepts(std::string_view inside, std::string_view devices, std::string_view os = {},
                 std::string_view os_attributes = {}) const {
        auto parsed =
            parse(fmt::format("<domain type='{}'><name>sample</name><memory>65536</memory>{}<os{}><type arch='x86_64' "
                              "machine='{}'>hvm</type>{}</os><devices>{}</devices></domain>",
                              type(), inside, os_attributes, facts_.machine, os, devices));
        return parsed && complete(*parsed);
    }

    void write_enum(std::string_view name, const std::vector<std::string>& values) {
        if (values.empty()) {
            w_.empty("enum", {{"name", std::string(name)}});
            return;
        }
        w_.open("enum", {{"name", std::string(name)}});
        for (const std::string& value : values) {
            w_.leaf("value", value);
        }
        w_.close();
    }

    std::vector<std::string> accepted(std::initializer_list<Sample> samples) const {
        std::vector<std::string> out;
        for (const Sample& sample : samples) {
            if (accepts("", sample.xml)) {
                out.emplace_back(sample.value);
            }
        }
        return out;
    }

    // One kind of device with its lists of values; the kind is there when any value of the first list is.
    struct List {
        const char* name;
        std::initializer_list<Sample> samples;
    };
    void write_device(std::string_view element, std::initializer_list<List> lists) {
        std::vector<std::vector<std::string>> values;
        for (const List& list : lists) {
            values.push_back(accepted(list.samples));
        }
        if (values.front().empty()) {
            w_.empty(element, {{"supported", "no"}});
            return;
        }
        w_.open(element, {{"supported", "yes"}});
        std::size_t i = 0;
        for (const List& list : lists) {
            write_enum(list.name, values[i++]);
        }
        w_.close();
    }

    void write_os();
    void write_cpus();
    void write_cpu_model();
    void write_memory();
    void write_devices();
    void write_features();

    const DomainFacts& facts_;
    xml::Writer w_;
};

void Document::write_os() {
    std::vector<std::string> kinds;
    for (const Firmware& firmware : facts_.firmware) {
        if (std::ranges::find(kinds, firmware.kind) == kinds.end() &&
            accepts("", "", "", fmt::format(" firmware='{}'", firmware.kind))) {
            kinds.push_back(firmware.kind);
        }
    }
    std::vector<std::string> types, paths;
    for (const char* const loader : {"rom", "pflash"}) {
        if (accepts("", "", fmt::format("<loader readonly='yes' type='{}'>/usr/share/firmware</loader>", loader))) {
            types.emplace_back(loader);
        }
    }
    for (const Firmware& firmware : facts_.firmware) {
        if (!types.empty() && std::ranges::find(paths, firmware.path) == paths.end()) {
            paths.push_back(firmware.path);
        }
    }
    w_.open("os", {{"supported", "yes"}});
    write_enum("firmware", kinds);
    if (types.empty()) {
        w_.empty("loader", {{"supported", "no"}});
    } else {
        w_.open("loader", {{"supported", "yes"}});
        for (const std::string& path : paths) {
            w_.leaf("value", path);
        }
        write_enum("type", types);
        write_enum("readonly", {"yes"});
        write_enum("secure", {"no"});
        w_.close();
    }
    w_.close();
}

// <cpu mode='host-model'>: the named model that the best processor of a guest amounts to.
void Document::write_cpu_model() {
    const CpuDescription& cpu = facts_.cpus.guest();
    const CpuModel* const model = facts_.cpus.best(cpu);
    if (model == nullptr || !accepts("<cpu mode='host-model'/>", "")) {
        w_.empty("mode", {{"name", "host-model"}, {"supported", "no"}});
        return;
    }
    w_.open("mode", {{"name", "host-model"}, {"supported", "yes"}});
    w_.leaf("model", model->name, {{"fallback", "forbid"}});
    if (!cpu.vendor.empty()) {
        w_.leaf("vendor", cpu.vendor);
    }
    for (const std::string& feature : facts_.cpus.names(facts_.cpus.beyond(cpu, *model))) {
        w_.empty("feature", {{"policy", "require"}, {"name", feature}});
    }
    w_.close();
}

void Document::write_cpus() {
    w_.open("cpu");
    const auto write_mode = [&](const std::string& name, std::string_view list) {
        if (!accepts(fmt::format("<cpu mode='{}'/>", name), "")) {
            w_.empty("mode", {{"name", name}, {"supported", "no"}});
            return;
        }
        w_.open("mode", {{"name", name}, {"supported", "yes"}});
        std::vector<std::string> migratable;
        for (const char* const value : {"on", "off"}) {
            if (accepts(fmt::format("<cpu mode='{}' migratable='{}'/>", name, value), "")) {
                migratable.emplace_back(value);
            }
        }
        write_enum(list, migratable);
        w_.close();
    };
    write_mode("host-passthrough", "hostPassthroughMigratable");
    write_mode("maximum", "maximumMigratable");
    write_cpu_model();
    const auto custom = [&](const CpuModel& model) {
        return accepts(
            fmt::format("<cpu mode='custom' match='exact'><model fallback='forbid'>{}</model></cpu>", model.name), "");
    };
    const auto& models = facts_.cpus.models();
    if (models.empty() || !custom(models.front())) {
        w_.empty("mode", {{"name", "custom"}, {"supported", "no"}});
    } else {
        w_.open("mode", {{"name", "custom"}, {"supported", "yes"}});
        for (const CpuModel& model : models) {
            xml::Writer::Attrs attrs{{"usable", model.missing.empty() ? "yes" : "no"}};
            if (model.deprecated) {
                attrs.emplace_back("deprecated", "yes");
            }
            attrs.emplace_back("vendor", model.vendor.empty() ? "unknown" : model.vendor);
            w_.leaf("model", model.name, attrs);
        }
        w_.close();
    }
    w_.close();
}

void Document::write_memory() {
    std::vector<std::string> sources;
    for (const char* const source : {"file", "anonymous", "memfd"}) {
        if (accepts(fmt::format("<memoryBacking><source type='{}'/></memoryBacking>", source), "")) {
            sources.emplace_back(source);
        }
    }
    if (sources.empty()) {
        w_.empty("memoryBacking", {{"supported", "no"}});
        return;
    }
    w_.open("memoryBacking", {{"supported", "yes"}});
    write_enum("sourceType", sources);
    w_.close();
}

void Document::write_devices() {
    w_.open("devices");
    write_device(
        "disk",
        {{"diskDevice",
          {{"disk", "<disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"},
           {"cdrom", "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"},
           {"floppy", "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>"},
           {"lun", "<disk type='block' device='lun'><source dev='/a'/><target dev='sda' bus='scsi'/></disk>"}}},
         {"bus",
          {{"ide", "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/></disk>"},
           {"fdc", "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>"},
           {"scsi", "<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"},
           {"virtio", "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"},
           {"usb", "<disk type='file'><source file='/a'/><target dev='sda' bus='usb'/></disk>"},
           {"sata", "<disk type='file'><source file='/a'/><target dev='sda' bus='sata'/></disk>"}}}});
    write_device("graphics", {{"type",
                               {{"sdl", "<graphics type='sdl'/>"},
                                {"vnc", "<graphics type='vnc'/>"},
                                {"spice", "<graphics type='spice'/>"},
                                {"egl-headless", "<graphics type='egl-headless'/>"},
                                {"dbus", "<graphics type='dbus'/>"}}}});
    write_device("video", {{"modelType",
                            {{"vga", "<video><model type='vga'/></video>"},
                             {"cirrus", "<video><model type='cirrus'/></video>"},
                             {"qxl", "<video><model type='qxl'/></video>"},
                             {"virtio", "<video><model type='virtio'/></video>"},
                             {"none", "<video><model type='none'/></video>"},
                             {"bochs", "<video><model type='bochs'/></video>"}}}});
    constexpr const char* kPci =
        "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='1' "
        "slot='0' function='0'/></source></hostdev>";
    constexpr const char* kUsb =
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product "
        "id='0x5678'/></source></hostdev>";
    write_device("hostdev", {{"mode", {{"subsystem", kPci}}}, {"subsysType", {{"usb", kUsb}, {"pci", kPci}}}});
    write_device("rng",
                 {{"model", {{"virtio", "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"}}},
                  {"backendModel",
                   {{"random", "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"},
                    {"builtin", "<rng model='virtio'><backend model='builtin'/></rng>"}}}});
    write_device("filesystem", {{"driverType",
                                 {{"path", "<filesystem type='mount'><source dir='/a'/><target dir='a'/></filesystem>"},
                                  {"virtiofs",
                                   "<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target "
                                   "dir='a'/></filesystem>"}}}});
    write_device("tpm", {{"model",
                          {{"tpm-tis", "<tpm model='tpm-tis'><backend type='emulator'/></tpm>"},
                           {"tpm-crb", "<tpm model='tpm-crb'><backend type='emulator'/></tpm>"}}},
                         {"backendModel", {{"emulator", "<tpm model='tpm-crb'><backend type='emulator'/></tpm>"}}}});
    write_device("redirdev", {{"bus", {{"usb", "<redirdev bus='usb' type='spicevmc'/>"}}}});
    write_device(
        "channel",
        {{"type",
          {{"pty", "<channel type='pty'><target type='virtio' name='a'/></channel>"},
           {"unix", "<channel type='unix'><target type='virtio' name='a'/></channel>"},
           {"spicevmc", "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"}}}});
    w_.close();
}

void Document::write_features() {
    w_.open("features");
    w_.empty("gic", {{"supported", "no"}});
    w_.empty("vmcoreinfo",
             {{"supported", accepts("<features><vmcoreinfo state='on'/></features>", "") ? "yes" : "no"}});
    w_.empty("genid", {{"supported", accepts("<genid/>", "") ? "yes" : "no"}});
    w_.empty("backingStoreInput", {{"supported", "no"}});
    w_.empty("backup", {{"supported", "no"}});
    w_.empty("sev", {{"supported", "no"}});
    w_.empty("sgx", {{"supported", "no"}});
    w_.close();
}

}  // namespace

std::vector<Firmware> parse_firmware(const std::vector<std::string>& descriptors, std::string_view machine) {
    using qmp::Json;
    std::vector<Firmware> out;
    const std::string_view family = machine.starts_with("pc-q35") ? "pc-q35-*" : "pc-i440fx-*";
    const auto array = [](const Json& object, const char* member) {
        const auto it = object.is_object() ? object.find(member) : object.end();
        return it != object.end() && it->is_array() ? *it : Json::array();
    };
    for (const std::string& text : descriptors) {
        const Json json = Json::parse(text, nullptr, false);
        bool ours = false;
        for (const Json& target : array(json, "targets")) {
            if (qmp::text_of(target, "architecture") == "x86_64") {
                for (const Json& name : array(target, "machines")) {
                    ours = ours || name == family;
                }
            }
        }
        const auto mapping = json.is_object() ? json.find("mapping") : json.end();
        if (!ours || mapping == json.end() || !mapping->is_object()) {
            continue;
        }
        const auto executable = mapping->find("executable");
        std::string path = executable == mapping->end() ? std::string() : qmp::text_of(*executable, "filename");
        if (path.empty()) {
            path = qmp::text_of(*mapping, "filename");
        }
        bool secure = false;
        for (const Json& feature : array(json, "features")) {
            secure = secure || feature == "secure-boot";
        }
        for (const Json& interface : array(json, "interface-types")) {
            if (!path.empty() && (interface == "bios" || interface == "uefi")) {
                out.push_back({.kind = interface == "uefi" ? "efi" : "bios", .path = path, .secure = secure});
            }
        }
    }
    return out;
}

std::string domain_capabilities_xml(const DomainFacts& facts) { return Document(facts).build(); }

}  // namespace bascule::vmm
