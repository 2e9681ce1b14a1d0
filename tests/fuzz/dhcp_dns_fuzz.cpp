// SPDX-License-Identifier: GPL-2.0-or-later
// The input is a guest's datagram, and, after a separator, what an upstream sends back to it. Replies stay within what
// the client takes, nothing is delivered unasked, and no answer is longer than its bound.
#include <algorithm>
#include <cstdlib>

#include "dhcp/forwarder.h"
#include "dhcp/zone.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

Spec network() {
    Spec spec{.uuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11"),
              .network = "fuzz",
              .bridge = *IfName::parse("br0")};
    Subnet subnet{.server = {Ip::v4(0x0a000001), 20}};
    subnet.hosts = {{MacAddr{{2, 0, 0, 0, 0, 1}}, "a", Ip::v4(0x0a000002)}};
    spec.subnets = {subnet};
    spec.domain = "t";
    spec.dns_hosts = {{Ip::v4(0x0a000003), {"b", "c.t"}}};
    return spec;
}

void ask_others(const Query& query, ByteView datagram, ByteView answer) {
    std::uint32_t seed = 1;
    Forwarder forwarder([&] { return seed = seed * 1103515245 + 12345; });
    const wire::Resolver upstream{Ip::v4(0xc6336401), 53};
    forwarder.configure({upstream}, 4, 0);
    const Forwarder::Client client{network().uuid, 0, Ip::v4(0x0a000009), 1024};
    const auto step = forwarder.ask(client, query, datagram, Time());
    expect(step.send.size() == 1 && step.deliver.empty());
    expect(forwarder.reply(step.send[0].socket, upstream, datagram, Time()).deliver.empty());
    // With the right id the rest decides.
    Bytes reply(answer.begin(), answer.end());
    std::copy_n(step.send[0].datagram.begin(), std::min<std::size_t>(2, reply.size()), reply.begin());
    const auto back = forwarder.reply(step.send[0].socket, upstream, reply, Time());
    for (const auto& deliver : back.deliver) {
        expect(deliver.datagram.size() <= query.size_limit());
        expect(answers_question(deliver.datagram, query.question));
        expect(decode_header(deliver.datagram)->id == query.header.id);
    }
    for (int i = 0; i < 5; ++i) {
        for (const auto& deliver : forwarder.tick(forwarder.next_tick()).deliver) {
            expect(decode_header(deliver.datagram)->rcode == Rcode::serv_fail);
        }
    }
    expect(forwarder.outstanding() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    static const Zone zone{network()};
    static const LeaseTable leases;
    const ByteView all = std::as_bytes(std::span(data, size));
    const std::string_view text = as_text(all);
    const std::size_t cut = std::min(text.find("----"), text.size());
    const ByteView datagram = all.first(cut), answer = all.subspan(std::min(cut + 4, size));
    const Reaction reaction = react(datagram, zone, leases, false);
    if (const auto* reply = std::get_if<Bytes>(&reaction)) {
        const auto query = decode_query(datagram);
        expect(reply->size() <= (query ? query->size_limit() : 512));
        expect(decode_header(*reply) && decode_header(*reply)->response);
    } else if (const auto* forward = std::get_if<Forward>(&reaction)) {
        ask_others(forward->query, datagram, answer);
    }
    return 0;
}
