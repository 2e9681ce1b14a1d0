// SPDX-License-Identifier: GPL-2.0-or-later
// Random filter trees over the whole language, and frames at the boundaries of their rules: all values come from few,
// beside each other, so that rules often meet and often just miss. A tree has a theme, the protocol that most of its
// rules and frames are of.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/net.h"
#include "nwfilter/protocols.h"
#include "tests/nwfilter/filters.h"
#include "tests/nwfilter/random_filters.h"
#include "tests/nwfilter/reference.h"

namespace bascule::nwfilter {

// An attribute, what it may be, and the mask or end that may stand beside it.
struct RandomAttribute {
    std::string_view name;
    std::vector<std::string_view> values;
    std::string_view modifier = {};
    std::vector<std::string_view> modifiers = {};
};

inline constexpr std::array<std::string_view, 3> kMacPool{"52:54:00:00:00:01", "52:54:00:00:00:02",
                                                          "52:54:00:00:01:01"};
inline constexpr std::array<std::string_view, 4> kIp4Pool{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"};
inline constexpr std::array<std::string_view, 4> kIp6Pool{"2001:db8::1", "2001:db8::2", "2001:db8::3", "fe80::1"};
inline constexpr std::array<unsigned, 4> kPortPool{79, 80, 81, 443};

class RandomRules {
public:
    explicit RandomRules(Random& random, bool tracking = true) : random_(random), tracking_(tracking) {}

    // A tree in `filters`; returns the name of its root.
    std::string tree(Filters& filters, Protocol theme) {
        theme_ = theme;
        std::string inside;
        for (unsigned i = 0; i < 1 + random_.below(3); ++i) {
            const std::string name = "sub" + std::to_string(i), chain{random_.pick(kChains)};
            std::string rules;
            for (unsigned r = 0; r < 1 + random_.below(3); ++r) {
                rules += rule();
            }
            const std::string priority =
                random_.one_in(3) ? " priority='" + std::to_string(static_cast<int>(random_.below(1600)) - 800) + "'"
                                  : "";
            filters.add("<filter name='" + name + "' chain='" + chain + "'" + priority + ">" + rules + "</filter>");
            inside += "<filterref filter='" + name + "'>" +
                      (random_.one_in(3) ? "<parameter name='INNER' value='10.0.0.2'/>" : "") + "</filterref>" + rule();
        }
        return filters.add("<filter name='tree'>" + inside + rule() + "</filter>");
    }

    Parameters parameters() {
        Parameters out{{"INNER", {"10.0.0.1"}}, {"LENGTH", {random_.one_in(2) ? "24" : "31"}}};
        const unsigned length = 1 + random_.below(3);
        for (unsigned i = 0; i < length; ++i) {
            out["IP"].push_back(std::string(random_.pick(kIp4Pool)));
            out["SIX"].push_back(std::string(random_.pick(kIp6Pool)));
            out["PORT"].push_back(std::to_string(random_.pick(kPortPool)));
            out["M"].push_back(std::string(random_.pick(kMacPool)));
        }
        if (random_.one_in(2)) {
            out.erase("INNER");
        }
        return out;
    }

private:
    static constexpr std::array<std::string_view, 12> kChains{"root", "root",   "root", "mac-x",  "stp",    "vlan-x",
                                                              "arp",  "rarp-x", "ipv4", "ipv4-x", "ipv6-x", "ipv6"};

    std::string rule() {
        constexpr std::array<std::string_view, 10> kActions{"drop",   "drop",   "accept", "accept", "accept",
                                                            "accept", "return", "reject", "drop",   "continue"};
        constexpr std::array<std::string_view, 4> kDirections{"in", "out", "inout", "out"};
        constexpr std::array<int, 5> kPriorities{-900, -100, 0, 100, 500};
        const auto protocol = random_.below(4) != 0 ? theme_ : static_cast<Protocol>(random_.below(25));
        std::string out = "<rule action='" + std::string(random_.pick(kActions)) + "' direction='" +
                          std::string(random_.pick(kDirections)) + "' priority='" +
                          std::to_string(random_.pick(kPriorities)) + "'" +
                          (!tracking_ || random_.one_in(3) ? " statematch='false'" : "") + ">";
        return out + (protocol == Protocol::any ? "" : element(protocol)) + "</rule>";
    }

    std::string element(Protocol protocol) {
        std::string plain, negated;
        const std::vector<RandomAttribute> all = attributes(protocol);
        const unsigned wanted = 1 + random_.below(2);
        std::vector<bool> taken(all.size());
        for (unsigned i = 0; i < wanted && !all.empty(); ++i) {
            const unsigned at = random_.below(static_cast<unsigned>(all.size()));
            if (taken[at]) {
                continue;
            }
            taken[at] = true;
            if (!tracking_ && (all[at].name == "state" || all[at].name == "connlimit-above")) {
                continue;
            }
            const RandomAttribute& attribute = all[at];
            const bool range = attribute.modifier.ends_with("end") || attribute.modifier.ends_with("-hi") ||
                               attribute.modifier.ends_with("to");
            std::string_view value = random_.pick(attribute.values);
            std::string text;
            if (!attribute.modifiers.empty() && random_.one_in(3)) {
                if (range) {
                    value = attribute.values.front();  // the lowest, so that no end lies before it
                }
                text =
                    " " + std::string(attribute.modifier) + "='" + std::string(random_.pick(attribute.modifiers)) + "'";
            }
            const bool sign = random_.one_in(4) && value != "NONE";
            (sign ? negated : plain) += " " + std::string(attribute.name) + "='" + std::string(value) + "'" + text;
        }
        const bool icmp6 = protocol == Protocol::ipv6 && ((plain + negated).find(" type=") != std::string::npos ||
                                                          (plain + negated).find(" nd") != std::string::npos);
        const bool code6 = protocol == Protocol::ipv6 && (plain + negated).find(" code=") != std::string::npos;
        const bool ports = (protocol == Protocol::ip || protocol == Protocol::ipv6) &&
                           (plain + negated).find("port") != std::string::npos;
        if (icmp6 || code6 || ports) {
            if ((ports && (icmp6 || code6)) || (plain + negated).find("protocol=") != std::string::npos) {
                return "<" + std::string(name_of(protocol)) + "/>";
            }
            plain += ports ? " protocol='tcp'" : " protocol='icmpv6'";
        }
        const std::string name{name_of(protocol)};
        std::string out = plain.empty() && !negated.empty() ? "" : "<" + name + plain + "/>";
        return out + (negated.empty() ? "" : "<" + name + " match='no'" + negated + "/>");
    }

    static std::vector<RandomAttribute> attributes(Protocol protocol);

    Random& random_;
    const bool tracking_;  // rules may ask for states and counts of connections
    Protocol theme_ = Protocol::any;
};

inline std::vector<RandomAttribute> RandomRules::attributes(Protocol protocol) {
    using List = std::vector<RandomAttribute>;
    const List macs{{"srcmacaddr", {"$MAC", "52:54:00:00:00:02", "$M[@1]"}, "srcmacmask", {"ff:ff:ff:ff:ff:fc"}},
                    {"dstmacaddr", {"52:54:00:00:00:01", "$M", "$M[0]"}, "dstmacmask", {"ff:ff:ff:ff:00:00"}}};
    const List ports{{"srcportstart", {"80", "79", "$PORT", "$PORT[@2]"}, "srcportend", {"80", "81"}},
                     {"dstportstart", {"80", "81", "$PORT", "$PORT[0]"}, "dstportend", {"81", "443"}}};
    const auto joined = [](std::initializer_list<List> lists) {
        List out;
        for (const List& list : lists) {
            out.insert(out.end(), list.begin(), list.end());
        }
        return out;
    };
    switch (protocol) {
        case Protocol::any: return {};
        case Protocol::mac: return joined({macs, {{"protocolid", {"ipv4", "arp", "ipv6", "0x88b5", "rarp"}}}});
        case Protocol::vlan:
            return joined({macs, {{"vlanid", {"5", "6"}}, {"encap-protocol", {"ipv4", "arp", "0x88b5"}}}});
        case Protocol::stp:
            return {{macs[0]},
                    {"type", {"0", "0x80"}},
                    {"flags", {"1", "2"}},
                    {"root-priority", {"5", "6"}, "root-priority-hi", {"6"}},
                    {"root-address", {"52:54:00:00:00:01"}, "root-address-mask", {"ff:ff:ff:ff:00:00"}},
                    {"root-cost", {"5", "6"}, "root-cost-hi", {"6"}},
                    {"sender-priority", {"5", "6"}, "sender-priority-hi", {"6"}},
                    {"sender-address", {"$MAC"}, "sender-address-mask", {"ff:ff:ff:ff:00:00"}},
                    {"port", {"5", "6"}, "port-hi", {"6"}},
                    {"age", {"5", "6"}, "age-hi", {"6"}},
                    {"max-age", {"5", "6"}, "max-age-hi", {"6"}},
                    {"hello-time", {"5", "6"}, "hello-time-hi", {"6"}},
                    {"forward-delay", {"5", "6"}, "forward-delay-hi", {"6"}}};
        case Protocol::arp:
        case Protocol::rarp:
            return joined({macs,
                           {{"hwtype", {"1", "6"}},
                            {"protocoltype", {"0x800", "0x1234"}},
                            {"opcode", {"Request", "2", "3"}},
                            {"arpsrcmacaddr", {"$MAC", "52:54:00:00:00:02"}},
                            {"arpdstmacaddr", {"$M", "52:54:00:00:00:02"}},
                            {"arpsrcipaddr", {"$IP", "10.0.0.1"}, "arpsrcipmask", {"24", "$LENGTH"}},
                            {"arpdstipaddr", {"$IP[@1]", "10.0.0.2"}, "arpdstipmask", {"24", "255.255.255.254"}},
                            {"gratuitous", {"true", "false"}}}});
        default: break;
    }
    const bool six = protocol == Protocol::ipv6 || is_ipv6_layer(protocol);
    List out = protocol == Protocol::ip || protocol == Protocol::ipv6 ? macs : List{macs[0]};
    if (protocol != Protocol::ip && protocol != Protocol::ipv6) {
        out[0].modifier = {};
        out[0].modifiers.clear();
    }
    if (six) {
        out.push_back({"srcipaddr", {"$SIX", "2001:db8::1", "$SIX[@2]"}, "srcipmask", {"64", "127"}});
        out.push_back({"dstipaddr", {"$SIX", "2001:db8::2", "$SIX[0]"}, "dstipmask", {"64", "ffff:ffff::"}});
    } else {
        out.push_back({"srcipaddr", {"$IP", "10.0.0.1", "$IP[@2]"}, "srcipmask", {"24", "$LENGTH"}});
        out.push_back({"dstipaddr", {"$IP", "$INNER", "$IP[0]"}, "dstipmask", {"24", "255.255.255.254"}});
        out.push_back({"dscp", {"46", "0"}});
    }
    if (protocol == Protocol::ip) {
        return joined({out, ports, {{"protocol", {"tcp", "udp", "icmp"}}}});
    }
    if (protocol == Protocol::ipv6) {
        return joined({out,
                       ports,
                       {{"type", {"128", "129"}, "typeend", {"129"}},
                        {"code", {"0", "1"}, "codeend", {"1"}},
                        {"ndtargetaddr", {"$SIX", "2001:db8::1"}, "ndtargetmask", {"127"}}}});
    }
    if (six) {
        out.push_back({"dscp", {"46", "0"}});
        out.push_back({"srcipfrom", {"2001:db8::1", "2001:db8::2"}, "srcipto", {"2001:db8::2"}});
        out.push_back({"dstipfrom", {"2001:db8::2", "2001:db8::3"}, "dstipto", {"2001:db8::3"}});
    } else {
        out.push_back({"srcipfrom", {"10.0.0.1", "10.0.0.2"}, "srcipto", {"10.0.0.2"}});
        out.push_back({"dstipfrom", {"10.0.0.2", "10.0.0.3"}, "dstipto", {"10.0.0.3"}});
    }
    out.push_back({"state", {"NEW", "NEW,ESTABLISHED", "RELATED", "INVALID,NEW", "NONE"}});
    out.push_back({"connlimit-above", {"1", "2"}});
    switch (protocol) {
        case Protocol::tcp:
        case Protocol::tcp_ipv6:
            return joined(
                {out, ports, {{"flags", {"SYN,ACK/SYN", "ALL/NONE", "FIN/FIN", "SYN/ALL"}}, {"option", {"2", "3"}}}});
        case Protocol::udp:
        case Protocol::udp_ipv6:
        case Protocol::sctp:
        case Protocol::sctp_ipv6: return joined({out, ports});
        case Protocol::icmpv6:
            out.push_back({"ndtargetaddr", {"$SIX", "2001:db8::2"}, "ndtargetmask", {"127"}});
            [[fallthrough]];
        case Protocol::icmp:
            return joined({out, {{"type", {protocol == Protocol::icmp ? "8" : "128", "129"}}, {"code", {"0", "1"}}}});
        default: return out;
    }
}

// Frames mostly of a theme.
class BoundaryFrames {
public:
    BoundaryFrames(Random& random, bool tags) : random_(random), tags_(tags) {}

    Bytes frame(Protocol theme) {
        const auto protocol = random_.below(5) != 0 ? theme : static_cast<Protocol>(random_.below(25));
        ByteWriter out;
        if (protocol == Protocol::stp && random_.below(8) != 0) {
            out.u32(0x0180c200);
            out.u16(0);
        } else {
            mac(out);
        }
        mac(out);
        if (protocol == Protocol::vlan || (tags_ && random_.one_in(5))) {
            out.u16(0x8100);
            out.u16(static_cast<std::uint16_t>(5 + random_.below(3)));
        }
        switch (protocol) {
            case Protocol::any:
            case Protocol::mac:
            case Protocol::vlan: inner(out); break;
            case Protocol::stp: stp(out); break;
            case Protocol::arp: arp(out, 0x0806); break;
            case Protocol::rarp: arp(out, 0x8035); break;
            case Protocol::ip: ip4(out, random_.pick(std::array<std::uint8_t, 3>{6, 17, 1})); break;
            case Protocol::ipv6: ip6(out, random_.pick(std::array<std::uint8_t, 4>{6, 58, 58, 58})); break;
            case Protocol::all: ip4(out, random_.pick(std::array<std::uint8_t, 3>{6, 17, 47})); break;
            case Protocol::all_ipv6: ip6(out, random_.pick(std::array<std::uint8_t, 3>{6, 17, 47})); break;
            default: is_ipv6_layer(protocol) ? ip6(out, transport_of(protocol)) : ip4(out, transport_of(protocol));
        }
        return out.take();
    }

    reference::Tracked tracked() {
        return {static_cast<reference::Tracked::State>(random_.below(4)), random_.one_in(2), random_.below(4)};
    }

private:
    void mac(ByteWriter& out) { octets(out, *parse_mac(random_.pick(kMacPool))); }
    static void octets(ByteWriter& out, const MacAddr& mac) {
        for (const std::uint8_t octet : mac.octets) {
            out.u8(octet);
        }
    }
    template <class Pool>
    void address(ByteWriter& out, const Pool& pool) {
        const Ip ip = *parse_ip(random_.pick(pool));
        for (unsigned i = 0; i < ip.bits() / 8; ++i) {
            out.u8(ip.octets()[i]);
        }
    }
    std::uint16_t five_to_seven() { return static_cast<std::uint16_t>(5 + random_.below(3)); }

    void inner(ByteWriter& out) {
        switch (random_.below(5)) {
            case 0: arp(out, 0x0806); break;
            case 1: ip4(out, 17); break;
            case 2: ip6(out, 17); break;
            case 3: arp(out, 0x8035); break;
            default: out.u16(0x88b5); out.fill(46);
        }
    }

    void stp(ByteWriter& out) {
        out.u16(38);
        out.u16(random_.one_in(20) ? 0x4243 : 0x4242);
        out.u8(3);
        out.u16(0);
        out.u8(random_.one_in(20) ? 2 : 0);
        out.u8(random_.one_in(6) ? 0x80 : 0);
        out.u8(static_cast<std::uint8_t>(1 + random_.below(2)));
        out.u16(five_to_seven());
        mac(out);
        out.u32(five_to_seven());
        out.u16(five_to_seven());
        mac(out);
        for (int i = 0; i < 5; ++i) {
            out.u16(five_to_seven());
        }
        out.fill(8);
    }

    void arp(ByteWriter& out, std::uint16_t type) {
        out.u16(type);
        const bool odd = random_.one_in(6);
        out.u16(odd && random_.one_in(2) ? 6 : 1);
        out.u16(odd && random_.one_in(2) ? 0x1234 : 0x0800);
        out.u16(random_.one_in(30) ? 0x0804 : 0x0604);
        out.u16(static_cast<std::uint16_t>(1 + random_.below(3)));
        mac(out);
        address(out, kIp4Pool);
        mac(out);
        address(out, kIp4Pool);
        out.fill(18);
    }

    void transport(ByteWriter& out, std::uint8_t protocol) {
        if (protocol == 1 || protocol == 58) {
            const bool nd = protocol == 58 && random_.one_in(2);
            const bool echo = protocol == 1 && random_.one_in(2);
            out.u8(static_cast<std::uint8_t>(nd ? 135 + random_.below(2) : echo ? 8 : 128 + random_.below(2)));
            out.u8(static_cast<std::uint8_t>(random_.below(2)));
            out.fill(6);
            address(out, kIp6Pool);
            return;
        }
        out.u16(static_cast<std::uint16_t>(random_.pick(kPortPool)));
        out.u16(static_cast<std::uint16_t>(random_.pick(kPortPool)));
        out.u32(0x00180000);  // of UDP: its length
        out.u32(0);
        constexpr std::array<std::uint8_t, 5> kFlags{0x02, 0x12, 0x10, 0x01, 0x00};
        const std::uint8_t header = random_.one_in(20) ? 0x40 : random_.one_in(20) ? 0xf0 : 0x60;
        out.u8(header);
        out.u8(random_.pick(kFlags));
        out.fill(6);
        out.u8(random_.one_in(3) ? 1 : random_.one_in(2) ? 2 : 3);
        out.u8(random_.one_in(4) ? 2 : 3);
        out.u16(0x0201);
    }
    static constexpr std::uint16_t kTransport = 24;

    void ip4(ByteWriter& out, std::uint8_t protocol) {
        out.u16(0x0800);
        out.u8(random_.one_in(40) ? 0x55 : 0x45);
        out.u8(random_.one_in(2) ? 46 << 2 : 0);
        out.u16(20 + kTransport);
        out.u16(1);
        out.u16(random_.one_in(16) ? 0x0010 : 0);
        out.u8(64);
        out.u8(protocol);
        out.u16(0);
        address(out, kIp4Pool);
        address(out, kIp4Pool);
        transport(out, protocol);
    }

    void ip6(ByteWriter& out, std::uint8_t protocol) {
        const unsigned extension = random_.below(10);  // 0: destination options, 1: fragment
        const bool header = protocol == 51;            // authentication: a UDP packet behind it
        out.u16(0x86dd);
        out.u32(random_.one_in(2) ? 0x6b800000 : 0x60000000);  // DSCP 46
        out.u16(static_cast<std::uint16_t>(kTransport + (extension < 2 || header ? 8 : 0)));
        out.u8(header ? 51 : extension == 0 ? 60 : extension == 1 ? 44 : protocol);
        out.u8(64);
        address(out, kIp6Pool);
        address(out, kIp6Pool);
        if (header) {
            out.u8(17);
            out.u8(0);
            out.fill(6);
        } else if (extension < 2) {
            out.u8(protocol);
            out.u8(0);
            out.u16(extension == 1 ? (random_.one_in(2) ? 0x0008 : 0x0001) : 0x0104);
            out.u32(0);
        }
        transport(out, header ? 17 : protocol);
    }

    Random& random_;
    const bool tags_;
};

}  // namespace bascule::nwfilter
