// SPDX-License-Identifier: GPL-2.0-or-later
// LVM's tools: what to run, and what they print with --reportformat json (lvmreport(7)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/plan.h"
#include "storage/spec.h"

namespace bascule::storage {

// lvm(8), VALID NAMES; at most 127 bytes.
bool is_lvm_name(std::string_view text);

// A group as `vgs` shows it, and its volumes as `lvs` does. Volumes that are no disks (thin pools, snapshots' innards)
// are left out.
Run list_group(const std::string& group);
Result<Room> parse_group(std::string_view json, const std::string& group);
Run list_volumes(const std::string& group);
Result<std::vector<Volume>> parse_volumes(std::string_view json, const std::string& group);
// All groups of the host with the devices they lie on.
Run list_groups();
Result<std::vector<PoolSpec>> parse_groups(std::string_view json);

std::vector<Run> build_group(const PoolSpec& pool, bool overwrite);
std::vector<Run> drop_group(const PoolSpec& pool);
Run start_group(const PoolSpec& pool);
Run stop_group(const PoolSpec& pool);

Run make_volume(const std::string& group, const std::string& name, std::uint64_t bytes);
Run resize_volume(const std::string& group, const std::string& name, std::uint64_t bytes, bool shrink);
Run drop_volume(const std::string& group, const std::string& name);

}  // namespace bascule::storage
