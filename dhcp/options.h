// SPDX-License-Identifier: GPL-2.0-or-later
// DHCP options (RFC 2132): the table of those we know, and the list of a message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::dhcp {

enum class Opt : std::uint8_t {
    pad = 0,
    subnet_mask = 1,
    router = 3,
    dns = 6,
    hostname = 12,
    domain = 15,
    mtu = 26,
    broadcast = 28,
    ntp = 42,
    vendor = 43,
    requested_ip = 50,
    lease_time = 51,
    overload = 52,
    message_type = 53,
    server_id = 54,
    parameters = 55,
    message = 56,
    max_size = 57,
    renewal = 58,
    rebinding = 59,
    vendor_class = 60,
    client_id = 61,
    tftp_server = 66,
    boot_file = 67,
    user_class = 77,
    rapid_commit = 80,
    fqdn = 81,
    relay_info = 82,
    client_arch = 93,
    v6_only = 108,
    captive_portal = 114,
    subnet_selection = 118,
    search = 119,
    routes = 121,
    vendor_identifying_class = 124,
    ipxe = 175,
    routes_microsoft = 249,
    end = 255,
};

// Every option's value as one piece: what came in several (RFC 3396) has been joined. Kept in the order of
// first appearance, which is also the order of encoding, most important first. All values lie in one buffer: a message
// has some fifteen of them, and a server handles thousands of messages a second.
class Options {
public:
    struct Option {
        Opt code = Opt::pad;
        ByteView value;
    };
    // The list, to be walked through; valid until it changes.
    class View {
    public:
        class Iterator {
        public:
            using value_type = Option;
            using difference_type = std::ptrdiff_t;
            Iterator() = default;
            Iterator(const Options* of, std::size_t at) : of_(of), at_(at) {}
            Option operator*() const { return of_->at(at_); }
            Iterator& operator++() {
                ++at_;
                return *this;
            }
            Iterator operator++(int) { return {of_, at_++}; }
            bool operator==(const Iterator&) const = default;

        private:
            const Options* of_ = nullptr;
            std::size_t at_ = 0;
        };
        explicit View(const Options& of) : of_(of) {}
        Iterator begin() const { return {&of_, 0}; }
        Iterator end() const { return {&of_, size()}; }
        std::size_t size() const { return of_.places_.size(); }
        Option back() const { return of_.at(size() - 1); }

    private:
        const Options& of_;
    };

    // Appends to the option's value when it is there already (RFC 3396 section 7).
    void append(Opt code, ByteView value);
    void put(Opt code, ByteView value);  // at most once per code
    void put_u8(Opt code, std::uint8_t value);
    void put_u16(Opt code, std::uint16_t value);
    void put_u32(Opt code, std::uint32_t value);
    void put_ip(Opt code, const Ip& value);  // IPv4
    void put_text(Opt code, std::string_view value);
    void drop(Opt code);

    bool has(Opt code) const { return find(code) != nullptr; }
    // None when absent. Lengths were checked by check(), so that a present option always has its value.
    std::optional<std::uint8_t> u8(Opt code) const;
    std::optional<std::uint16_t> u16(Opt code) const;
    std::optional<std::uint32_t> u32(Opt code) const;
    std::optional<Ip> ip(Opt code) const;
    ByteView bytes(Opt code) const;  // empty when absent
    std::string text(Opt code) const;

    // Code::malformed, naming the option, when a value's length does not fit what the table says of it.
    Result<void> check() const;

    View all() const { return View(*this); }
    std::size_t size() const { return places_.size(); }
    bool operator==(const Options& other) const;
    // Room for as many as a reply has.
    void reserve();

private:
    struct Place {
        Opt code = Opt::pad;
        std::size_t begin = 0, size = 0;
    };

    const Place* find(Opt code) const;
    Option at(std::size_t index) const {
        const Place& place = places_[index];
        return {place.code, ByteView(values_).subspan(place.begin, place.size)};
    }
    std::optional<std::uint32_t> number(Opt code, std::size_t width) const;

    std::vector<Place> places_;
    Bytes values_;
};

// "requested address (50)"; "option 99" for one that is not in the table.
std::string option_name(Opt code);

// One clean DNS label in lower case: the part before the first dot, anything that cannot stand in a label replaced by
// '-', none at its ends. Empty when nothing usable is left.
std::string to_label(std::string_view text);

// The host name a client asks for in option 12 or 81 (RFC 4702), as a label. Empty when there is none, and for names
// that would turn other guests' traffic to this one.
std::string wanted_hostname(const Options& options);

}  // namespace bascule::dhcp
