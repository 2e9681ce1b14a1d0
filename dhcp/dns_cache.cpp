// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/dns_cache.h"

namespace bascule::dhcp {

std::optional<DnsCache::Hit> DnsCache::find(const std::string& key, Time now) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
        return std::nullopt;
    }
    const auto entry = found->second;
    if (entry->until <= now) {
        drop(entry);
        return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, entry);
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - entry->since).count();
    return Hit{&entry->reply, static_cast<std::uint32_t>(age)};
}

void DnsCache::put(const std::string& key, Reply reply, Time now) {
    const auto keep_for = reply.keep_for();
    if (!keep_for || *keep_for == 0) {
        return;
    }
    if (const auto old = by_key_.find(key); old != by_key_.end()) {
        drop(old->second);
    }
    std::size_t bytes = sizeof(Entry) + 2 * key.size() + reply.message.capacity() + 128;  // nodes of list and index
    for (const auto* section : {&reply.answers, &reply.authorities}) {
        for (const ReplyRecord& record : *section) {
            bytes += sizeof record + record.owner.capacity();
        }
    }
    if (bytes > most_bytes_ / 16) {
        return;  // one answer is not to push out everybody else's
    }
    entries_.push_front({key, std::move(reply), now, now + std::chrono::seconds(*keep_for), bytes});
    by_key_.insert({entries_.front().key, entries_.begin()});
    bytes_ += bytes;
    while (bytes_ > most_bytes_) {
        drop(std::prev(entries_.end()));
    }
}

void DnsCache::drop(Entries::iterator entry) {
    bytes_ -= entry->bytes;
    by_key_.erase(entry->key);
    entries_.erase(entry);
}

void DnsCache::clear() {
    by_key_.clear();
    entries_.clear();
    bytes_ = 0;
}

}  // namespace bascule::dhcp
