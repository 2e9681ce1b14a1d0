// SPDX-License-Identifier: GPL-2.0-or-later
// As much of HTTP/1.1 (RFC 9110, RFC 9112) as serving files takes: GET and HEAD, one byte range, persistent
// connections. Bytes in, values out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace bascule::dhcp::http {

// A longer head is refused (431); bodies are refused unread, and end the connection.
inline constexpr std::size_t kLongestHead = 8192;

struct Range {
    std::optional<std::uint64_t> first, last;  // without a first: the last so many bytes
    bool operator==(const Range&) const = default;
};

struct Request {
    int status = 0;           // what to answer at once, when it is not 0
    bool head_only = false;   // HEAD
    bool keep_alive = false;  // the connection stays open for another request
    std::string path;         // below the root, decoded, for openat2()
    std::optional<Range> range;
    bool operator==(const Request&) const = default;
};

struct Parsed {
    Request request;
    std::size_t size = 0;  // of the head
};
// None: the head is not complete yet.
std::optional<Parsed> parse(ByteView bytes);

// Which bytes of a file go out: none when the range is beyond it.
struct Slice {
    std::uint64_t first = 0, size = 0;
};
std::optional<Slice> slice_of(const std::optional<Range>& range, std::uint64_t file_size);

// A reply's head, with a body's length; for errors with a body of one line, unless it answers HEAD.
Bytes head(const Request& request, const Slice& slice, std::uint64_t file_size, std::chrono::sys_seconds now);
Bytes error(const Request& request, int status, std::uint64_t file_size, std::chrono::sys_seconds now);

}  // namespace bascule::dhcp::http
