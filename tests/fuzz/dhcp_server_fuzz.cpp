// SPDX-License-Identifier: GPL-2.0-or-later
// The input is a script of what clients send, how time passes, crashes and edits. Whatever it is: one address never
// has two clients, nobody gets an address that is not a guest's, and the journal brings back what was acknowledged.
#include <cstdlib>
#include <map>

#include "dhcp/journal.h"
#include "dhcp/server.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

const Uuid kUuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11");
constexpr std::uint32_t kNet = 0x0a000000;  // 10.0.0.0/28: .1 is ours

Spec network(std::uint8_t variant, bool by_id) {
    Spec spec{.uuid = kUuid, .network = "fuzz", .bridge = *IfName::parse("br0")};
    Subnet subnet{.server = {Ip::v4(kNet + 1), 28}};
    subnet.ranges = {{Ip::v4(kNet + variant % 4), Ip::v4(kNet + 6 + variant % 16)}};
    if (variant % 5 == 1) {
        subnet.ranges.push_back({.first = Ip::v4(kNet + 5), .last = Ip::v4(kNet + 7), .circuit_id = {2}});
    }
    subnet.hosts = {{MacAddr{{2, 0, 0, 0, 0, 0}}, "r", Ip::v4(kNet + 2 + variant % 8)},
                    {std::nullopt, "n", Ip::v4(kNet + 9)},
                    {.address = Ip::v4(kNet + 10), .circuit_id = {1}}};
    subnet.lease = std::chrono::seconds(variant % 3 == 0 ? 0 : 600);
    spec.subnets = {subnet};
    spec.key_by_client_id = by_id;
    return spec;
}

class Script {
public:
    explicit Script(ByteView bytes)
        : in_(bytes), by_id_((in_.u8() & 1) != 0), server_(network(0, by_id_)), file_(journal::header(kUuid)) {}

    void run() {
        while (in_.left() > 0) {
            const std::uint8_t what = in_.u8();
            if (what < 230) {
                message(what);
            } else if (what < 240) {
                time_ += in_.u16();
                journal_all(server_.tick(now()));
            } else if (what < 246) {
                crash();
            } else if (what < 250) {
                server_.configure(network(in_.u8(), by_id_));
            } else {
                journal_all(server_.revoke(mac()));
            }
        }
    }

private:
    Now now() const {
        return {Time(std::chrono::seconds(time_)), std::chrono::sys_seconds(std::chrono::seconds(1'000'000 + time_))};
    }
    MacAddr mac() { return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(in_.u8() % 12)}}; }
    Ip address() { return Ip::v4(kNet + in_.u8() % 20); }

    void message(std::uint8_t what) {
        Message m;
        m.type = static_cast<MessageType>(what % 9);
        m.chaddr = mac();
        const std::uint8_t parts = in_.u8();
        m.broadcast = (parts & 1) != 0;
        if ((parts & 2) != 0) {
            m.ciaddr = address();
        }
        if ((parts & 4) != 0) {
            m.options.put_ip(Opt::requested_ip, address());
        }
        if ((parts & 8) != 0) {
            m.options.put_ip(Opt::server_id, (parts & 128) != 0 ? address() : Ip::v4(kNet + 1));
        }
        if ((parts & 16) != 0) {
            const std::uint8_t letter = in_.u8();
            m.options.put(Opt::hostname, ByteView(reinterpret_cast<const std::byte*>(&letter), 1));
        }
        if ((parts & 32) != 0) {
            m.options.put_u32(Opt::lease_time, in_.u16());
        }
        if ((parts & 64) != 0) {
            m.options.put(Opt::client_id, in_.take(in_.u8() % 32));
        }
        if (what >= 216) {
            m.giaddr = address();
            m.options.put(Opt::relay_info, in_.take(in_.u8() % 8));
        }
        const ClientKey client = key_of(m.chaddr, as_text(m.options.bytes(Opt::client_id)), by_id_);
        const Outcome out = server_.handle(m, (what & 128) != 0, now());
        journal_all(out.events);
        if (out.reply) {
            (void)encode(*out.reply, size_limit(m));
            check(m, client, out);
        }
    }

    void check(const Message& m, const ClientKey& client, const Outcome& out) {
        const Ip given = out.reply->yiaddr;
        const bool bootp = out.reply->type == MessageType::bootp;
        if (!bootp && (out.reply->type != MessageType::ack || m.type != MessageType::request)) {
            return;
        }
        expect(given.v4_value() > kNet + 1 && given.v4_value() < kNet + 15);
        const auto holder = held_.find(given);
        expect(holder == held_.end() || holder->second.first == client || holder->second.second <= time_);
        gone(client);
        const std::uint32_t length = bootp ? 0xffffffff : *out.reply->options.u32(Opt::lease_time);
        held_[given] = {client, length == 0xffffffff ? INT64_MAX : time_ + length};
    }

    void gone(const ClientKey& who) {
        std::erase_if(held_, [&](const auto& entry) { return entry.second.first == who; });
    }

    void journal_all(const std::vector<LeaseEvent>& events) {
        for (const LeaseEvent& event : events) {
            file_ += journal::line_for(event);
            if (event.kind == LeaseEventKind::released) {
                gone(client_of(event.lease));
            }
        }
    }

    void crash() {
        const auto replay = journal::replay(kUuid, file_);
        expect(replay && replay->clean());
        Server again(Spec(server_.spec()));
        again.restore(replay->records, now());
        for (const auto& [held, who] : held_) {
            const Binding* const binding = again.leases().by_address(held);
            expect(who.second <= time_ ||
                   (binding != nullptr && binding->active && client_of(binding->lease) == who.first));
        }
        file_ = journal::snapshot(kUuid, again.leases(), now());
        server_ = std::move(again);
    }

    ByteReader in_;
    bool by_id_;  // RFC 4361
    Server server_;
    std::string file_;
    std::int64_t time_ = 1000;
    std::map<Ip, std::pair<ClientKey, std::int64_t>> held_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    Script(std::as_bytes(std::span(data, size))).run();
    return 0;
}
