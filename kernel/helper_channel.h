// SPDX-License-Identifier: GPL-2.0-or-later
// What basculed and its helper processes say to each other, as bytes. No sockets here: the channel is a
// Unix seqpacket socket, one datagram a message, descriptors beside it as SCM_RIGHTS; who owns the socket sends
// and receives.
//
//   message = magic u32 | version u16 | type u16 | field…          at most kMaxMessage bytes in all
//   field   = tag u16 | length u32 | length bytes                  everything in network byte order
//
// A field's bytes are a number, a text, or fields again. Tags belong to the message type (or to the field that
// holds them) and never change their meaning. A reader skips tags that it does not know and has a default for
// those that are absent, so a new field needs no new version. The version changes only with what an old reader
// would misunderstand: a reader takes its own version and the one before, and a writer that hears an older
// version answers in it (Message::version). So an upgrade never needs both sides at once.
//
// A value that does not fit one message is sent as a Begin message, one message for each part, and a
// Commit: the receiver collects and acts only on Commit. The types for that belong to the protocol that needs
// it (dhcp/wire.h).
//
//   Fields lease;
//   lease.ip(1, address).text(2, "vm1");
//   TRY(const Bytes datagram, encode({.type = 7, .fields = Fields().nested(1, lease)}));
//
//   TRY(const Message message, decode(datagram));
//   FieldReader in(message.fields);
//   for (const Fields& one : in.nested(1)) { … }
//   TRY_OK(in.finish("lease report"));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/names.h"
#include "base/net.h"
#include "base/result.h"

namespace bascule::kernel::channel {

inline constexpr std::uint32_t kMagic = 0x42534348;  // "BSCH"
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::uint16_t kOldestVersion = 1;
inline constexpr std::size_t kMaxMessage = 65536;

struct Field {
    std::uint16_t tag = 0;
    Bytes value;
    bool operator==(const Field&) const = default;
};

// Fields in the order they were added; a tag may occur any number of times (a list).
class Fields {
public:
    Fields& u8(std::uint16_t tag, std::uint8_t value);
    Fields& u16(std::uint16_t tag, std::uint16_t value);
    Fields& u32(std::uint16_t tag, std::uint32_t value);
    Fields& u64(std::uint16_t tag, std::uint64_t value);
    Fields& flag(std::uint16_t tag, bool value) { return u8(tag, value ? 1 : 0); }
    Fields& text(std::uint16_t tag, std::string_view value);
    Fields& bytes(std::uint16_t tag, ByteView value);
    Fields& mac(std::uint16_t tag, const MacAddr& value);
    Fields& ip(std::uint16_t tag, const Ip& value);  // 4 or 16 bytes
    Fields& uuid(std::uint16_t tag, const Uuid& value);
    Fields& nested(std::uint16_t tag, const Fields& value);

    const std::vector<Field>& all() const { return fields_; }
    std::size_t encoded_size() const;
    void encode_to(ByteWriter& out) const;
    static Result<Fields> decode(ByteView bytes);
    bool operator==(const Fields&) const = default;

private:
    Bytes& add(std::uint16_t tag);

    std::vector<Field> fields_;
};

// Reads fields by tag. A wanted field that is missing, or one whose bytes do not fit its type, latches the first
// error and yields a zero value; ask finish() once before acting on any of it. The single readers take the first
// field of the tag. The Fields must outlive the reader.
class FieldReader {
public:
    explicit FieldReader(const Fields& fields) : fields_(fields) {}

    std::uint8_t u8(std::uint16_t tag) { return static_cast<std::uint8_t>(number(tag, 1)); }
    std::uint16_t u16(std::uint16_t tag) { return static_cast<std::uint16_t>(number(tag, 2)); }
    std::uint32_t u32(std::uint16_t tag) { return static_cast<std::uint32_t>(number(tag, 4)); }
    std::uint64_t u64(std::uint16_t tag) { return number(tag, 8); }
    bool flag(std::uint16_t tag) { return number(tag, 1) != 0; }
    bool flag_or(std::uint16_t tag, bool otherwise) { return has(tag) ? flag(tag) : otherwise; }
    std::string text(std::uint16_t tag);
    Bytes bytes(std::uint16_t tag);
    MacAddr mac(std::uint16_t tag);
    Ip ip(std::uint16_t tag);
    Uuid uuid(std::uint16_t tag);
    // For a field that may be absent: if (in.has(3)) { x = in.u32(3); }
    bool has(std::uint16_t tag) const { return find(tag) != nullptr; }

    // Every field of the tag, in order.
    std::vector<std::string> texts(std::uint16_t tag) const;
    std::vector<Ip> ips(std::uint16_t tag);
    std::vector<Uuid> uuids(std::uint16_t tag);
    std::vector<Fields> nested(std::uint16_t tag);

    // For values that only the caller can judge: an interface name, a prefix length.
    void refuse(std::uint16_t tag, std::string_view why);
    bool ok() const { return !error_; }
    // Code::malformed with "`what`: field 3 …" for the first thing that was wrong.
    Result<void> finish(std::string_view what);

private:
    const Field* find(std::uint16_t tag) const;
    ByteView wanted(std::uint16_t tag);
    std::uint64_t number(std::uint16_t tag, std::size_t width);
    Ip to_ip(std::uint16_t tag, ByteView bytes);

    const Fields& fields_;
    std::optional<std::string> error_;
};

struct Message {
    std::uint16_t type = 0;
    Fields fields;
    std::uint16_t version = kVersion;  // as the sender wrote it
    bool operator==(const Message&) const = default;
};

// Code::invalid_argument when it does not fit kMaxMessage.
Result<Bytes> encode(const Message& message);
// Code::malformed for anything that is not exactly one message of a version we know.
Result<Message> decode(ByteView datagram);

}  // namespace bascule::kernel::channel
