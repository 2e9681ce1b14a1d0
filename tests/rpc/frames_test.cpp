// SPDX-License-Identifier: GPL-2.0-or-later
// The tables against packets of real clients and daemons.
#include <gtest/gtest.h>

#include <algorithm>

#include "rpc/proto_types.h"
#include "rpc/recode.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

struct Hole {
    std::int64_t length{};
    std::uint32_t flags{};
    template <class A, class T>
    static void fields(A& a, T& t) {
        a(t.length);
        a(t.flags);
    }
};

std::size_t announced_fds(const Bytes& packet) {
    ByteReader in(packet);
    in.skip(16);
    const std::uint32_t type = in.u32();
    in.skip(8);
    return type == 4 || type == 5 ? in.u32() : 0;
}

Frame read_one(FrameReader& reader, const Bytes& packet) {
    const std::size_t fds = announced_fds(packet);
    reader.append(packet);
    reader.append(Bytes(fds), some_fds(fds));
    const auto header = reader.peek();
    EXPECT_TRUE(header && *header);
    return reader.take();
}

template <class T>
Result<Bytes> recode_struct(ByteView payload) {
    ByteReader in(payload);
    ByteWriter out;
    if (detail::recode_as<T>(in, out) != detail::Outcome::done) {
        return fail(Code::malformed, "does not decode");
    }
    return out.take();
}

// By what the packet's header says it is.
Result<Bytes> recode_payload(const Header& header, ByteView payload) {
    if (header.type == MessageType::stream) {
        return Bytes(payload.begin(), payload.end());
    }
    if (header.type == MessageType::stream_hole) {
        return recode_struct<Hole>(payload);
    }
    if (header.status == Status::error) {
        return recode_struct<proto::Error>(payload);
    }
    const ProcedureInfo* info = find_procedure(header.program, header.procedure);
    if (info == nullptr) {
        return fail(Code::malformed, "unknown procedure");
    }
    const bool is_call = header.type == MessageType::call || header.type == MessageType::call_with_fds;
    return recode(*info, is_call ? Part::args : Part::ret, payload);
}

TEST(CapturedPackets, AllDecodeAndEncodeToTheSameBytes) {
    const auto packets = captured_packets();
    ASSERT_EQ(packets.size(), 470u);
    std::vector<std::string> differ;
    for (const Captured& packet : packets) {
        FrameReader reader;
        const Frame frame = read_one(reader, packet.bytes);
        const auto payload = recode_payload(frame.header, frame.payload);
        ASSERT_TRUE(payload) << packet.what << ": " << payload.error().message;
        const bool with_fds =
            frame.header.type == MessageType::call_with_fds || frame.header.type == MessageType::reply_with_fds;
        const std::optional<std::uint32_t> count =
            with_fds ? std::optional(static_cast<std::uint32_t>(frame.fds.size())) : std::nullopt;
        if (encode_packet(frame.header, *payload, count) != packet.bytes) {
            differ.push_back(packet.what);
        }
    }
    // go-libvirt writes the marker of a present string as 01 00 00 00, where XDR wants 00 00 00 01. It reads as
    // present, and we write what XDR says.
    EXPECT_EQ(differ, std::vector<std::string>{"go-libvirt session, client, call connect-open"});
}

TEST(CapturedPackets, ArriveTheSameByteByByte) {
    FrameReader reader;
    for (const Captured& packet : captured_packets()) {
        const std::size_t fds = announced_fds(packet.bytes);
        for (const std::byte b : packet.bytes) {
            const auto early = reader.peek();
            ASSERT_TRUE(early) << early.error().message;
            ASSERT_FALSE(*early) << packet.what;
            reader.append(ByteView(&b, 1));
        }
        for (std::size_t i = 0; i < fds; ++i) {
            reader.append(Bytes(1), some_fds(1));
        }
        const auto header = reader.peek();
        ASSERT_TRUE(header && *header) << packet.what;
        const Frame frame = reader.take();
        EXPECT_EQ(frame.fds.size(), fds);
        EXPECT_EQ(frame.payload.size(), packet.bytes.size() - kHeaderBytes - (fds > 0 ? 4 : 0)) << packet.what;
    }
    EXPECT_EQ(reader.buffered(), 0u);
}

// A payload cut anywhere either still decodes (the struct ended before the cut) or fails; one that is as long as its
// struct fails at every shorter length.
TEST(CapturedPackets, CutAnywhereFailCleanly) {
    for (const Captured& packet : captured_packets()) {
        FrameReader reader;
        const Frame frame = read_one(reader, packet.bytes);
        if (frame.header.type == MessageType::stream) {
            continue;
        }
        for (std::size_t n = 0; n < frame.payload.size(); ++n) {
            const auto cut = recode_payload(frame.header, frame.payload.first(n));
            ASSERT_FALSE(cut) << packet.what << " cut to " << n;
            ASSERT_EQ(cut.error().code, Code::malformed);
        }
    }
}

TEST(CapturedPackets, AnyBytesInPlaceOfAPayloadDecodeOrFail) {
    // Every procedure, not only the captured ones: all payload bytes the same, which makes counts of every size.
    for (const ProcedureInfo& info : procedures()) {
        for (const unsigned value : {0x00u, 0x01u, 0x02u, 0x7fu, 0xffu}) {
            for (const std::size_t size : {0u, 4u, 8u, 64u, 4096u}) {
                const Bytes payload(size, static_cast<std::byte>(value));
                for (const Part part : {Part::args, Part::ret}) {
                    const auto out = recode(info, part, payload);
                    ASSERT_TRUE(out || out.error().code != Code::internal) << info.name;
                }
            }
        }
    }
}

TEST(Tables, KnowEveryProcedure) {
    std::size_t remote = 0, qemu = 0;
    for (const ProcedureInfo& info : procedures()) {
        remote += info.program == program::remote;
        qemu += info.program == program::qemu;
        EXPECT_EQ(find_procedure(info.program, info.number), &info);
        EXPECT_GE(info.priority, 1);
        EXPECT_LE(info.priority, 3);
    }
    EXPECT_EQ(remote, 453u);
    EXPECT_EQ(qemu, 7u);
    EXPECT_EQ(find_procedure(program::remote, 454), nullptr);
    EXPECT_EQ(find_procedure(program::remote, 0), nullptr);
    EXPECT_EQ(find_procedure(program::remote, -1), nullptr);
    const ProcedureInfo& console = *find_procedure(program::remote, 201);
    EXPECT_EQ(console.name, "domain-open-console");
    EXPECT_EQ(console.stream, StreamUse::both);
    EXPECT_EQ(console.domain, error_domain::qemu);
    EXPECT_EQ(console.api_domain, error_domain::domain);
    EXPECT_EQ(console.prevents, "virDomainOpenConsole");
    const ProcedureInfo& graphics = *find_procedure(program::remote, 343);
    EXPECT_EQ(graphics.fds, FdUse::out);
    EXPECT_FALSE(find_procedure(program::remote, 318)->is_call);
}

TEST(Tables, AllowReadOnlyConnectionsWhatOnlyLooks) {
    for (const std::string_view name :
         {"connect-open", "auth-list", "network-lookup-by-name", "network-get-xml-desc", "connect-list-all-domains",
          "domain-get-xml-desc", "connect-network-event-register-any", "nwfilter-get-xml-desc", "node-get-info",
          "connect-close", "network-get-dhcp-leases", "domain-interface-stats"}) {
        const auto it = std::ranges::find(procedures(), name, &ProcedureInfo::name);
        ASSERT_NE(it, procedures().end()) << name;
        EXPECT_TRUE(it->read_only_ok()) << name;
    }
    // Nothing that changes something passes for a look.
    for (const ProcedureInfo& info : procedures()) {
        for (const std::string_view verb :
             {"-create", "-define", "-destroy", "-undefine", "-set-", "-update", "-delete", "-attach-", "-detach-",
              "-migrate-perform", "-save", "-restore"}) {
            const bool looks = std::ranges::any_of(
                std::to_array<std::string_view>({"-get-", "-has-", "-is-", "-defined", "connect-set-identity"}),
                [&](std::string_view part) { return info.name.find(part) != std::string_view::npos; });
            if (!info.is_call || looks || info.name.find(verb) == std::string_view::npos) {
                continue;
            }
            EXPECT_FALSE(info.read_only_ok()) << info.name;
        }
    }
}

}  // namespace
}  // namespace bascule::rpc::test
