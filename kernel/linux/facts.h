// SPDX-License-Identifier: GPL-2.0-or-later
// What the host is and does, for reports and checks: read-only, nothing of it is State.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel::os {

// Every link of our network namespace.
Result<std::set<IfName>> link_names();
bool link_exists(const IfName& name);

// The destinations of the main table, with the device each leaves by; host-local, broadcast and multicast
// entries left out.
struct RouteTo {
    Prefix destination;
    std::string device;
};
Result<std::vector<RouteTo>> route_destinations();

// Who the host has talked to on its links: the tables of ARP and of neighbour discovery, without what did not answer.
struct Neighbour {
    IfName device;
    Ip address;
    MacAddr mac;
    std::optional<std::chrono::seconds> age{};  // since it was last heard to be so
};
Result<std::vector<Neighbour>> neighbours();

// A device's counters, as the host sees them: what it received is what a guest on a tap sent.
struct LinkCounters {
    std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
    std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
Result<LinkCounters> link_counters(const IfName& name);
bool path_exists(const std::string& path);

// Processor time that a process has used, in nanoseconds (/proc/PID/stat, user and system); 0: it is gone.
std::uint64_t process_time_ns(int pid);

std::string host_name();
// The machine's own identity (DMI product uuid, else /etc/machine-id), or nil.
Uuid host_uuid();
// A whole file of /proc, /sys or /etc; empty when there is none.
std::string read_text(const std::string& path, std::size_t limit = 1U << 20);
// Whether /dev/kvm can be opened for reading and writing.
bool kvm_usable();

// The name servers of a resolv.conf(5) text, in order, zones dropped.
std::vector<Ip> name_servers(std::string_view resolv_conf);

// An unnamed file in memory that holds a program's input; and what a file holds, from its beginning.
Result<UniqueFd> input_file(std::string_view text);
std::string read_whole(const UniqueFd& fd, std::size_t limit = 1U << 20);

// The slave side of a pseudo-terminal, without becoming its controlling process; non-blocking.
Result<UniqueFd> open_terminal(const std::string& path);
// One read or write that does not wait: Code::system with EAGAIN when it would have to. An empty read is the end.
Result<Bytes> read_some(const UniqueFd& fd, std::size_t limit);
Result<std::size_t> write_some(const UniqueFd& fd, ByteView bytes);

// User and group of a local account by name; Code::invalid_argument when there is none. Read from the files and not
// through the name service switch: a service's own accounts are local (as systemd wants them), and its modules would
// come to run, and stay, in this process.
struct Account {
    std::uint32_t uid = 0, gid = 0;
};
Result<Account> account(const std::string& user);
Result<std::uint32_t> group_id(const std::string& group);

}  // namespace bascule::kernel::os
