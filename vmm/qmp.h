// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's monitor protocol as a codec: bytes in, messages out, and commands as text. No I/O.
//
// One JSON object a line each way: QEMU greets, we say qmp_capabilities, then commands with an id are answered
// with "return" or "error" and that id, and events come in between at any time.
//
// A guest that has taken QEMU over writes what it likes here, so: a line has at most 1 MiB and 32 levels; the whole
// object is decoded and checked before anything acts on it; the first bad line ends the conversation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/result.h"

namespace bascule::vmm::qmp {

using Json = nlohmann::json;

inline constexpr std::size_t kMaxLine = std::size_t{1} << 20;
inline constexpr int kMaxDepth = 32;

struct Greeting {
    std::string version;  // "7.2.0"
    bool operator==(const Greeting&) const = default;
};
struct Reply {
    std::uint64_t id = 0;
    Json value;  // of "return"
    bool operator==(const Reply&) const = default;
};
struct Refusal {
    std::uint64_t id = 0;
    std::string kind, words;  // "GenericError", what is wrong; printable, at most 1000 bytes
    bool operator==(const Refusal&) const = default;
};
struct Event {
    std::string name;
    Json data;  // an object, may be empty
    bool operator==(const Event&) const = default;
};
using Message = std::variant<Greeting, Reply, Refusal, Event>;

class Decoder {
public:
    // Takes bytes as they come; gives the messages that they complete. Code::malformed, now and for ever, once
    // something was not QMP; messages before it in the same bytes are given first, and the error by the next call,
    // be it with no bytes.
    Result<std::vector<Message>> feed(ByteView bytes);

private:
    std::string line_;
    std::string broken_;
};

// One line, newline included. Arguments that are null are left out.
std::string command(std::uint64_t id, std::string_view name, const Json& arguments = nullptr);

// A line that is one JSON object of at most kMaxDepth levels; Code::malformed otherwise.
Result<Json> parse_object(std::string_view line);

// Members of an object from QEMU: an empty text (0, false) when it is no object, has no such member, or one of
// another type.
const Json* member_of(const Json& object, std::string_view member);  // null: none
std::optional<std::uint64_t> unsigned_of(const Json& object, std::string_view member);
std::string text_of(const Json& object, std::string_view member);
bool flag_of(const Json& object, std::string_view member);

// What a human may see of a text that QEMU made: no control bytes, at most `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = 1000);

}  // namespace bascule::vmm::qmp
