// SPDX-License-Identifier: GPL-2.0-or-later
// Frames of a guest with clean-traffic, MAC 52:54:00:00:00:01 and IP 10.0.0.1, and to it, each with the verdict
// that they must get and the rule that must give it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tests/nwfilter/filters.h"

namespace bascule::nwfilter {

struct HostileFrame {
    std::string name;
    Bytes bytes;
    bool out = true;  // from the guest
    bool pass = false;
    std::string rule;
};

class FrameBuilder {
public:
    FrameBuilder(std::string_view src, std::string_view dst) {
        mac(dst);
        mac(src);
    }
    FrameBuilder& tag(std::uint16_t type = 0x8100) {
        out_.u16(type);
        out_.u16(5);
        return *this;
    }
    FrameBuilder& arp(std::uint16_t operation, std::string_view sender_mac, std::string_view sender_ip,
                      std::string_view target_mac, std::string_view target_ip, std::uint16_t type = 0x0806) {
        out_.u16(type);
        out_.u32(0x00010800);
        out_.u16(0x0604);
        out_.u16(operation);
        mac(sender_mac);
        ip(sender_ip);
        mac(target_mac);
        ip(target_ip);
        out_.fill(18);
        return *this;
    }
    FrameBuilder& udp(std::string_view src, std::string_view dst, std::uint16_t from, std::uint16_t to,
                      std::uint16_t fragment = 0) {
        out_.u16(0x0800);
        out_.u32(0x45000024);
        out_.u16(1);
        out_.u16(fragment);
        out_.u16(64 << 8 | 17);
        out_.u16(0);
        ip(src);
        ip(dst);
        out_.u16(from);
        out_.u16(to);
        out_.u32(0x00100000);
        out_.fill(8);
        return *this;
    }
    FrameBuilder& ip6(std::string_view src, std::string_view dst) {
        out_.u16(0x86dd);
        out_.u32(0x60000000);
        out_.u32(0x00083aff);
        ip(src);
        ip(dst);
        out_.u32(0x86000000);
        out_.u32(0);
        return *this;
    }
    FrameBuilder& other(std::uint16_t type) {
        out_.u16(type);
        out_.fill(46);
        return *this;
    }
    Bytes take() { return out_.take(); }

private:
    void mac(std::string_view text) {
        const MacAddr value = *parse_mac(text);
        for (const std::uint8_t octet : value.octets) {
            out_.u8(octet);
        }
    }
    void ip(std::string_view text) {
        const Ip value = *parse_ip(text);
        for (unsigned i = 0; i < value.bits() / 8; ++i) {
            out_.u8(value.octets()[i]);
        }
    }

    ByteWriter out_;
};

inline std::vector<HostileFrame> hostile_frames() {
    constexpr std::string_view own = "52:54:00:00:00:01", other = "52:54:00:00:00:66", all = "ff:ff:ff:ff:ff:ff",
                               zero = "00:00:00:00:00:00";
    constexpr std::string_view ip = "10.0.0.1", other_ip = "10.0.0.9";
    const auto from = [&](std::string_view src) { return FrameBuilder(src, all); };
    const std::string mac_rule = "no-mac-spoofing/rule 2", ip_rule = "no-ip-spoofing/rule 3";
    const std::string arp_mac_rule = "no-arp-mac-spoofing/rule 2", arp_ip_rule = "no-arp-ip-spoofing/rule 2";
    const std::string rest = "no-other-l2-traffic/rule 1", rarp_rest = "no-other-rarp-traffic/rule 1";
    Bytes long_arp = from(own).arp(1, own, ip, zero, other_ip).take();
    long_arp[18] = std::byte{8};  // says that its MAC addresses have eight octets
    return {
        {"honest_ip", from(own).udp(ip, other_ip, 1, 2).take(), true, true, "own MAC and IPv4 address"},
        {"honest_arp", from(own).arp(1, own, ip, zero, other_ip).take(), true, true, "clean-traffic/rule 2"},
        {"dhcp_discover", from(own).udp("0.0.0.0", "255.255.255.255", 68, 67).take(), true, true,
         "clean-traffic/rule 1"},
        {"spoofed_mac", from(other).udp(ip, other_ip, 1, 2).take(), true, false, mac_rule},
        {"spoofed_mac_in_arp_frame", from(other).arp(1, own, ip, zero, other_ip).take(), true, false, mac_rule},
        {"spoofed_ip", from(own).udp(other_ip, ip, 1, 2).take(), true, false, ip_rule},
        {"spoofed_ip_in_a_later_fragment", from(own).udp(other_ip, ip, 1, 2, 0x0010).take(), true, false, ip_rule},
        {"spoofed_ip_behind_a_tag", from(own).tag().udp(other_ip, ip, 1, 2).take(), true, false, ip_rule},
        {"own_ip_behind_a_tag", from(own).tag().udp(ip, other_ip, 1, 2).take(), true, false, rest},
        {"spoofed_ip_behind_two_tags", from(own).tag(0x88a8).tag().udp(other_ip, ip, 1, 2).take(), true, false,
         "a second VLAN tag"},
        {"spoofed_arp_behind_a_tag", from(own).tag().arp(1, other, other_ip, zero, ip).take(), true, false,
         arp_mac_rule},
        {"arp_with_another_mac", from(own).arp(1, other, ip, zero, other_ip).take(), true, false, arp_mac_rule},
        {"arp_with_another_ip", from(own).arp(1, own, other_ip, zero, ip).take(), true, false, arp_ip_rule},
        {"arp_reply_with_another_ip", from(own).arp(2, own, other_ip, all, ip).take(), true, false, arp_ip_rule},
        {"gratuitous_arp_for_another", from(own).arp(1, own, other_ip, zero, other_ip).take(), true, false,
         arp_ip_rule},
        {"arp_with_shifted_addresses", long_arp, true, false, arp_mac_rule},
        {"rogue_dhcp_offer", from(own).udp(other_ip, "255.255.255.255", 67, 68).take(), true, false, ip_rule},
        {"router_advertisement", from(own).ip6("fe80::1", "ff02::1").take(), true, false, rest},
        {"unknown_type", from(own).other(0x88b5).take(), true, false, rest},
        {"rarp_of_ours", from(own).arp(3, own, "0.0.0.0", own, "0.0.0.0", 0x8035).take(), true, true,
         "qemu-announce-self-rarp/rule 1"},
        {"rarp_for_another", from(own).arp(3, other, "0.0.0.0", other, "0.0.0.0", 0x8035).take(), true, false,
         rarp_rest},
        {"ip_to_the_guest", FrameBuilder(other, own).udp(other_ip, ip, 1, 2).take(), false, true,
         "allow-incoming-ipv4/rule 1"},
        {"arp_to_the_guest", FrameBuilder(other, own).arp(2, other, other_ip, own, ip).take(), false, true,
         "clean-traffic/rule 2"},
        {"tagged_ip_to_the_guest", FrameBuilder(other, own).tag().udp(other_ip, ip, 1, 2).take(), false, false, rest},
        {"ip6_to_the_guest", FrameBuilder(other, own).ip6("fe80::2", "fe80::1").take(), false, false, rest},
        {"rarp_to_the_guest", FrameBuilder(other, all).arp(3, other, "0.0.0.0", other, "0.0.0.0", 0x8035).take(), false,
         false, rarp_rest},
    };
}

}  // namespace bascule::nwfilter
