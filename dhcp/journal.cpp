// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/journal.h"

#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

namespace bascule::dhcp::journal {

namespace {

constexpr std::string_view kFormat = "bascule-leases";
constexpr unsigned kVersion = 1;

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) {
            c = (c & 1U) != 0 ? c >> 1 ^ 0x82f63b78U : c >> 1;
        }
        table[i] = c;
    }
    return table;
}();

std::string sealed(std::string_view body) { return fmt::format("{:08x} {}\n", crc32c(body), body); }

// The next word, up to a space or the end. Empty when there is none.
std::string_view word(std::string_view& line) {
    const auto end = std::min(line.find(' '), line.size());
    const std::string_view out = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return out;
}

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) {
    Number value{};
    const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return ec == std::errc() && stop == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    std::vector<std::uint8_t> out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        const auto octet = number<std::uint8_t>(text.substr(i, 2), 16);
        if (!octet) {
            return std::nullopt;
        }
        out.push_back(*octet);
    }
    return text.size() % 2 == 0 && out.size() <= 255 ? std::optional(out) : std::nullopt;
}

bool is_label(std::string_view text) { return is_dns_name(text) && text.size() <= 63 && !text.contains('.'); }

// "192.168.122.57/24"
std::optional<IpInterface> parse_address(std::string_view text) {
    const auto slash = std::min(text.find('/'), text.size());
    const auto address = parse_ip(text.substr(0, slash));
    const auto length = number<unsigned>(text.substr(std::min(slash + 1, text.size())));
    return address && length && *length <= address->bits() ? std::optional(IpInterface{*address, *length})
                                                           : std::nullopt;
}

std::optional<std::chrono::sys_seconds> parse_end(std::string_view text) {
    if (text == "never") {
        return kNever;
    }
    const auto seconds = number<std::uint64_t>(text);
    return seconds && *seconds >> 40 == 0 ? std::optional(std::chrono::sys_seconds(std::chrono::seconds(*seconds)))
                                          : std::nullopt;
}

// "na" or "pd": whether it is a prefix.
std::optional<bool> parse_kind(std::string_view text) {
    return text == "pd" ? std::optional(true) : text == "na" ? std::optional(false) : std::nullopt;
}

std::optional<Key6> parse_key(std::string_view line) {
    const auto port = parse_mac(word(line));
    const auto iaid = number<std::uint32_t>(word(line));
    const auto delegated = parse_kind(line);
    return port && iaid && delegated ? std::optional(Key6{*port, *iaid, *delegated}) : std::nullopt;
}

// Of a "-" line, or of a "-i" line.
std::optional<ClientKey> parse_client(std::string_view text, bool by_id) {
    if (!by_id) {
        const auto port = parse_mac(text);
        return port ? std::optional(ClientKey{*port, {}}) : std::nullopt;
    }
    const auto id = from_hex(text);
    return id && !id->empty() ? std::optional(ClientKey{{}, std::string(id->begin(), id->end())}) : std::nullopt;
}

// `v6`: of a "+6" line, which has two more words.
std::optional<Lease> parse_lease(const Uuid& network, std::string_view line, bool v6) {
    const auto port = parse_mac(word(line));
    const auto address = parse_address(word(line));
    const auto expires = parse_end(word(line));
    const std::string_view name = word(line);
    const std::string_view id_text = word(line);
    const auto client_id = from_hex(id_text == "-" ? std::string_view() : id_text);
    const auto iaid = v6 ? number<std::uint32_t>(word(line)) : std::optional<std::uint32_t>();
    const auto delegated = v6 ? parse_kind(word(line)) : std::optional(false);
    if (!delegated || (v6 && !iaid) || (address && address->address.is_v6() != v6)) {
        return std::nullopt;
    }
    if (!port || !address || !expires || !client_id || name.empty() || id_text.empty() || !line.empty() ||
        (name != "-" && !is_label(name))) {
        return std::nullopt;
    }
    return Lease{.network = network,
                 .port = *port,
                 .address = address->address,
                 .prefix_length = address->length,
                 .expires = *expires,
                 .hostname = std::string(name == "-" ? std::string_view() : name),
                 .client_id = *client_id,
                 .iaid = iaid,
                 .delegated = *delegated};
}

// What the file says, line by line.
class Reading {
public:
    explicit Reading(const Uuid& network) : network_(network) {}

    bool take(std::string_view body) {
        const std::string_view kind = word(body);
        if (kind == "+" || kind == "+6" || kind == "+i") {
            auto lease = parse_lease(network_, body, kind == "+6");
            if (lease) {
                lease->by_id = kind == "+i" && !lease->client_id.empty();
                put(*std::move(lease));
            }
            return lease.has_value();
        }
        if (kind == "-6") {
            const auto key = parse_key(body);
            if (const auto found = key ? keys_.find(*key) : keys_.end(); found != keys_.end()) {
                records_.at(found->second).active = false;
            }
            return key.has_value();
        }
        const auto client = kind == "-" || kind == "-i" ? parse_client(body, kind == "-i") : std::nullopt;
        if (const auto found = client ? clients_.find(*client) : clients_.end(); found != clients_.end()) {
            records_.at(found->second).active = false;
        }
        return client.has_value();
    }

    std::vector<Record> records() {
        std::vector<Record> out;
        out.reserve(records_.size());
        for (auto& [address, record] : records_) {
            out.push_back(std::move(record));
        }
        return out;
    }

private:
    void put(Lease lease) {
        const Ip address = lease.address;
        if (const auto other = records_.find(address); other != records_.end()) {
            forget(other->second.lease);
        }
        forget(lease);
        if (address.is_v6()) {
            keys_[key_of(lease)] = address;
        } else {
            clients_[client_of(lease)] = address;
        }
        records_[address] = {std::move(lease), true};
    }

    // The record of who has that lease, if there is one.
    void forget(const Lease& lease) {
        const auto drop = [this](auto& index, const auto& key) {
            if (const auto found = index.find(key); found != index.end()) {
                records_.erase(found->second);
                index.erase(found);
            }
        };
        if (lease.address.is_v6()) {
            drop(keys_, Key6(key_of(lease)));
        } else {
            drop(clients_, ClientKey(client_of(lease)));
        }
    }

    Uuid network_;
    std::map<Ip, Record> records_;
    std::unordered_map<ClientKey, Ip> clients_;  // IPv4
    std::map<Key6, Ip> keys_;                    // IPv6
};

// The line without its checksum, when that is right.
std::optional<std::string_view> unsealed(std::string_view line) {
    if (line.size() < 10 || line.size() > kLongestLine || line[8] != ' ') {
        return std::nullopt;
    }
    const auto crc = number<std::uint32_t>(line.substr(0, 8), 16);
    const std::string_view body = line.substr(9);
    return crc && *crc == crc32c(body) ? std::optional(body) : std::nullopt;
}

Result<void> check_header(const Uuid& network, std::string_view body) {
    word(body);
    const std::string_view version = word(body);
    if (number<unsigned>(version) != kVersion) {
        return fail(Code::unsupported_config,
                    fmt::format("lease file of format {}, this program knows {}", version, kVersion));
    }
    if (Uuid::parse(body) != network) {
        return fail(Code::conflict, fmt::format("lease file of network {}, not of {}", body, format(network)));
    }
    return {};
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t c = 0xffffffffU;
    for (const char byte : bytes) {
        c = c >> 8 ^ kCrcTable[(c ^ static_cast<std::uint8_t>(byte)) & 0xffU];
    }
    return ~c;
}

std::string header(const Uuid& network) { return sealed(fmt::format("{} {} {}", kFormat, kVersion, format(network))); }

std::string granted(const Lease& lease) {
    std::string body = fmt::format("+{} {} {}/{} ",
                                   lease.address.is_v6() ? "6"
                                   : lease.by_id         ? "i"
                                                         : "",
                                   format(lease.port), format(lease.address), lease.prefix_length);
    body += lease.expires == kNever ? "never" : fmt::format("{}", lease.expires.time_since_epoch().count());
    body += ' ';
    body += lease.hostname.empty() ? "-" : lease.hostname;
    body += lease.client_id.empty() ? " -" : " ";
    for (const std::uint8_t octet : lease.client_id) {
        body += fmt::format("{:02x}", octet);
    }
    if (lease.address.is_v6()) {
        body += fmt::format(" {} {}", lease.iaid.value_or(0), lease.delegated ? "pd" : "na");
    }
    return sealed(body);
}

std::string ended(const ClientKey& client) {
    if (client.id.empty()) {
        return sealed("- " + format(client.port));
    }
    std::string body = "-i ";
    for (const char octet : client.id) {
        body += fmt::format("{:02x}", static_cast<std::uint8_t>(octet));
    }
    return sealed(body);
}

std::string ended(const Key6& key) {
    return sealed(fmt::format("-6 {} {} {}", format(key.port), key.iaid, key.delegated ? "pd" : "na"));
}

std::string line_for(const LeaseEvent& event) {
    switch (event.kind) {
        case LeaseEventKind::added:
        case LeaseEventKind::renewed: return granted(event.lease);
        case LeaseEventKind::released:
            return event.lease.address.is_v6() ? ended(key_of(event.lease)) : ended(client_of(event.lease));
        case LeaseEventKind::expired: break;
    }
    return {};
}

std::string snapshot(const Uuid& network, const LeaseTable& table, const LeaseTable6& table6, const Now& now) {
    std::string out = header(network);
    for (const auto& [address, binding] : table6.all()) {
        out += granted(as_of(binding, now));
        if (!binding.active) {
            out += ended(key_of(binding.lease));
        }
    }
    for (const auto& [address, binding] : table.all()) {
        out += granted(as_of(binding, now));
        if (!binding.active) {
            out += ended(client_of(binding.lease));
        }
    }
    return out;
}

Result<Replay> replay(const Uuid& network, std::string_view file) {
    Replay out;
    Reading reading(network);
    std::size_t pending = 0;  // bad lines since the last good one: damage if a good one follows, else the torn tail
    for (std::size_t at = 0; at < file.size();) {
        const auto end = file.find('\n', at);
        const auto body = end == std::string_view::npos ? std::nullopt : unsealed(file.substr(at, end - at));
        bool good = false;
        if (body && body->starts_with(kFormat)) {
            TRY_OK(check_header(network, *body));
            good = true;
        } else if (body) {
            good = reading.take(*body);
        }
        at = end == std::string_view::npos ? file.size() : end + 1;
        if (good) {
            out.damaged += std::exchange(pending, 0);
            out.good_bytes = at;
            ++out.lines;
        } else {
            ++pending;
        }
    }
    out.torn = pending > 0;
    out.records = reading.records();
    return out;
}

}  // namespace bascule::dhcp::journal
