// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/helper_channel.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::kernel::channel {

namespace {

constexpr std::size_t kMessageHead = 8;
constexpr std::size_t kFieldHead = 6;

template <class Integer>
void put(Bytes& out, Integer value) {
    for (std::size_t i = sizeof value; i-- > 0;) {
        out.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
    }
}

template <std::size_t N>
void put(Bytes& out, const std::array<std::uint8_t, N>& octets, std::size_t count = N) {
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(static_cast<std::byte>(octets[i]));
    }
}

}  // namespace

Bytes& Fields::add(std::uint16_t tag) { return fields_.emplace_back(Field{tag, {}}).value; }

Fields& Fields::u8(std::uint16_t tag, std::uint8_t value) {
    put(add(tag), value);
    return *this;
}

Fields& Fields::u16(std::uint16_t tag, std::uint16_t value) {
    put(add(tag), value);
    return *this;
}

Fields& Fields::u32(std::uint16_t tag, std::uint32_t value) {
    put(add(tag), value);
    return *this;
}

Fields& Fields::u64(std::uint16_t tag, std::uint64_t value) {
    put(add(tag), value);
    return *this;
}

Fields& Fields::text(std::uint16_t tag, std::string_view value) { return bytes(tag, as_bytes(value)); }

Fields& Fields::bytes(std::uint16_t tag, ByteView value) {
    add(tag).assign(value.begin(), value.end());
    return *this;
}

Fields& Fields::mac(std::uint16_t tag, const MacAddr& value) {
    put(add(tag), value.octets);
    return *this;
}

Fields& Fields::ip(std::uint16_t tag, const Ip& value) {
    put(add(tag), value.octets(), value.bits() / 8);
    return *this;
}

Fields& Fields::uuid(std::uint16_t tag, const Uuid& value) {
    put(add(tag), value.octets);
    return *this;
}

Fields& Fields::nested(std::uint16_t tag, const Fields& value) {
    ByteWriter out;
    value.encode_to(out);
    add(tag) = out.take();
    return *this;
}

std::size_t Fields::encoded_size() const {
    std::size_t size = 0;
    for (const Field& field : fields_) {
        size += kFieldHead + field.value.size();
    }
    return size;
}

void Fields::encode_to(ByteWriter& out) const {
    for (const Field& field : fields_) {
        out.u16(field.tag);
        out.u32(static_cast<std::uint32_t>(field.value.size()));
        out.bytes(field.value);
    }
}

Result<Fields> Fields::decode(ByteView bytes) {
    Fields out;
    ByteReader in(bytes);
    while (in.left() > 0) {
        const std::size_t at = in.position();
        const std::uint16_t tag = in.u16();
        const ByteView value = in.take(in.u32());
        if (!in.ok()) {
            return fail(Code::malformed, fmt::format("byte {}: a field is longer than what holds it", at));
        }
        out.bytes(tag, value);
    }
    return out;
}

const Field* FieldReader::find(std::uint16_t tag) const {
    const auto found = std::ranges::find(fields_.all(), tag, &Field::tag);
    return found == fields_.all().end() ? nullptr : &*found;
}

ByteView FieldReader::wanted(std::uint16_t tag) {
    const Field* const field = find(tag);
    if (field == nullptr) {
        refuse(tag, "is missing");
        return {};
    }
    return field->value;
}

std::uint64_t FieldReader::number(std::uint16_t tag, std::size_t width) {
    const ByteView bytes = wanted(tag);
    if (ok() && bytes.size() != width) {
        refuse(tag, fmt::format("has {} bytes, expected {}", bytes.size(), width));
    }
    std::uint64_t value = 0;
    for (const std::byte b : bytes.first(std::min(width, bytes.size()))) {
        value = value << 8 | std::to_integer<std::uint64_t>(b);
    }
    return ok() ? value : 0;
}

std::string FieldReader::text(std::uint16_t tag) { return std::string(as_text(wanted(tag))); }

Bytes FieldReader::bytes(std::uint16_t tag) {
    const ByteView bytes = wanted(tag);
    return {bytes.begin(), bytes.end()};
}

MacAddr FieldReader::mac(std::uint16_t tag) {
    const ByteView bytes = wanted(tag);
    if (ok() && bytes.size() != 6) {
        refuse(tag, fmt::format("has {} bytes, expected the 6 of a MAC address", bytes.size()));
    }
    return ok() ? MacAddr{ByteReader(bytes).array<6>()} : MacAddr{};
}

Ip FieldReader::to_ip(std::uint16_t tag, ByteView bytes) {
    if (ok() && bytes.size() != 4 && bytes.size() != 16) {
        refuse(tag, fmt::format("has {} bytes, expected the 4 or 16 of an IP address", bytes.size()));
    }
    if (!ok()) {
        return {};
    }
    return bytes.size() == 4 ? Ip::v4(ByteReader(bytes).array<4>()) : Ip::v6(ByteReader(bytes).array<16>());
}

Ip FieldReader::ip(std::uint16_t tag) { return to_ip(tag, wanted(tag)); }

Uuid FieldReader::uuid(std::uint16_t tag) {
    const ByteView bytes = wanted(tag);
    if (ok() && bytes.size() != 16) {
        refuse(tag, fmt::format("has {} bytes, expected the 16 of a UUID", bytes.size()));
    }
    return ok() ? Uuid{ByteReader(bytes).array<16>()} : Uuid{};
}

std::vector<std::string> FieldReader::texts(std::uint16_t tag) const {
    std::vector<std::string> out;
    for (const Field& field : fields_.all()) {
        if (field.tag == tag) {
            out.emplace_back(as_text(field.value));
        }
    }
    return out;
}

std::vector<Ip> FieldReader::ips(std::uint16_t tag) {
    std::vector<Ip> out;
    for (const Field& field : fields_.all()) {
        if (field.tag == tag) {
            out.push_back(to_ip(tag, field.value));
        }
    }
    return ok() ? out : std::vector<Ip>();
}

std::vector<Uuid> FieldReader::uuids(std::uint16_t tag) {
    std::vector<Uuid> out;
    for (const Field& field : fields_.all()) {
        if (field.tag != tag) {
            continue;
        }
        if (field.value.size() != 16) {
            refuse(tag, fmt::format("has {} bytes, expected the 16 of a UUID", field.value.size()));
            return {};
        }
        out.push_back(Uuid{ByteReader(field.value).array<16>()});
    }
    return out;
}

std::vector<Fields> FieldReader::nested(std::uint16_t tag) {
    std::vector<Fields> out;
    for (const Field& field : fields_.all()) {
        if (field.tag != tag) {
            continue;
        }
        auto inner = Fields::decode(field.value);
        if (!inner) {
            refuse(tag, inner.error().message);
            return {};
        }
        out.push_back(*std::move(inner));
    }
    return out;
}

void FieldReader::refuse(std::uint16_t tag, std::string_view why) {
    if (ok()) {
        error_ = fmt::format("field {} {}", tag, why);
    }
}

Result<void> FieldReader::finish(std::string_view what) {
    if (error_) {
        return fail(Code::malformed, fmt::format("{}: {}", what, *error_));
    }
    return {};
}

Result<Bytes> encode(const Message& message) {
    const std::size_t size = kMessageHead + message.fields.encoded_size();
    if (size > kMaxMessage) {
        return fail(Code::invalid_argument, fmt::format("helper message of type {} has {} bytes, more than {}",
                                                        message.type, size, kMaxMessage));
    }
    ByteWriter out;
    out.u32(kMagic);
    out.u16(message.version);
    out.u16(message.type);
    message.fields.encode_to(out);
    return out.take();
}

Result<Message> decode(ByteView datagram) {
    if (datagram.size() > kMaxMessage) {
        return fail(Code::malformed,
                    fmt::format("helper message of {} bytes, more than {}", datagram.size(), kMaxMessage));
    }
    ByteReader in(datagram);
    const std::uint32_t magic = in.u32();
    Message message;
    message.version = in.u16();
    message.type = in.u16();
    if (!in.ok() || magic != kMagic) {
        return fail(Code::malformed, "not a message of the helper channel");
    }
    if (message.version < kOldestVersion || message.version > kVersion) {
        return fail(Code::malformed, fmt::format("helper channel version {}, this program knows {} to {}",
                                                 message.version, kOldestVersion, kVersion));
    }
    auto fields = Fields::decode(in.rest());
    if (!fields) {
        return std::unexpected(std::move(fields).error().in(fmt::format("helper message of type {}", message.type)));
    }
    message.fields = *std::move(fields);
    return message;
}

}  // namespace bascule::kernel::channel
