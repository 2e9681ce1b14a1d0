// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace bascule::dhcp {

namespace {

// Lengths: exactly `size` bytes, or when `size` is 0 at least `least`, in steps of `step`.
struct Info {
    Opt code;
    std::string_view name;
    std::size_t size, least, step;
};

constexpr std::array kTable{
    Info{Opt::subnet_mask, "subnet mask", 4, 0, 1},
    Info{Opt::router, "routers", 0, 4, 4},
    Info{Opt::dns, "name servers", 0, 4, 4},
    // Some clients send an empty name; it counts as none.
    Info{Opt::hostname, "host name", 0, 0, 1},
    Info{Opt::domain, "domain name", 0, 0, 1},
    Info{Opt::mtu, "interface MTU", 2, 0, 1},
    Info{Opt::broadcast, "broadcast address", 4, 0, 1},
    Info{Opt::requested_ip, "requested address", 4, 0, 1},
    Info{Opt::lease_time, "lease time", 4, 0, 1},
    Info{Opt::overload, "overload", 1, 0, 1},
    Info{Opt::message_type, "message type", 1, 0, 1},
    Info{Opt::server_id, "server identifier", 4, 0, 1},
    Info{Opt::parameters, "parameter list", 0, 0, 1},
    Info{Opt::message, "message", 0, 0, 1},
    Info{Opt::max_size, "maximum message size", 2, 0, 1},
    Info{Opt::renewal, "renewal time", 4, 0, 1},
    Info{Opt::rebinding, "rebinding time", 4, 0, 1},
    Info{Opt::ntp, "time servers", 0, 4, 4},
    Info{Opt::vendor, "vendor specific", 0, 0, 1},
    Info{Opt::vendor_class, "vendor class", 0, 0, 1},
    Info{Opt::tftp_server, "TFTP server", 0, 0, 1},
    Info{Opt::boot_file, "boot file", 0, 0, 1},
    Info{Opt::user_class, "user class", 0, 0, 1},
    // RFC 4039 has nothing in it; what a client puts there means nothing.
    Info{Opt::rapid_commit, "rapid commit", 0, 0, 1},
    Info{Opt::client_arch, "client architecture", 0, 2, 2},
    Info{Opt::v6_only, "IPv6-only preferred", 0, 0, 1},
    Info{Opt::captive_portal, "captive portal", 0, 0, 1},
    Info{Opt::subnet_selection, "subnet selection", 4, 0, 1},
    Info{Opt::search, "domain search", 0, 0, 1},
    Info{Opt::routes, "classless routes", 0, 0, 1},
    Info{Opt::ipxe, "iPXE", 0, 0, 1},
    Info{Opt::routes_microsoft, "classless routes (Microsoft)", 0, 0, 1},
    // RFC 2132 asks for two bytes; RFC 6842 only for what was sent to come back.
    Info{Opt::client_id, "client identifier", 0, 1, 1},
    Info{Opt::fqdn, "client FQDN", 0, 3, 1},
    Info{Opt::relay_info, "relay agent information", 0, 0, 1},
};

const Info* info(Opt code) {
    const auto found = std::ranges::find(kTable, code, &Info::code);
    return found == kTable.end() ? nullptr : &*found;
}

bool fits(const Info& info, std::size_t length) {
    return info.size != 0 ? length == info.size : length >= info.least && length % info.step == 0;
}

}  // namespace

const Options::Place* Options::find(Opt code) const {
    const auto found = std::ranges::find(places_, code, &Place::code);
    return found == places_.end() ? nullptr : &*found;
}

void Options::reserve() {
    places_.reserve(24);
    values_.reserve(256);
}

bool Options::operator==(const Options& other) const {
    const auto same = [](const Option& a, const Option& b) {
        return a.code == b.code && std::ranges::equal(a.value, b.value);
    };
    return size() == other.size() && std::equal(all().begin(), all().end(), other.all().begin(), same);
}

void Options::append(Opt code, ByteView value) {
    const auto found = std::ranges::find(places_, code, &Place::code);
    if (found == places_.end()) {
        return put(code, value);
    }
    // In the middle of the others: moved to the end of the buffer, unless it is there.
    if (found->begin + found->size != values_.size()) {
        const Bytes before(values_.begin() + static_cast<std::ptrdiff_t>(found->begin),
                           values_.begin() + static_cast<std::ptrdiff_t>(found->begin + found->size));
        found->begin = values_.size();
        values_.insert(values_.end(), before.begin(), before.end());
    }
    values_.insert(values_.end(), value.begin(), value.end());
    found->size += value.size();
}

void Options::put(Opt code, ByteView value) {
    places_.push_back({code, values_.size(), value.size()});
    values_.insert(values_.end(), value.begin(), value.end());
}

void Options::put_u8(Opt code, std::uint8_t value) {
    const std::byte octet{value};
    put(code, ByteView(&octet, 1));
}

void Options::put_u16(Opt code, std::uint16_t value) {
    const std::array octets{static_cast<std::byte>(value >> 8), static_cast<std::byte>(value)};
    put(code, octets);
}

void Options::put_u32(Opt code, std::uint32_t value) {
    const std::array octets{static_cast<std::byte>(value >> 24), static_cast<std::byte>(value >> 16),
                            static_cast<std::byte>(value >> 8), static_cast<std::byte>(value)};
    put(code, octets);
}

void Options::put_ip(Opt code, const Ip& value) { put_u32(code, value.v4_value()); }

void Options::put_text(Opt code, std::string_view value) { put(code, as_bytes(value)); }

void Options::drop(Opt code) {
    std::erase_if(places_, [&](const Place& place) { return place.code == code; });
}

std::optional<std::uint32_t> Options::number(Opt code, std::size_t width) const {
    const ByteView octets = bytes(code);
    if (octets.size() != width) {
        return std::nullopt;
    }
    std::uint32_t value = 0;
    for (const std::byte b : octets) {
        value = value << 8 | std::to_integer<std::uint32_t>(b);
    }
    return value;
}

std::optional<std::uint8_t> Options::u8(Opt code) const { return number(code, 1); }
std::optional<std::uint16_t> Options::u16(Opt code) const { return number(code, 2); }
std::optional<std::uint32_t> Options::u32(Opt code) const { return number(code, 4); }

std::optional<Ip> Options::ip(Opt code) const {
    const auto value = u32(code);
    return value ? std::optional(Ip::v4(*value)) : std::nullopt;
}

ByteView Options::bytes(Opt code) const {
    const Place* const place = find(code);
    return place == nullptr ? ByteView() : ByteView(values_).subspan(place->begin, place->size);
}

std::string Options::text(Opt code) const { return std::string(as_text(bytes(code))); }

Result<void> Options::check() const {
    for (const Option option : all()) {
        if (const Info* const known = info(option.code); known != nullptr && !fits(*known, option.value.size())) {
            return fail(Code::malformed, fmt::format("{} has {} bytes", option_name(option.code), option.value.size()));
        }
    }
    return {};
}

std::string option_name(Opt code) {
    const Info* const known = info(code);
    const auto number = static_cast<unsigned>(code);
    return known == nullptr ? fmt::format("option {}", number) : fmt::format("{} ({})", known->name, number);
}

std::string to_label(std::string_view text) {
    std::string label;
    for (const char c : text.substr(0, std::min(text.find('.'), text.find('\0')))) {
        const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        const bool word = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '_';
        label += word ? lower : '-';
        if (label.size() == 63) {
            break;
        }
    }
    const auto first = label.find_first_not_of('-');
    return first == std::string::npos ? std::string() : label.substr(first, label.find_last_not_of('-') - first + 1);
}

std::string wanted_hostname(const Options& options) {
    std::string label = to_label(options.text(Opt::hostname));
    if (label.empty()) {
        // flags, two response codes of old, then the name: in DNS form when the E flag says so.
        constexpr std::uint8_t kDnsForm = 0x04;
        ByteReader in(options.bytes(Opt::fqdn));
        const std::uint8_t flags = in.u8();
        in.skip(2);
        const ByteView name = (flags & kDnsForm) != 0 ? in.take(in.u8()) : in.rest();
        label = in.ok() ? to_label(as_text(name)) : std::string();
    }
    // Names that resolvers and browsers ask for by themselves (CERT VU#598349, RFC 6761, RFC 5214), or that mean us.
    constexpr std::array<std::string_view, 5> kRefused{"localhost", "wpad", "isatap", "gateway", "_gateway"};
    return std::ranges::find(kRefused, label) == kRefused.end() ? label : std::string();
}

}  // namespace bascule::dhcp
