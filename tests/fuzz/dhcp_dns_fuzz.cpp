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
    spec.dns.texts = {{"d", std::string(400, 'x')}};
    spec.dns.services = {{.service = "e", .protocol = "tcp", .target = "a.t", .port = 1}};
    spec.dns.aliases = {{"f", "a"}, {"g", "h"}, {"h", "g"}, {"j", "k.l.m"}};
    spec.dns.guests = {{MacAddr{{2, 0, 0, 0, 0, 1}}, "i"}};
    return spec;
}

// Whatever comes back, nobody hears more than he takes, or anything but an answer to his own question.
void check(const Forwarder::Step& step, const Query& query) {
    for (const auto& deliver : step.deliver) {
        const auto header = decode_header(deliver.datagram);
        const ByteView question = ByteView(deliver.datagram).subspan(12, query.question.size());
        expect(deliver.datagram.size() <= query.size_limit());
        expect(header && header->response && header->id == query.header.id && header->questions == 1);
        expect(std::ranges::equal(question, query.question));
    }
}

void ask_others(const Query& query, ByteView answer) {
    std::uint32_t seed = 1;
    Forwarder forwarder([&] { return seed = seed * 1103515245 + 12345; });
    const wire::Resolver upstream{Ip::v4(0xc6336401), 53};
    forwarder.configure({upstream}, 4, 0);
    const Forwarder::Client client{.network = network().uuid, .socket = 0, .address = Ip::v4(0x0a000009), .port = 1024};
    auto step = forwarder.ask(client, query, Time());
    expect(step.send.size() == 1 && step.deliver.empty());
    // With the right id and spelling the rest decides, by UDP and, when it comes to that, by TCP.
    for (int i = 0; i < 6 && step.send.size() == 1; ++i) {
        const auto sent = step.send[0];
        Bytes reply(answer.begin(), answer.end());
        std::copy_n(sent.datagram.begin(), std::min<std::size_t>(2, reply.size()), reply.begin());
        if (reply.size() >= 12 + query.question.size()) {
            std::copy_n(sent.datagram.begin() + 12, query.question.size(), reply.begin() + 12);
        }
        step = forwarder.reply(sent.socket, upstream, reply, Time());
        check(step, query);
    }
    for (int i = 0; i < 8 && forwarder.outstanding() > 0; ++i) {
        check(forwarder.tick(forwarder.next_tick()), query);
    }
    expect(forwarder.outstanding() == 0 && forwarder.cache().bytes() <= Forwarder::kCacheBytes);
    check(forwarder.ask(client, query, Time() + std::chrono::seconds(1)), query);
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
        ask_others(forward->query, answer);
    }
    return 0;
}
