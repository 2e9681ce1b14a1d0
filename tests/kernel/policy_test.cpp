// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/policy.h"

#include <gtest/gtest.h>

namespace bascule::kernel::policy {
namespace {

using namespace literals;

Packet with(std::initializer_list<std::pair<Field, Value>> fields) {
    Packet packet;
    for (const auto& [field, value] : fields) {
        packet.set(field, value);
    }
    return packet;
}

Value number(Field field, std::uint32_t value) { return Value::of(field, value); }

Decision decide(Action action, std::vector<Condition> when = {}, std::size_t section = 0) {
    return {std::move(when), action, section, "r"};
}

TEST(PolicyValues, OfOneFieldSortAsNumbers) {
    EXPECT_LT(number(Field::dst_port, 80), number(Field::dst_port, 8080));
    EXPECT_EQ(number(Field::dst_port, 8080).number(Field::dst_port), 8080U);
    EXPECT_LT(Value::of("10.0.0.9"_ip), Value::of("10.0.1.0"_ip));
    EXPECT_EQ(Value::ones(Field::ip4_dscp), number(Field::ip4_dscp, 63));
    EXPECT_EQ(format(Field::eth_type, number(Field::eth_type, 0x800)), "0x0800");
    EXPECT_EQ(format(Field::arp_src_ip, Value::of("10.0.0.9"_ip)), "10.0.0.9");
}

TEST(PolicyConditions, AboutAbsentFieldsAreFalseNegatedOrNot) {
    Condition own = equals(Field::ip4_src, Value::of("10.0.0.1"_ip));
    const Packet none, other = with({{Field::ip4_src, Value::of("10.0.0.2"_ip)}});
    EXPECT_FALSE(holds(own, none, {}));
    EXPECT_FALSE(holds(own, other, {}));
    own.negated = true;
    EXPECT_FALSE(holds(own, none, {}));
    EXPECT_TRUE(holds(own, other, {}));
}

TEST(PolicyConditions, MasksIntervalsTablesAndEqualFields) {
    const Packet packet = with({{Field::ip4_src, Value::of("10.1.2.3"_ip)},
                                {Field::dst_port, number(Field::dst_port, 80)},
                                {Field::arp_src_ip, Value::of("10.0.0.1"_ip)},
                                {Field::arp_dst_ip, Value::of("10.0.0.1"_ip)}});
    const Value net = Value::of("10.1.0.0"_ip);
    EXPECT_TRUE(holds({Among{Field::ip4_src, Value::of("255.255.0.0"_ip), {{net, net}}}, false}, packet, {}));
    const Among ports{Field::dst_port,
                      Value::ones(Field::dst_port),
                      {{number(Field::dst_port, 20), number(Field::dst_port, 22)},
                       {number(Field::dst_port, 80), number(Field::dst_port, 90)}}};
    EXPECT_TRUE(holds({ports, false}, packet, {}));
    const Listed listed{{Field::ip4_src, Field::dst_port}, "t"};
    const Tables tables{{"t", {{Value::of("10.1.2.3"_ip), number(Field::dst_port, 80)}}}};
    EXPECT_TRUE(holds({listed, false}, packet, tables));
    EXPECT_FALSE(holds({listed, false}, packet, {}));
    EXPECT_TRUE(holds({listed, true}, packet, {}));
    EXPECT_TRUE(holds({Same{Field::arp_src_ip, Field::arp_dst_ip}, false}, packet, {}));
    EXPECT_FALSE(holds({Same{Field::arp_src_ip, Field::arp_dst_ip}, true}, packet, {}));
}

TEST(PolicyEvaluation, LeavingASectionGoesOnBehindIt) {
    const Policy policy{{{"root", {decide(Action::enter, {}, 1), decide(Action::drop)}},
                         {"sub", {decide(Action::leave), decide(Action::accept)}}},
                        {0}};
    EXPECT_FALSE(evaluate(policy, {}, {}).pass);
}

TEST(PolicyEvaluation, AnAcceptEndsItsLayerOnlyAndADropAll) {
    Policy policy{{{"first", {decide(Action::accept), decide(Action::drop)}}, {"second", {decide(Action::drop)}}}, {0}};
    EXPECT_TRUE(evaluate(policy, {}, {}).pass);
    policy.layers = {0, 1};
    const Outcome outcome = evaluate(policy, {}, {});
    EXPECT_FALSE(outcome.pass);
    EXPECT_EQ(outcome.by, &policy.sections[1].decisions[0]);
}

TEST(PolicyEvaluation, WhatNothingDecidesPasses) {
    const Policy policy{{{"root", {decide(Action::next), decide(Action::leave), decide(Action::drop)}}}, {0}};
    const Outcome outcome = evaluate(policy, {}, {});
    EXPECT_TRUE(outcome.pass);
    EXPECT_EQ(outcome.by, nullptr);
}

TEST(PolicyDump, IsReadable) {
    const Policy policy{
        {{"root",
          {decide(Action::enter, {equals(Field::protocol, number(Field::protocol, 0x0806))}, 1), decide(Action::drop)}},
         {"arp", {decide(Action::leave, {{Listed{{Field::eth_src, Field::arp_src_ip}, "t"}, true}})}}},
        {0}};
    EXPECT_EQ(dump(policy),
              "layer root:\n"
              "  if protocol = 0x0806: enter arp  # r\n"
              "  drop  # r\n"
              "arp:\n"
              "  if eth.src . arp.src_ip != @t: leave  # r\n");
}

Bytes frame(std::initializer_list<unsigned> head, std::size_t size = 80) {
    Bytes out(12);
    for (const unsigned byte : head) {
        out.push_back(static_cast<std::byte>(byte));
    }
    out.resize(std::max(size, out.size()));
    return out;
}

TEST(PacketDecoding, SeesBehindOneTagOnly) {
    const Packet one = Packet::decode(frame({0x81, 0, 0, 5, 0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17}));
    EXPECT_EQ(one.get(Field::eth_type)->number(Field::eth_type), 0x8100U);
    EXPECT_EQ(one.get(Field::protocol)->number(Field::protocol), 0x0800U);
    EXPECT_TRUE(one.get(Field::ip4_src));
    EXPECT_TRUE(one.get(Field::dst_port));
    const Packet two = Packet::decode(frame({0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x08, 0x00, 0x45}));
    EXPECT_EQ(two.get(Field::protocol)->number(Field::protocol), 0x8100U);
    EXPECT_FALSE(two.get(Field::ip4_src));
}

TEST(PacketDecoding, LaterFragmentsAndLyingHeadersHaveNoPorts) {
    const auto ports = [](std::initializer_list<unsigned> head, std::size_t size = 80) {
        return Packet::decode(frame(head, size)).get(Field::src_port).has_value();
    };
    EXPECT_TRUE(ports({8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17}));
    EXPECT_TRUE(ports({8, 0, 0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 17}));   // the first fragment
    EXPECT_FALSE(ports({8, 0, 0x45, 0, 0, 28, 0, 0, 0x00, 1, 64, 17}));  // a later one
    EXPECT_FALSE(ports({8, 0, 0x55, 0, 0, 28, 0, 0, 0, 0, 64, 17}));     // version 5
    EXPECT_FALSE(ports({8, 0, 0x44, 0, 0, 28, 0, 0, 0, 0, 64, 17}));     // a header of 16 bytes
    EXPECT_FALSE(ports({8, 0, 0x45, 0, 0, 200, 0, 0, 0, 0, 64, 17}));    // longer than the frame
    EXPECT_FALSE(ports({8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1}));      // ICMP
}

TEST(PacketDecoding, AddressesOfArpExistForEthernetAndIpv4Only) {
    const auto sender = [](std::initializer_list<unsigned> head) {
        return Packet::decode(frame(head)).get(Field::arp_src_ip).has_value();
    };
    EXPECT_TRUE(sender({8, 6, 0, 1, 8, 0, 6, 4, 0, 1}));
    EXPECT_TRUE(sender({0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3}));
    EXPECT_FALSE(sender({8, 6, 0, 6, 8, 0, 6, 4, 0, 1}));
    EXPECT_FALSE(sender({8, 6, 0, 1, 8, 0, 8, 4, 0, 1}));
    EXPECT_FALSE(sender({8, 6, 0, 1, 8, 0, 6, 16, 0, 1}));
}

TEST(PacketDecoding, AnyPrefixOfAFrameIsFine) {
    const Bytes whole = frame({0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 60, 64}, 120);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        static_cast<void>(Packet::decode(ByteView(whole).first(size)));
    }
}

}  // namespace
}  // namespace bascule::kernel::policy
