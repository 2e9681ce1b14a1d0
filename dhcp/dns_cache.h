// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dhcp/dns_reply.h"
#include "dhcp/leases.h"

namespace bascule::dhcp {

// Replies of upstreams by the question that they answer, whole: nothing in one ever answers another question. Bounded
// by bytes; what was asked for least recently goes first.
class DnsCache {
public:
    explicit DnsCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

    struct Hit {
        const Reply* reply;  // until the next call
        std::uint32_t age;
    };
    std::optional<Hit> find(const std::string& key, Time now);
    void put(const std::string& key, Reply reply, Time now);
    void clear();

    std::size_t size() const { return entries_.size(); }
    std::size_t bytes() const { return bytes_; }

private:
    struct Entry {
        std::string key;
        Reply reply;
        Time since, until;
        std::size_t bytes;
    };
    using Entries = std::list<Entry>;  // the one asked for last comes first

    void drop(Entries::iterator entry);

    std::size_t most_bytes_, bytes_ = 0;
    Entries entries_;
    std::unordered_map<std::string_view, Entries::iterator> by_key_;
};

}  // namespace bascule::dhcp
