// SPDX-License-Identifier: GPL-2.0-or-later
// The lease file of one network, as text; reading and writing it is dhcp/netsvc's.
//
//   3c1f0a77 bascule-leases 1 5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11
//   90b2d3a1 + 52:54:00:12:34:56 192.168.122.57/24 1767225600 vm1 01525400123456
//   1f00d2c4 - 52:54:00:12:34:56
//   77c01b5e +6 52:54:00:12:34:56 2001:db8::57/64 1767225600 vm1 0003000152540012 1 na
//   0be49a12 -6 52:54:00:12:34:56 1 na
//
// A line a record: '+' a lease granted or renewed (port, address, wall-clock end or "never", host name or "-", client
// identifier in hexadecimal or "-"), '-' a lease that ended early while its address stays remembered for the port.
// Where leases are kept by identifier (RFC 4361) the kinds are "+i" and "-i", and the latter names the identifier.
// IPv6 has kinds of its own, with the identity association and whether it is of addresses (na) or prefixes (pd) at the
// end; a program that does not know them passes them over. Leases that run out are not recorded: their end is. The
// first word is the CRC-32C of the rest of the line.
//
// The file only grows; now and then it is written afresh (snapshot) beside the old one and renamed over it. A crash
// leaves at most a torn last line. Replay takes what is whole, cuts off a torn tail, passes over a damaged line in
// the middle (each line stands for itself, and a later one for the same port or address wins), and says so. No
// content makes it fail: what a guest can get into a record is hexadecimal or a DNS label, and both are checked
// again on the way in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"
#include "base/result.h"
#include "dhcp/leases.h"
#include "dhcp/leases6.h"
#include "dhcp/spec.h"

namespace bascule::dhcp::journal {

// A longer line is not ours: port, address, time, label, 255 bytes of identifier, and some room.
inline constexpr std::size_t kLongestLine = 1024;

struct Record {
    Lease lease;
    bool active = true;
    bool operator==(const Record&) const = default;
};

std::string header(const Uuid& network);
std::string granted(const Lease& lease);
std::string ended(const ClientKey& client);
std::string ended(const Key6& key);
// What an event appends; nothing for one that needs no record.
std::string line_for(const LeaseEvent& event);
// The whole file, with end times as the clock says now.
std::string snapshot(const Uuid& network, const LeaseTable& table, const LeaseTable6& table6, const Now& now);
inline std::string snapshot(const Uuid& network, const LeaseTable& table, const Now& now) {
    return snapshot(network, table, LeaseTable6(), now);
}

struct Replay {
    std::vector<Record> records;  // one a client or association, one an address; in the order of addresses
    std::size_t lines = 0;        // good ones, the header too
    std::size_t damaged = 0;      // passed over
    std::size_t good_bytes = 0;   // up to the end of the last good line
    bool torn = false;            // something follows that
    bool clean() const { return damaged == 0 && !torn; }
};

// Code::unsupported_config when the header is whole but of a format we do not know, Code::conflict when it names
// another network: then the file must not be touched.
Result<Replay> replay(const Uuid& network, std::string_view file);

// CRC-32C (Castagnoli), as in iSCSI.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace bascule::dhcp::journal
