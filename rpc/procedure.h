// SPDX-License-Identifier: GPL-2.0-or-later
// What procedures.tsv says about a procedure besides its fields. The table itself is generated.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace bascule::rpc {

enum class StreamUse : std::uint8_t { none, up, down, both };  // up: from client to server
enum class FdUse : std::uint8_t { none, in, out, both };       // in: descriptors come with the call

struct ProcedureInfo {
    std::uint32_t program = 0;
    std::int32_t number = 0;
    std::string_view name;  // "network-lookup-by-name"
    bool is_call = true;    // else an event
    StreamUse stream = StreamUse::none;
    FdUse fds = FdUse::none;
    std::uint8_t priority = 1;
    // Never waits for a guest, an agent or a disk: such a call is let through even while calls that do are stuck.
    bool urgent = false;
    // Who speaks in errors: the driver that does the work, and the API layer that refuses before it.
    std::int32_t domain = 0, api_domain = 0;
    std::string_view prevents;  // what a read-only connection is told it may not; empty: it may

    bool read_only_ok() const { return prevents.empty(); }
};

// All of them, by program in the order of the table, then by number.
std::span<const ProcedureInfo> procedures();
// Null for an unknown one. Events are found, too.
const ProcedureInfo* find_procedure(std::uint32_t program, std::int32_t number);
// Is it one of the programs that are called (remote, qemu, lxc)?
bool is_known_program(std::uint32_t program, std::uint32_t version);

}  // namespace bascule::rpc
