// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/lvm.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace bascule::storage {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostReport = std::size_t{4} << 20;
constexpr int kMostDepth = 16;

Run lvm(std::string program, std::vector<std::string> args) {
    return {.program = std::move(program), .args = std::move(args)};
}

Run report(const char* program, const char* fields, const std::string& group) {
    Run out = lvm(program, {"--reportformat", "json", "--units", "b", "--nosuffix", "--options", fields});
    if (!group.empty()) {
        out.args.push_back(group);
    }
    return out;
}

// {"report": [{KIND: [{FIELD: "TEXT", …}, …]}]}
Result<std::vector<std::map<std::string, std::string>>> rows(std::string_view text, const char* kind) {
    const auto bad = [&](std::string_view what) {
        return fail(Code::internal, fmt::format("LVM's report of its {}s: {}", kind, what));
    };
    if (text.size() > kMostReport) {
        return bad("longer than 4 MiB");
    }
    bool deep = false;
    const auto shallow = [&deep](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > kMostDepth;
        return !deep;
    };
    const Json json = Json::parse(text, shallow, false);
    if (json.is_discarded() || deep || !json.is_object()) {
        return bad("not JSON");
    }
    std::vector<std::map<std::string, std::string>> out;
    const auto reports = json.find("report");
    if (reports == json.end() || !reports->is_array()) {
        return bad("no 'report' in it");
    }
    for (const Json& one : *reports) {
        const auto list = one.is_object() ? one.find(kind) : one.end();
        if (!one.is_object() || list == one.end() || !list->is_array()) {
            return bad("a list is missing");
        }
        for (const Json& row : *list) {
            auto& fields = out.emplace_back();
            for (const auto& [name, value] : row.items()) {
                if (!row.is_object() || !value.is_string()) {
                    return bad("a field is no text");
                }
                fields[name] = value.get<std::string>();
            }
        }
    }
    return out;
}

std::optional<std::uint64_t> bytes(const std::map<std::string, std::string>& row, const char* field) {
    const auto it = row.find(field);
    std::uint64_t value = 0;
    if (it == row.end()) {
        return std::nullopt;
    }
    const auto [stop, ec] = std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
    return ec == std::errc() && stop == it->second.data() + it->second.size() ? std::optional(value) : std::nullopt;
}

std::string field(const std::map<std::string, std::string>& row, const char* name) {
    const auto it = row.find(name);
    return it == row.end() ? std::string() : it->second;
}

// "/dev/sda1(0),/dev/sdb(128)" -> the devices, each once.
std::vector<std::string> devices_of(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const std::string_view part = text.substr(0, comma);
        if (auto path = tidy_path(part.substr(0, part.find('('))); path && std::ranges::find(out, *path) == out.end()) {
            out.push_back(*path);
        }
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    }
    return out;
}

std::string path_of(const std::string& group, const std::string& name) { return group + "/" + name; }

}  // namespace

bool is_lvm_name(std::string_view text) {
    constexpr std::size_t kMost = 127;
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("+_.-").contains(c);
    };
    return !text.empty() && text.size() <= kMost && text != "." && text != ".." && !text.starts_with('-') &&
           std::ranges::all_of(text, fits);
}

Run list_group(const std::string& group) { return report("vgs", "vg_name,vg_size,vg_free", group); }

Result<Room> parse_group(std::string_view json, const std::string& group) {
    TRY(const auto all, rows(json, "vg"));
    for (const auto& row : all) {
        const auto size = bytes(row, "vg_size"), free = bytes(row, "vg_free");
        if (field(row, "vg_name") == group && size && free && *free <= *size) {
            return Room{.capacity = *size, .allocation = *size - *free, .available = *free};
        }
    }
    return fail(Code::internal, fmt::format("LVM does not say how large the volume group '{}' is", group));
}

Run list_volumes(const std::string& group) {
    return report("lvs", "lv_name,lv_uuid,lv_size,lv_path,lv_attr,devices", group);
}

Result<std::vector<Volume>> parse_volumes(std::string_view json, const std::string& group) {
    TRY(const auto all, rows(json, "lv"));
    std::vector<Volume> out;
    for (const auto& row : all) {
        const std::string name = field(row, "lv_name"), attributes = field(row, "lv_attr");
        const auto size = bytes(row, "lv_size");
        // The first letter is the kind (lvs(8)): t a thin pool, and others that are not for use as a disk.
        const bool is_disk = !attributes.empty() && !std::string_view("tTeliIdD").contains(attributes[0]);
        if (!is_lvm_name(name) || !size || !is_disk) {
            continue;
        }
        const auto devices = devices_of(field(row, "devices"));
        if (!out.empty() && out.back().name == name) {  // one row for each of its segments
            std::ranges::copy_if(devices, std::back_inserter(out.back().devices), [&](const std::string& device) {
                return std::ranges::find(out.back().devices, device) == out.back().devices.end();
            });
            continue;
        }
        const std::string path = fmt::format("/dev/{}/{}", group, name);
        const std::string uuid = field(row, "lv_uuid");
        out.push_back({.name = name,
                       .key = uuid.empty() ? path : uuid,
                       .path = path,
                       .type = VolumeType::block,
                       .capacity = *size,
                       .allocation = *size,
                       .physical = *size,
                       .devices = devices});
    }
    return out;
}

Run list_groups() { return report("pvs", "vg_name,pv_name", ""); }

Result<std::vector<PoolSpec>> parse_groups(std::string_view json) {
    TRY(const auto all, rows(json, "pv"));
    std::map<std::string, std::vector<std::string>> groups;
    for (const auto& row : all) {
        const std::string group = field(row, "vg_name");
        const auto device = tidy_path(field(row, "pv_name"));
        if (is_lvm_name(group) && device) {
            groups[group].push_back(*device);
        }
    }
    std::vector<PoolSpec> out;
    for (auto& [group, devices] : groups) {
        if (const auto name = ObjectName::parse(group)) {
            out.push_back({.name = *name,
                           .uuid = {},
                           .type = PoolType::logical,
                           .target = "/dev/" + group,
                           .permissions = {},
                           .group = group,
                           .devices = std::move(devices)});
        }
    }
    return out;
}

std::vector<Run> build_group(const PoolSpec& pool, bool overwrite) {
    std::vector<Run> out;
    for (const std::string& device : pool.devices) {
        // Without --yes a device with anything on it is refused.
        out.push_back(overwrite ? lvm("pvcreate", {"--yes", "--force", device}) : lvm("pvcreate", {device}));
    }
    Run group = lvm("vgcreate", {pool.group});
    group.args.insert(group.args.end(), pool.devices.begin(), pool.devices.end());
    out.push_back(std::move(group));
    return out;
}

std::vector<Run> drop_group(const PoolSpec& pool) {
    std::vector<Run> out{lvm("vgremove", {"--force", pool.group})};
    for (const std::string& device : pool.devices) {
        out.push_back(lvm("pvremove", {device}));
    }
    return out;
}

Run start_group(const PoolSpec& pool) { return lvm("vgchange", {"--activate", "ay", pool.group}); }
Run stop_group(const PoolSpec& pool) { return lvm("vgchange", {"--activate", "n", pool.group}); }

Run make_volume(const std::string& group, const std::string& name, std::uint64_t bytes) {
    // What was there before is wiped of signatures: the new owner must not find a former one's partitions.
    return lvm("lvcreate",
               {"--yes", "--wipesignatures", "y", "--name", name, "--size", fmt::format("{}b", bytes), group});
}

Run resize_volume(const std::string& group, const std::string& name, std::uint64_t bytes, bool shrink) {
    const std::string size = fmt::format("{}b", bytes);
    return shrink ? lvm("lvreduce", {"--force", "--size", size, path_of(group, name)})
                  : lvm("lvextend", {"--size", size, path_of(group, name)});
}

Run drop_volume(const std::string& group, const std::string& name) {
    return lvm("lvremove", {"--force", path_of(group, name)});
}

}  // namespace bascule::storage
