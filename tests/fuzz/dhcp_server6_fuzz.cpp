// SPDX-License-Identifier: GPL-2.0-or-later
// The input is a script of what DHCPv6 clients send, how time passes and crashes. Whatever it is: one address or prefix
// never has two clients, and the journal brings back what was acknowledged.
#include <cstdlib>
#include <map>

#include "dhcp/server6.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

const Ip kFirst = *parse_ip("2001:db8::");

Spec network(std::uint8_t variant) {
    Spec spec{.uuid = *Uuid::parse("5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d1c11"),
              .network = "fuzz",
              .bridge = *IfName::parse("br0")};
    Subnet subnet{.server = {kFirst.plus(1), 64}};
    subnet.ranges = {{kFirst.plus(2), kFirst.plus(4 + variant % 8U)}};
    subnet.hosts = {{.mac = MacAddr{{2, 0, 0, 0, 0, 0}}, .name = "r", .address = kFirst.plus(3 + variant % 6U)},
                    {.address = kFirst.plus(20), .client_id = {0, 4, 1}}};
    subnet.delegations = {{*parse_prefix("2001:db8:100::/62"), 64}};
    subnet.lease = std::chrono::seconds(variant % 3 == 0 ? 0 : 600);
    spec.subnets = {subnet};
    return spec;
}

class Script {
public:
    explicit Script(ByteView bytes) : in_(bytes), spec_(network(0)), file_(journal::header(spec_.uuid)) {
        server_.configure(spec_);
    }

    void run() {
        while (in_.left() > 0) {
            const std::uint8_t what = in_.u8();
            if (what < 230) {
                message(what);
            } else if (what < 240) {
                time_ += in_.u16();
                keep(server_.tick(now()));
            } else if (what < 246) {
                crash();
            } else if (what < 250) {
                spec_ = network(in_.u8());
                server_.configure(spec_);
            } else {
                keep(server_.revoke(mac()));
            }
        }
    }

private:
    Now now() const {
        return {Time(std::chrono::seconds(time_)), std::chrono::sys_seconds(std::chrono::seconds(1'000'000 + time_))};
    }
    MacAddr mac() { return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(in_.u8() % 6)}}; }

    void message(std::uint8_t what) {
        Packet6 packet;
        Message6& m = packet.message;
        m.type = static_cast<Type6>(1 + what % 11);
        const MacAddr port = mac();
        const std::uint8_t parts = in_.u8();
        m.client_id = {std::byte{0}, std::byte{4}, static_cast<std::byte>(parts & 3)};
        if ((parts & 4) != 0) {
            m.server_id = server_.duid();
        }
        m.rapid_commit = (parts & 8) != 0;
        for (unsigned i = 0; i < (parts >> 4U & 3U); ++i) {
            const std::uint8_t shape = in_.u8();
            Ia ia{.prefixes = (shape & 1) != 0, .iaid = shape >> 1U & 3U};
            if ((shape & 8) != 0) {
                const std::uint8_t which = in_.u8();
                ia.addresses.push_back(ia.prefixes ? IaAddress{.address = *parse_ip("2001:db8:100::"), .length = 64}
                                                   : IaAddress{.address = kFirst.plus(which % 24)});
            }
            m.ias.push_back(ia);
        }
        const Outcome6 out = server_.handle(packet, port, Presence(), now());
        keep(out.events);
    }

    void keep(const std::vector<LeaseEvent>& events) {
        for (const LeaseEvent& event : events) {
            file_ += journal::line_for(event);
            const bool over = event.kind == LeaseEventKind::released || event.kind == LeaseEventKind::expired;
            const auto held = held_.find(event.lease.address);
            if (over) {
                expect(held != held_.end() && held->second == key_of(event.lease));
                held_.erase(held);
            } else {
                expect(held == held_.end() || held->second == key_of(event.lease));
                held_[event.lease.address] = key_of(event.lease);
            }
        }
        expect(held_.size() == server_.leases().active());
    }

    // What was on the disk is all there is.
    void crash() {
        const auto replay = journal::replay(spec_.uuid, file_);
        expect(replay.has_value() && replay->clean());
        server_ = Server6();
        server_.configure(spec_);
        server_.restore(replay->records, now());
        held_.clear();
        for (const auto& [address, binding] : server_.leases().all()) {
            if (binding.active) {
                held_[address] = key_of(binding.lease);
            }
        }
    }

    ByteReader in_;
    Spec spec_;
    Server6 server_;
    std::string file_;
    std::int64_t time_ = 1;
    std::map<Ip, Key6> held_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    Script(std::as_bytes(std::span(data, size))).run();
    return 0;
}
