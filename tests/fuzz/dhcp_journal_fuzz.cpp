// SPDX-License-Identifier: GPL-2.0-or-later
// No file makes replay fail but one that says that it is another's; what it gives is consistent and survives being
// written again. The input is a file whose lines get their checksums here, so that the fuzzer comes past them.
#include <cstdlib>
#include <set>

#include <fmt/format.h>

#include "dhcp/journal.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

void check(const Uuid& uuid, std::string_view file) {
    const auto replay = journal::replay(uuid, file);
    if (!replay) {
        expect(replay.error().code == Code::unsupported_config || replay.error().code == Code::conflict);
        return;
    }
    expect(replay->good_bytes <= file.size());
    LeaseTable table;
    LeaseTable6 table6;
    std::set<ClientKey> clients;
    std::set<Key6> associations;
    std::set<Ip> addresses;
    const Now now{Time(std::chrono::hours(1)), std::chrono::sys_seconds(std::chrono::hours(400'000))};
    for (const journal::Record& record : replay->records) {
        expect(addresses.insert(record.lease.address).second);
        if (record.lease.address.is_v6()) {
            expect(associations.insert(key_of(record.lease)).second);
            table6.restore(record.lease, kEndOfTime, record.active);
        } else {
            expect(clients.insert(client_of(record.lease)).second);
            table.restore(record.lease, kEndOfTime, record.active);
        }
    }
    const auto again = journal::replay(uuid, journal::snapshot(uuid, table, table6, now));
    expect(again && again->clean() && again->records.size() == replay->records.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const Uuid uuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11");
    const std::string_view raw(reinterpret_cast<const char*>(data), size);
    check(uuid, raw);
    std::string sealed;
    for (std::size_t at = 0; at < raw.size();) {
        const std::size_t end = std::min(raw.find('\n', at), raw.size());
        const std::string_view body = raw.substr(at, end - at);
        sealed += fmt::format("{:08x} {}\n", journal::crc32c(body), body);
        at = end + 1;
    }
    check(uuid, sealed);
    return 0;
}
