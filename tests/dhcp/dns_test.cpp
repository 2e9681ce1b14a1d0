// SPDX-License-Identifier: GPL-2.0-or-later
// Messages, and what is answered without asking anybody.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dhcp/dns_message.h"
#include "dhcp/zone.h"
#include "tests/dhcp/fixtures.h"

namespace bascule::dhcp {
namespace {

using namespace test;

TEST(DnsName, TextAndWireForm) {
    EXPECT_EQ(dns_name("Vm1.Test"), std::string("\3vm1\4test"));
    EXPECT_EQ(dns_name(""), "");
    EXPECT_EQ(label_count(dns_name("a.b.c")), 3U);
    EXPECT_EQ(parent(dns_name("a.b")), dns_name("b"));
    EXPECT_TRUE(is_below(dns_name("a.b.c"), dns_name("b.c")));
    EXPECT_TRUE(is_below(dns_name("b.c"), dns_name("b.c")));
    EXPECT_FALSE(is_below(dns_name("ab.c"), dns_name("b.c")));
    EXPECT_FALSE(is_below(dns_name("c"), dns_name("b.c")));
}

TEST(DnsName, ReverseNamesThereAndBack) {
    for (const Ip& ip : {"192.168.122.7"_ip, "0.0.0.0"_ip, "fd00::1:2"_ip, "2001:db8:ffff::a"_ip}) {
        const auto prefix = reverse_prefix(reverse_name(ip));
        ASSERT_TRUE(prefix) << format(ip);
        EXPECT_EQ(prefix->network, ip);
        EXPECT_EQ(prefix->length, ip.bits());
    }
    EXPECT_EQ(reverse_prefix(dns_name("168.192.in-addr.arpa")), "192.168.0.0/16"_prefix);
    EXPECT_EQ(reverse_prefix(dns_name("d.f.ip6.arpa")), Prefix::of("fd00::"_ip, 8));
    EXPECT_EQ(reverse_prefix(dns_name("in-addr.arpa")), "0.0.0.0/0"_prefix);
    for (const char* bad : {"256.in-addr.arpa", "01.in-addr.arpa", "a.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
                            "g.ip6.arpa", "10.ip6.arpa", "arpa", "x.arpa"}) {
        EXPECT_FALSE(reverse_prefix(dns_name(bad))) << bad;
    }
}

TEST(DnsMessage, AQueryIsDecodedWithItsEdns) {
    const auto query = decode_query(dns_query("VM1.example.test", kTypeA, 7, 4096));
    ASSERT_TRUE(query) << query.error().message;
    EXPECT_EQ(query->name, dns_name("vm1.example.test"));
    EXPECT_EQ(query->header.id, 7);
    EXPECT_TRUE(query->edns->dnssec_ok);
    EXPECT_EQ(query->edns->size, 4096);
    EXPECT_EQ(query->size_limit(), 1232U);
    EXPECT_EQ(decode_query(dns_query("a", kTypeA))->size_limit(), 512U);
}

Bytes with(Bytes bytes, std::size_t at, int value) {
    bytes.at(at) = static_cast<std::byte>(value);
    return bytes;
}

TEST(DnsMessage, WhatIsNotOneWholeQueryIsRefused) {
    const Bytes good = dns_query("vm1.test", kTypeA, 1, 1232);
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_query(ByteView(good).first(size))) << size;
    }
    Bytes longer = good;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode_query(longer));
    EXPECT_FALSE(decode_query(with(good, 2, 0x80))) << "a response";
    EXPECT_EQ(decode_query(with(good, 2, 0x28)).error().code, Code::unsupported) << "UPDATE";
    EXPECT_FALSE(decode_query(with(good, 5, 2))) << "two questions";
    EXPECT_FALSE(decode_query(with(good, 5, 0))) << "none";
    EXPECT_FALSE(decode_query(with(good, 7, 1))) << "an answer in a query";
    EXPECT_FALSE(decode_query(with(good, 10, 1))) << "257 additional records";
    EXPECT_FALSE(decode_query(with(good, 12, 0xc0))) << "a pointer in the question";
    EXPECT_FALSE(decode_query(with(good, 12, 0x40))) << "an extended label";
}

TEST(DnsMessage, ANameLongerThan255BytesIsRefused) {
    std::string name;
    for (int i = 0; i < 4; ++i) {
        name += std::string(i < 3 ? 63 : 61, 'a') + ".";
    }
    EXPECT_TRUE(decode_query(dns_query(name, kTypeA)));
    EXPECT_FALSE(decode_query(dns_query(name + "b", kTypeA)));
}

TEST(DnsMessage, AnAnswerThatDoesNotFitIsTruncated) {
    const auto query = decode_query(dns_query("many", kTypeA));
    Answer answer;
    for (unsigned i = 0; i < 100; ++i) {
        answer.records.push_back(address_record(Ip::v4(0x0a000000U + i)));
    }
    const Bytes reply = encode_answer(*query, answer, true);
    EXPECT_LE(reply.size(), 512U);
    EXPECT_TRUE(decode_header(reply)->truncated);
    EXPECT_EQ(decode_header(reply)->answers, (512U - 22U) / 16U);
}

// ---- the zone

struct ZoneTest : testing::Test {
    Spec spec = small_network();
    LeaseTable leases;
    void SetUp() override {
        spec.subnets.push_back({.server = {"fd00:1::1"_ip, 64}});
        spec.dns_hosts.push_back({"fd00:1::80"_ip, {"www"}});
        spec.dns_hosts.push_back({"203.0.113.5"_ip, {"shop.example.com", "shop2.example.com"}});
        spec.dns_hosts.push_back({"192.168.122.1"_ip, {"deep.under.example.test"}});
        leases.bind(
            {.network = kUuid, .port = kMac1, .address = "192.168.122.10"_ip, .prefix_length = 24, .hostname = "vm1"},
            kEndOfTime);
        leases.bind({.network = kUuid, .port = kMac2, .address = "192.168.122.11"_ip, .prefix_length = 24}, kEndOfTime);
    }
    static std::string dotted(DnsName name) {
        std::string text;
        for (; !name.empty(); name = parent(name)) {
            text += (text.empty() ? "" : ".") + first_label(name);
        }
        return text;
    }
    static std::string said(const Record& record) {
        ByteReader in(record.data);
        switch (record.type) {
            case kTypeA: return format(Ip::v4(in.u32()));
            case kTypeAaaa: return format(Ip::v6(in.array<16>()));
            case kTypePtr:
            case kTypeCname:
                return (record.type == kTypePtr ? "PTR " : "CNAME ") +
                       dotted(DnsName(as_text(in.take(record.data.size() - 1))));
            case kTypeTxt: {
                std::string text = "TXT";
                while (in.left() > 0) {
                    text += " '" + std::string(as_text(in.take(in.u8()))) + "'";
                }
                return text;
            }
            case kTypeSrv: {
                const int priority = in.u16(), weight = in.u16(), port = in.u16();
                return fmt::format("SRV {} {} {} {}", priority, weight, port,
                                   dotted(DnsName(as_text(in.take(in.left() - 1)))));
            }
            default: return "?";
        }
    }
    // "1.2.3.4", "PTR name", "NXDOMAIN", "NODATA", "REFUSED", or "forward".
    std::string ask(const std::string& name, std::uint16_t type) const {
        const auto query = decode_query(dns_query(name, type));
        if (!query) {
            return "malformed";
        }
        const auto answer = Zone(spec).answer(*query, leases);
        if (!answer) {
            return "forward";
        }
        if (answer->rcode != Rcode::no_error) {
            return answer->rcode == Rcode::nx_domain ? "NXDOMAIN" : "REFUSED";
        }
        std::string text;
        for (const Record& record : answer->records) {
            text += (text.empty() ? "" : " ") + said(record);
        }
        if (text.empty() != answer->zone.has_value()) {
            return "an SOA too many or none";
        }
        return text.empty() ? "NODATA" : text;
    }
};

TEST_F(ZoneTest, NamesOfGuestsReservationsAndHosts) {
    constexpr std::uint16_t kMx = 15, kNs = 2;
    struct Case {
        const char* name;
        std::uint16_t type;
        const char* answer;
    };
    for (const Case& c : {
             Case{"vm1", kTypeA, "192.168.122.10"},
             Case{"VM1", kTypeA, "192.168.122.10"},
             Case{"vm1.example.test", kTypeA, "192.168.122.10"},
             Case{"vm1.Example.Test", kTypeAny, "192.168.122.10"},
             Case{"vm1", kTypeAaaa, "NODATA"},
             Case{"vm1.example.test", kMx, "NODATA"},
             Case{"vm1.other.test", kTypeA, "forward"},
             Case{"sub.vm1.example.test", kTypeA, "forward"},
             Case{"db", kTypeA, "192.168.122.9"},
             Case{"db.example.test", kTypeA, "192.168.122.9"},
             Case{"byname.example.test", kTypeA, "192.168.122.8"},
             Case{"host.example.test", kTypeA, "192.168.122.1"},
             Case{"www", kTypeA, "192.168.122.1"},
             Case{"www.example.test", kTypeAaaa, "fd00:1::80"},
             Case{"www", kTypeAny, "192.168.122.1 fd00:1::80"},
             Case{"shop.example.com", kTypeA, "203.0.113.5"},
             Case{"shop.example.com", kTypeAaaa, "NODATA"},
             Case{"shop.example.com", kMx, "forward"},
             Case{"nobody", kTypeA, "NXDOMAIN"},
             Case{"nobody.example.test", kTypeA, "forward"},
             Case{"com", kNs, "forward"},
             Case{"", kNs, "forward"},
             Case{"example.org", kTypeA, "forward"},
         }) {
        EXPECT_EQ(ask(c.name, c.type), c.answer) << c.name << " " << c.type;
    }
}

TEST_F(ZoneTest, ALocalDomainIsNeverForwarded) {
    spec.domain_local = true;
    EXPECT_EQ(ask("nobody.example.test", kTypeA), "NXDOMAIN");
    EXPECT_EQ(ask("nobody.EXAMPLE.test", 16), "NXDOMAIN");
    EXPECT_EQ(ask("x.vm1.example.test", kTypeA), "NXDOMAIN");
    EXPECT_EQ(ask("example.test", kTypeA), "NODATA");
    EXPECT_EQ(ask("under.example.test", kTypeA), "NODATA") << "it has names below (RFC 8020)";
    EXPECT_EQ(ask("vm1.example.test", kTypeA), "192.168.122.10");
    EXPECT_EQ(ask("notexample.test", kTypeA), "forward");
}

TEST_F(ZoneTest, AZonesSoaIsAnAnswerWhereItIsAskedForAndGoesWithDenialsElsewhere) {
    spec.domain_local = true;
    const auto counts = [&](const std::string& name, std::uint16_t type) {
        const auto reaction = react(dns_query(name, type), Zone(spec), leases, false);
        const auto* const reply = std::get_if<Bytes>(&reaction);
        const auto header = reply == nullptr ? std::nullopt : decode_header(*reply);
        return header
                   ? fmt::format("{} {} {}", static_cast<unsigned>(header->rcode), header->answers, header->authorities)
                   : "none";
    };
    EXPECT_EQ(counts("Example.Test", kTypeSoa), "0 1 0");
    EXPECT_EQ(counts("122.168.192.in-addr.arpa", kTypeSoa), "0 1 0");
    EXPECT_EQ(counts("example.test", kTypeA), "0 0 1");
    EXPECT_EQ(counts("vm1.example.test", kTypeSoa), "0 0 1");
    EXPECT_EQ(counts("nobody.example.test", kTypeSoa), "3 0 1");
}

TEST_F(ZoneTest, ReverseNames) {
    EXPECT_EQ(ask("10.122.168.192.in-addr.arpa", kTypePtr), "PTR vm1.example.test");
    EXPECT_EQ(ask("9.122.168.192.in-addr.arpa", kTypePtr), "PTR db.example.test");
    EXPECT_EQ(ask("9.122.168.192.in-addr.arpa", kTypeA), "NODATA");
    EXPECT_EQ(ask("1.122.168.192.in-addr.arpa", kTypePtr), "PTR host.example.test");
    EXPECT_EQ(ask("5.113.0.203.in-addr.arpa", kTypePtr), "PTR shop.example.com");
    EXPECT_EQ(ask("6.113.0.203.in-addr.arpa", kTypePtr), "forward");
    EXPECT_EQ(ask("0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", kTypePtr),
              "PTR www.example.test");
}

TEST_F(ZoneTest, ReverseNamesOfOurSubnetsAreNeverForwarded) {
    EXPECT_EQ(ask("11.122.168.192.in-addr.arpa", kTypePtr), "NXDOMAIN") << "leased, without a name";
    EXPECT_EQ(ask("200.122.168.192.in-addr.arpa", kTypePtr), "NXDOMAIN");
    EXPECT_EQ(ask("122.168.192.in-addr.arpa", 6), "NODATA");
    EXPECT_EQ(ask("168.192.in-addr.arpa", 6), "NODATA") << "private as a whole";
    EXPECT_EQ(ask("192.in-addr.arpa", 6), "forward");
    spec.subnets[0].server = {"10.0.17.1"_ip, 20};  // ends within an octet
    EXPECT_EQ(ask("9.31.0.10.in-addr.arpa", kTypePtr), "NXDOMAIN");
    EXPECT_EQ(ask("31.0.10.in-addr.arpa", kTypePtr), "NODATA");
    EXPECT_EQ(ask("9.32.0.10.in-addr.arpa", kTypePtr), "NXDOMAIN") << "nobody outside knows private addresses";
    spec.dns.forwarders = {{"10.in-addr.arpa", "198.51.100.1"_ip, 53}};
    EXPECT_EQ(ask("9.32.0.10.in-addr.arpa", kTypePtr), "forward") << "but for a server that is named for them";
    EXPECT_EQ(ask("9.31.0.10.in-addr.arpa", kTypePtr), "NXDOMAIN") << "not of ours";
}

TEST_F(ZoneTest, AGuestCannotTakeANameThatIsWrittenDown) {
    leases.bind(
        {.network = kUuid, .port = kMac3, .address = "192.168.122.12"_ip, .prefix_length = 24, .hostname = "www"},
        kEndOfTime);
    EXPECT_EQ(ask("www", kTypeA), "192.168.122.1");
}

TEST_F(ZoneTest, TextsServicesAndAliases) {
    spec.dns.texts = {{"note", "hello"}, {"_dmarc.example.com", std::string(300, 'x')}, {"note", "two"}};
    spec.dns.services = {
        {.service = "ldap", .protocol = "tcp", .target = "db.example.test", .port = 389, .priority = 1, .weight = 2},
        {.service = "sip", .protocol = "udp", .domain = "example.com"}};
    spec.dns.aliases = {{"ftp", "vm1"}, {"cdn.example.com", "www.example.test"}, {"a1", "a2"}, {"a2", "a1"}};
    EXPECT_EQ(ask("note", kTypeTxt), "TXT 'hello' TXT 'two'");
    EXPECT_EQ(ask("NOTE.example.test", kTypeTxt), "TXT 'hello' TXT 'two'");
    EXPECT_EQ(ask("note.example.test", kTypeA), "NODATA");
    EXPECT_EQ(ask("_dmarc.example.com", kTypeTxt),
              "TXT '" + std::string(255, 'x') + "' '" + std::string(45, 'x') + "'");
    EXPECT_EQ(ask("_ldap._tcp.example.test", kTypeSrv), "SRV 1 2 389 db.example.test");
    EXPECT_EQ(ask("_ldap._tcp", kTypeSrv), "SRV 1 2 389 db.example.test");
    EXPECT_EQ(ask("_sip._udp.example.com", kTypeSrv), "SRV 0 0 0 ");
    EXPECT_EQ(ask("ftp.example.test", kTypeA), "CNAME vm1.example.test 192.168.122.10");
    EXPECT_EQ(ask("ftp", kTypeCname), "CNAME vm1.example.test");
    EXPECT_EQ(ask("cdn.example.com", kTypeAaaa), "CNAME www.example.test fd00:1::80");
    EXPECT_TRUE(ask("a1", kTypeA).starts_with("CNAME a2.example.test CNAME a1.example.test")) << "a circle ends";
}

TEST_F(ZoneTest, AWildcardStandsForWhatNothingIsKnownOf) {  // RFC 4592
    spec.dns_hosts = {{"192.168.122.60"_ip, {"*.apps.test", "apps.test"}}, {"192.168.122.61"_ip, {"own.apps.test"}}};
    spec.dns.aliases = {{"*.cloud.test", "own.apps.test"}};
    EXPECT_EQ(ask("a.apps.test", kTypeA), "192.168.122.60");
    EXPECT_EQ(ask("b.a.apps.test", kTypeA), "192.168.122.60");
    EXPECT_EQ(ask("apps.test", kTypeA), "192.168.122.60");
    EXPECT_EQ(ask("own.apps.test", kTypeA), "192.168.122.61");
    EXPECT_EQ(ask("a.apps.test", kTypeAaaa), "NODATA");
    EXPECT_EQ(ask("a.cloud.test", kTypeA), "CNAME own.apps.test 192.168.122.61");
    EXPECT_EQ(ask("a.cloud.test", kTypeCname), "CNAME own.apps.test");
    EXPECT_EQ(ask("other.test", kTypeA), "forward");
    EXPECT_EQ(ask("60.122.168.192.in-addr.arpa", kTypePtr), "NXDOMAIN");  // no name of an address
    EXPECT_EQ(ask("61.122.168.192.in-addr.arpa", kTypePtr), "PTR own.apps.test");
}

TEST_F(ZoneTest, TheInventorySaysWhoIsCalledWhat) {
    Zone zone(spec);
    const auto answer = [&](const char* name, std::uint16_t type) {
        const auto out = zone.answer(*decode_query(dns_query(name, type)), leases);
        return !out                             ? "forward"
               : out->rcode == Rcode::nx_domain ? "NXDOMAIN"
               : out->records.empty()           ? "NODATA"
                                                : said(out->records.front());
    };
    zone.set_guest(kMac2, "Web 1");
    zone.set_guest(kReserved, "store");
    EXPECT_EQ(answer("web-1.example.test", kTypeA), "192.168.122.11");
    EXPECT_EQ(answer("11.122.168.192.in-addr.arpa", kTypePtr), "PTR web-1.example.test");
    EXPECT_EQ(answer("store", kTypeA), "192.168.122.9") << "by its reservation, not running";
    zone.set_guest(kMac2, "shop");
    EXPECT_EQ(answer("web-1", kTypeA), "NXDOMAIN") << "renamed";
    EXPECT_EQ(answer("shop", kTypeA), "192.168.122.11");
    EXPECT_EQ(answer("11.122.168.192.in-addr.arpa", kTypePtr), "PTR shop.example.test");
    zone.set_guest(kMac1, "alpha");
    EXPECT_EQ(answer("10.122.168.192.in-addr.arpa", kTypePtr), "PTR alpha.example.test") << "whatever it calls itself";
    EXPECT_EQ(answer("vm1", kTypeA), "192.168.122.10") << "which still finds it";
    zone.set_guest(kMac3, "vm1");
    EXPECT_EQ(answer("vm1", kTypeA), "NODATA") << "unless another guest is called so";
    zone.set_guest(kMac2, "");
    EXPECT_EQ(answer("shop", kTypeA), "NXDOMAIN");
    EXPECT_EQ(answer("11.122.168.192.in-addr.arpa", kTypePtr), "NXDOMAIN");
}

TEST_F(ZoneTest, BothFamiliesOfAGuestHaveItsName) {
    LeaseTable6 six;
    six.bind({.network = kUuid, .port = kMac2, .address = "fd00:1::10"_ip, .prefix_length = 128, .iaid = 1},
             kEndOfTime);
    six.bind({.network = kUuid,
              .port = kMac3,
              .address = "fd00:1::11"_ip,
              .prefix_length = 128,
              .hostname = "six",
              .iaid = 1},
             kEndOfTime);
    Lease prefix{.network = kUuid, .port = kMac2, .address = "fd00:2::"_ip, .prefix_length = 64};
    prefix.iaid = 2;
    prefix.delegated = true;
    six.bind(prefix, kEndOfTime);
    Zone zone(spec);
    zone.set_guest(kMac2, "web");
    const auto answers = [&](const char* name, std::uint16_t type) {
        std::string text;
        const auto answer = zone.answer(*decode_query(dns_query(name, type)), {leases, &six});
        for (const Record& record : answer->records) {
            text += said(record) + " ";
        }
        return text;
    };
    EXPECT_EQ(answers("web", kTypeAaaa), "fd00:1::10 ");
    EXPECT_EQ(answers("web.example.test", kTypeAny), "192.168.122.11 fd00:1::10 ");
    EXPECT_EQ(answers("six", kTypeAaaa), "fd00:1::11 ");
    const std::string zeros = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa";
    EXPECT_EQ(answers(("0.1." + zeros).c_str(), kTypePtr), "PTR web.example.test ");
    EXPECT_EQ(answers(("1.1." + zeros).c_str(), kTypePtr), "PTR six.example.test ");
}

TEST_F(ZoneTest, PlainNamesAndSpecialOnes) {
    EXPECT_EQ(ask("localhost", kTypeA), "127.0.0.1");
    EXPECT_EQ(ask("x.localhost", kTypeAaaa), "::1");
    EXPECT_EQ(ask("abc.onion", kTypeA), "NXDOMAIN");
    EXPECT_EQ(ask("x.invalid", kTypeA), "NXDOMAIN");
    EXPECT_EQ(ask("_dns.resolver.arpa", 64), "NXDOMAIN");
    EXPECT_EQ(ask("nobody", kTypeTxt), "forward");
    spec.dns.forward_plain_names = false;
    EXPECT_EQ(ask("nobody", kTypeTxt), "NXDOMAIN");
    spec.dns.forward_plain_names = true;
    EXPECT_EQ(ask("nobody", kTypeA), "forward");
    EXPECT_EQ(ask("vm1", kTypeA), "192.168.122.10");
}

TEST_F(ZoneTest, AForwarderOpensWhatIsClosed) {
    spec.forward_dns = false;
    spec.domain_local = true;
    spec.dns.forwarders = {{"sub.example.test", "198.51.100.1"_ip, 53}};
    const auto rcode = [&](const char* name) {
        const Reaction r = react(dns_query(name, kTypeA), Zone(spec), leases, false);
        const Bytes* const reply = std::get_if<Bytes>(&r);
        return reply == nullptr ? -1 : static_cast<int>(decode_header(*reply)->rcode);
    };
    EXPECT_EQ(rcode("a.sub.example.test"), -1);
    EXPECT_EQ(rcode("a.example.test"), 3);
    EXPECT_EQ(rcode("example.org"), 5);
}

TEST_F(ZoneTest, Reactions) {
    const auto rcode = [&](const Bytes& datagram, bool from_host = false) {
        const Reaction r = react(datagram, Zone(spec), leases, from_host);
        if (std::holds_alternative<Forward>(r)) {
            return std::string("forward");
        }
        const Bytes* const reply = std::get_if<Bytes>(&r);
        return reply == nullptr ? "ignore" : std::to_string(static_cast<int>(decode_header(*reply)->rcode));
    };
    EXPECT_EQ(rcode(dns_query("vm1", kTypeA)), "0");
    EXPECT_EQ(rcode(dns_query("example.org", kTypeA)), "forward");
    EXPECT_EQ(rcode({}), "ignore");
    EXPECT_EQ(rcode(with(dns_query("vm1", kTypeA), 2, 0x80)), "ignore") << "a response nobody asked for";
    EXPECT_EQ(rcode(with(dns_query("vm1", kTypeA), 5, 3)), "1");
    EXPECT_EQ(rcode(with(dns_query("vm1", kTypeA), 2, 0x20)), "4") << "NOTIFY";
    Bytes chaos = dns_query("version.bind", 16);
    chaos.back() = std::byte{3};
    EXPECT_EQ(rcode(chaos), "5");
    EXPECT_EQ(rcode(dns_query("example.test", kTypeAxfr)), "5");
    EXPECT_EQ(rcode(dns_query("example.test", kTypeTkey)), "4");
    EXPECT_EQ(rcode(dns_query("", kTypeOpt)), "1");
    EXPECT_EQ(rcode(dns_query("nobody.example.test", kTypeA), true), "3") << "the host's resolver asked us back";
    EXPECT_EQ(rcode(dns_query("example.org", kTypeA), true), "forward");
    spec.forward_dns = false;
    EXPECT_EQ(rcode(dns_query("example.org", kTypeA)), "5");
    EXPECT_EQ(rcode(dns_query("vm1", kTypeA)), "0");
}

TEST_F(ZoneTest, AnUnknownEdnsVersionIsToldSo) {
    Bytes query = dns_query("vm1", kTypeA, 1, 1232);
    query[query.size() - 5] = std::byte{1};
    const Reaction r = react(query, Zone(spec), leases, false);
    const Bytes& reply = std::get<Bytes>(r);
    EXPECT_EQ(decode_header(reply)->answers, 0);
    EXPECT_EQ(reply[reply.size() - 6], std::byte{1}) << "BADVERS' upper bits";
}

}  // namespace
}  // namespace bascule::dhcp
