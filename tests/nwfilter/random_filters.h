// SPDX-License-Identifier: GPL-2.0-or-later
// Random filter trees, parameters and frames. All are drawn from few values, so that rules often meet and
// often just miss.
#pragma once

#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "tests/nwfilter/filters.h"

namespace bascule::nwfilter {

class Random {
public:
    // BASCULE_SEED in the environment gives other sequences than the usual ones.
    explicit Random(unsigned seed) {
        const char* const other = std::getenv("BASCULE_SEED");
        engine_.seed(other == nullptr ? seed : seed + 1000 * static_cast<unsigned>(std::atoi(other)));
    }

    unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }
    bool one_in(unsigned n) { return below(n) == 0; }
    template <class C>
    auto pick(const C& from) {
        return from[below(static_cast<unsigned>(std::size(from)))];
    }

private:
    std::mt19937 engine_;
};

inline constexpr std::array<std::string_view, 5> kMacs{"52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:01:01",
                                                       "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"};
inline constexpr std::array<std::string_view, 5> kIp4s{"10.0.0.1", "10.0.0.2", "10.0.1.1", "0.0.0.0", "224.0.0.1"};
inline constexpr std::array<std::string_view, 4> kIp6s{"fe80::1", "2001:db8::1", "2001:db8::2", "ff02::1"};
inline constexpr std::array<unsigned, 4> kPorts{67, 68, 80, 81};

// ---- filters -------------------------------------------------------------------------------------------

class RandomFilters {
public:
    explicit RandomFilters(Random& random) : random_(random) {}

    // A tree in `filters`; returns the name of its root.
    std::string tree(Filters& filters) {
        std::string inside;
        for (unsigned i = 0; i < 1 + random_.below(4); ++i) {
            const std::string name = "sub" + std::to_string(i);
            std::string rules;
            const std::string chain{random_.pick(kChains)};
            for (unsigned r = 0; r < 1 + random_.below(4); ++r) {
                rules += rule(chain);
            }
            const std::string priority =
                random_.one_in(3) ? " priority='" + std::to_string(static_cast<int>(random_.below(1600)) - 800) + "'"
                                  : "";
            filters.add("<filter name='" + name + "' chain='" + chain + "'" + priority + ">" + rules + "</filter>");
            inside +=
                "<filterref filter='" + name + "'>" +
                (random_.one_in(3) ? "<parameter name='C' value='" + std::string(random_.pick(kIp4s)) + "'/>" : "") +
                "</filterref>" + (random_.one_in(2) ? rule("root") : "");
        }
        return filters.add("<filter name='tree'>" + inside + rule("root") + "</filter>");
    }

    Parameters parameters() {
        Parameters out;
        const auto list = [&](const std::string& name, auto value) {
            for (unsigned i = 0; i < 1 + random_.below(2); ++i) {
                out[name].push_back(value());
            }
        };
        list("IP", [&] { return std::string(random_.pick(kIp4s)); });
        list("A", [&] { return std::string(random_.pick(kIp4s)); });
        list("B", [&] { return std::string(random_.pick(kIp6s)); });
        list("P", [&] { return std::to_string(random_.pick(kPorts)); });
        list("M", [&] { return std::string(random_.pick(kMacs)); });
        out["C"] = {std::string(random_.pick(kIp4s))};
        if (random_.one_in(2)) {
            out.erase("C");
        }
        out["LENGTH"] = {random_.one_in(2) ? "24" : "31"};
        out["N"] = {random_.one_in(2) ? "6" : "17"};
        return out;
    }

private:
    static constexpr std::array<std::string_view, 12> kChains{"root", "root",   "mac",  "mac-x",  "arp",  "arp-x",
                                                              "ipv4", "ipv4-x", "ipv6", "ipv6-x", "rarp", "ipv4"};

    std::string rule(const std::string& chain) {
        constexpr std::array<std::string_view, 7> kActions{"drop",   "drop",     "accept", "accept",
                                                           "return", "continue", "reject"};
        constexpr std::array<std::string_view, 4> kDirections{"in", "out", "out", "inout"};
        constexpr std::array<int, 5> kPriorities{-900, -100, 0, 100, 500};
        constexpr std::array<std::string_view, 7> kProtocols{"mac", "arp", "rarp", "ip", "ip", "ipv6", ""};
        std::string protocol{random_.pick(kProtocols)};
        if (chain != "root" && random_.below(4) != 0) {
            protocol = chain.starts_with("ipv4") ? "ip" : chain.substr(0, chain.find('-'));
        }
        std::string out = "<rule action='" + std::string(random_.pick(kActions)) + "' direction='" +
                          std::string(random_.pick(kDirections)) + "' priority='" +
                          std::to_string(random_.pick(kPriorities)) + "'>";
        if (!protocol.empty()) {
            out += element(protocol);
        }
        return out + "</rule>";
    }

    std::string element(const std::string& protocol) {
        plain_.clear();
        negated_.clear();
        address("srcmacaddr", "srcmacmask", kMacs, "$MAC", "$M", {"ff:ff:ff:ff:00:00", "ff:ff:ff:ff:ff:ff"}, 4);
        address("dstmacaddr", "dstmacmask", kMacs, "$M", "$MAC", {"ff:ff:ff:ff:00:00", "00:00:00:00:00:00"}, 6);
        if (protocol == "mac") {
            constexpr std::array<std::string_view, 5> kTypes{"ipv4", "arp", "ipv6", "vlan", "rarp"};
            maybe(2, "protocolid", std::string(random_.pick(kTypes)));
        } else if (protocol == "arp" || protocol == "rarp") {
            maybe(3, "opcode", std::to_string(1 + random_.below(3)));
            maybe(8, "hwtype", "1");
            address("arpsrcmacaddr", "", kMacs, "$MAC", "$M", {}, 3);
            address("arpdstmacaddr", "", kMacs, "$M", "$MAC", {}, 5);
            address("arpsrcipaddr", "arpsrcipmask", kIp4s, "$IP", "$A", {"24", "255.0.0.0"}, 3);
            address("arpdstipaddr", "arpdstipmask", kIp4s, "$A", "$C", {"24", "0"}, 4);
            maybe(8, "gratuitous", random_.one_in(2) ? "true" : "false");
        } else {
            const bool four = protocol == "ip";
            const std::string_view first = four ? "$IP" : "$B", second = four ? "$A" : "$B";
            if (four) {
                address("srcipaddr", "srcipmask", kIp4s, first, second, {"24", "$LENGTH"}, 2);
                address("dstipaddr", "dstipmask", kIp4s, second, "$C", {"24", "0"}, 3);
                maybe(8, "dscp", "46");
            } else {
                address("srcipaddr", "srcipmask", kIp6s, first, second, {"64", "10"}, 2);
                address("dstipaddr", "dstipmask", kIp6s, second, first, {"64", "0"}, 3);
            }
            transport(four);
        }
        std::string out;
        if (!plain_.empty() || negated_.empty()) {
            out += "<" + protocol + plain_ + "/>";
        }
        if (!negated_.empty()) {
            out += "<" + protocol + " match='no'" + negated_ + "/>";
        }
        return out;
    }

    void transport(bool four) {
        if (random_.one_in(4)) {
            maybe(1, "protocol", random_.one_in(3) ? "$N" : "icmp");
        } else if (random_.one_in(2)) {
            plain_ += std::string(" protocol='") + (random_.one_in(2) ? "udp" : "tcp") + "'";
            ports("srcportstart", "srcportend");
            ports("dstportstart", "dstportend");
        } else if (!four && random_.one_in(2)) {
            plain_ += " protocol='icmpv6'";
            maybe(2, "type", "135");
            maybe(3, "code", "0");
        }
    }

    void ports(const std::string& start, const std::string& end) {
        if (random_.below(3) == 0) {
            return;
        }
        const unsigned first = random_.pick(kPorts);
        const bool range = random_.one_in(3);
        std::string& to = random_.one_in(5) ? negated_ : plain_;
        to += " " + start + "='" + (range || random_.one_in(2) ? std::to_string(first) : "$P") + "'";
        if (range) {
            to += " " + end + "='" + std::to_string(first + random_.below(13)) + "'";
        }
    }

    void maybe(unsigned n, const std::string& name, const std::string& value) {
        if (random_.one_in(n)) {
            (random_.one_in(5) ? negated_ : plain_) += " " + name + "='" + value + "'";
        }
    }

    template <class Pool>
    void address(const std::string& name, const std::string& mask, const Pool& pool, std::string_view variable,
                 std::string_view other, const std::vector<std::string>& masks, unsigned n) {
        if (!random_.one_in(n)) {
            return;
        }
        std::string& to = random_.one_in(4) ? negated_ : plain_;
        const unsigned kind = random_.below(4);
        to += " " + name + "='" + std::string(kind < 2 ? variable : kind == 2 ? other : random_.pick(pool)) + "'";
        if (!masks.empty() && random_.one_in(4)) {
            to += " " + mask + "='" + random_.pick(masks) + "'";
        }
    }

    Random& random_;
    std::string plain_, negated_;
};

// ---- frames --------------------------------------------------------------------------------------------

class RandomFrames {
public:
    explicit RandomFrames(Random& random) : random_(random) {}

    Bytes frame() {
        ByteWriter out;
        mac(out);
        mac(out);
        if (random_.one_in(6)) {
            tag(out);
            if (random_.one_in(5)) {
                tag(out);
            }
        }
        switch (random_.below(9)) {
            case 0:
            case 1: arp(out, 0x0806); break;
            case 2: arp(out, 0x8035); break;
            case 3:
            case 4: ip6(out); break;
            case 5: out.u16(0x1234); break;
            default: ip4(out); break;
        }
        Bytes frame = out.take();
        if (random_.one_in(40)) {
            frame.resize(14 + random_.below(30));
        }
        return frame;
    }

private:
    void tag(ByteWriter& out) {
        out.u16(random_.one_in(4) ? 0x88a8 : 0x8100);
        out.u16(7);
    }
    // A source that a bridge takes: never multicast.
    void mac(ByteWriter& out) {
        const MacAddr mac = *parse_mac(out.size() == 6 ? kMacs[random_.below(3)] : random_.pick(kMacs));
        for (const std::uint8_t octet : mac.octets) {
            out.u8(octet);
        }
    }
    void address(ByteWriter& out, const Ip& ip) {
        for (unsigned i = 0; i < ip.bits() / 8; ++i) {
            out.u8(ip.octets()[i]);
        }
    }
    void any_mac(ByteWriter& out) {
        const MacAddr mac = *parse_mac(random_.pick(kMacs));
        for (const std::uint8_t octet : mac.octets) {
            out.u8(octet);
        }
    }

    void arp(ByteWriter& out, std::uint16_t type) {
        out.u16(type);
        out.u16(random_.one_in(12) ? 6 : 1);
        out.u16(random_.one_in(12) ? 0x1234 : 0x0800);
        out.u8(random_.one_in(20) ? 8 : 6);
        out.u8(random_.one_in(20) ? 16 : 4);
        out.u16(static_cast<std::uint16_t>(1 + random_.below(3)));
        any_mac(out);
        address(out, *parse_ip(random_.pick(kIp4s)));
        any_mac(out);
        address(out, *parse_ip(random_.pick(kIp4s)));
    }

    std::uint8_t transport_protocol(bool four) {
        constexpr std::array<std::uint8_t, 4> kFour{6, 17, 1, 132}, kSix{6, 17, 58, 58};
        return random_.pick(four ? kFour : kSix);
    }

    void transport(ByteWriter& out, std::uint8_t protocol) {
        if (protocol == 58 || protocol == 1) {
            out.u8(random_.one_in(2) ? 135 : 128);
            out.u8(random_.one_in(4) ? 1 : 0);
            out.fill(14);
            return;
        }
        out.u16(static_cast<std::uint16_t>(random_.pick(kPorts)));
        out.u16(static_cast<std::uint16_t>(random_.pick(kPorts)));
        out.u16(12);  // of UDP: its length
        out.fill(10);
    }

    void ip4(ByteWriter& out) {
        constexpr std::uint8_t kTransport = 16;
        const std::uint8_t protocol = transport_protocol(true);
        const bool options = random_.one_in(10), broken = random_.one_in(25);
        const auto header = static_cast<std::uint8_t>(options ? 24 : 20);
        out.u16(0x0800);
        out.u8(static_cast<std::uint8_t>((broken ? 0x50 : 0x40) | header / 4));
        out.u8(random_.one_in(3) ? 46 << 2 : 0);
        out.u16(static_cast<std::uint16_t>(header + kTransport + (random_.one_in(25) ? 400 : 0)));
        out.u16(1);
        out.u16(random_.one_in(10) ? 0x0010 : random_.one_in(10) ? 0x2000 : 0);
        out.u8(64);
        out.u8(protocol);
        out.u16(0);
        address(out, *parse_ip(random_.pick(kIp4s)));
        address(out, *parse_ip(random_.pick(kIp4s)));
        if (options) {
            out.u32(0x01010101);
        }
        transport(out, protocol);
    }

    void ip6(ByteWriter& out) {
        constexpr std::uint8_t kTransport = 16;
        const std::uint8_t protocol = transport_protocol(false);
        const unsigned extension = random_.below(8);  // 0: destination options, 1: fragment
        out.u16(0x86dd);
        out.u32(0x60000000);
        out.u16(static_cast<std::uint16_t>(kTransport + (extension < 2 ? 8 : 0)));
        out.u8(extension == 0 ? 60 : extension == 1 ? 44 : protocol);
        out.u8(64);
        address(out, *parse_ip(random_.pick(kIp6s)));
        address(out, *parse_ip(random_.pick(kIp6s)));
        if (extension < 2) {
            out.u8(protocol);
            out.u8(0);
            out.u16(extension == 1 ? (random_.one_in(2) ? 0x0008 : 0x0001) : 0x0104);
            out.u32(0);
        }
        transport(out, protocol);
    }

    Random& random_;
};

}  // namespace bascule::nwfilter
