// SPDX-License-Identifier: GPL-2.0-or-later
// Any bytes are decoded as DHCPv6 or refused; what was decoded encodes to what decodes to the same. The server answers
// it or not, within bounds. Frames and router solicitations take the same bytes.
#include <cstdlib>

#include "dhcp/advertiser.h"
#include "dhcp/frame.h"
#include "dhcp/server6.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

const Spec& network() {
    static const Spec spec = [] {
        Spec out{.uuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11"),
                 .network = "fuzz",
                 .bridge = *IfName::parse("br0")};
        Subnet subnet{.server = {*parse_ip("2001:db8::1"), 64}};
        subnet.ranges = {{*parse_ip("2001:db8::2"), *parse_ip("2001:db8::9")}};
        subnet.delegations = {{*parse_prefix("2001:db8:100::/60"), 64}};
        out.subnets = {subnet};
        return out;
    }();
    return spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const ByteView bytes = std::as_bytes(std::span(data, size));
    if (const auto frame = parse_frame6(bytes)) {
        expect(frame->payload.size() < size);
    }
    (void)parse_arp(bytes);
    (void)decode_solicitation(bytes, 255, Ip::v6({}));
    const auto packet = decode6(bytes);
    if (!packet) {
        expect(!packet.error().message.empty());
        return 0;
    }
    const bool server = packet->message.type == Type6::advertise || packet->message.type == Type6::reply;
    if (server && !packet->relays.empty()) {
        return 0;  // would be encoded for relays, who alone take it
    }
    const auto again = decode6(encode6(*packet));
    expect(again.has_value() && *again == *packet);
    Server6 six;
    six.configure(network());
    Packet6 to_us = *packet;
    if (!to_us.message.server_id.empty()) {
        to_us.message.server_id = six.duid();
    }
    const Now now{Time(std::chrono::seconds(1)), std::chrono::sys_seconds(std::chrono::seconds(1))};
    const Outcome6 out = six.handle(to_us, MacAddr{{2, 0, 0, 0, 0, 1}}, Presence(), now);
    for (const LeaseEvent& event : out.events) {
        const auto replayed =
            journal::replay(network().uuid, journal::header(network().uuid) + journal::line_for(event));
        expect(replayed.has_value() && replayed->clean());
    }
    expect(six.leases().active() <= Server6::kMostPerPort);
    if (out.reply) {
        expect(encode6(*out.reply).size() < 65536);
    }
    return 0;
}
