// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/http.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "dhcp/tftp.h"

namespace bascule::dhcp::http {

namespace {

constexpr int kMostHeaders = 100;

std::string_view reason(int status) {
    constexpr std::array<std::pair<int, std::string_view>, 12> kReasons{{{200, "OK"},
                                                                         {206, "Partial Content"},
                                                                         {400, "Bad Request"},
                                                                         {403, "Forbidden"},
                                                                         {404, "Not Found"},
                                                                         {405, "Method Not Allowed"},
                                                                         {413, "Content Too Large"},
                                                                         {416, "Range Not Satisfiable"},
                                                                         {431, "Request Header Fields Too Large"},
                                                                         {501, "Not Implemented"},
                                                                         {503, "Service Unavailable"},
                                                                         {505, "HTTP Version Not Supported"}}};
    const auto found = std::ranges::find(kReasons, status, &std::pair<int, std::string_view>::first);
    return found == kReasons.end() ? "Error" : found->second;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool same(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// A header's list has this word ("close, te").
bool lists(std::string_view value, std::string_view word) {
    while (!value.empty()) {
        const std::size_t end = std::min(value.find(','), value.size());
        if (same(trimmed(value.substr(0, end)), word)) {
            return true;
        }
        value.remove_prefix(std::min(end + 1, value.size()));
    }
    return false;
}

int hex(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The path of an origin-form or absolute-form target, decoded.
std::optional<std::string> path_of(std::string_view target) {
    if (target.size() > 7 && same(target.substr(0, 7), "http://")) {
        const std::size_t slash = target.find('/', 7);
        target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
    if (!target.starts_with('/')) {
        return std::nullopt;
    }
    target = target.substr(0, target.find_first_of("?#"));
    std::string out;
    for (std::size_t i = 0; i < target.size(); ++i) {
        if (target[i] != '%') {
            out += target[i];
            continue;
        }
        const int high = i + 2 < target.size() ? hex(target[i + 1]) : -1;
        const int low = high < 0 ? -1 : hex(target[i + 2]);
        if (low < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && stop == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// One range of bytes; what is anything else is passed over, as it may be (RFC 9110 section 14.2).
std::optional<Range> range_of(std::string_view value) {
    if (!value.starts_with("bytes=") || value.contains(',')) {
        return std::nullopt;
    }
    value.remove_prefix(6);
    const std::size_t dash = value.find('-');
    if (dash == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view first = value.substr(0, dash), last = value.substr(dash + 1);
    const Range out{number(first), number(last)};
    const bool sane = out.first.has_value() == !first.empty() && out.last.has_value() == !last.empty() &&
                      (out.first || out.last) && !(out.first && out.last && *out.last < *out.first);
    return sane ? std::optional(out) : std::nullopt;
}

void refuse(Request& out, int status) {
    out.status = out.status != 0 ? out.status : status;
    out.keep_alive = false;
}

void take_line(std::string_view line, Request& out, bool& http11) {
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) {
        return refuse(out, 400);
    }
    const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    http11 = version == "HTTP/1.1";
    out.keep_alive = http11;
    out.head_only = method == "HEAD";
    if (!http11 && version != "HTTP/1.0") {
        return refuse(out, version.starts_with("HTTP/") ? 505 : 400);
    }
    if (method != "GET" && method != "HEAD") {
        return refuse(out, 405);
    }
    const auto decoded = path_of(target);
    const auto path = decoded ? tftp::path_of(*decoded) : std::nullopt;
    if (!decoded || target.contains(' ')) {
        return refuse(out, 400);
    }
    if (!path || decoded->contains('\\')) {
        out.status = 404;  // the root itself, or a name that no file has
        return;
    }
    out.path = *path;
}

void take_header(std::string_view line, Request& out, int& hosts) {
    const std::size_t colon = line.find(':');
    // Neither continued lines nor a space before the colon: RFC 9112 sections 5.1 and 5.2.
    if (colon == 0 || colon == std::string_view::npos || line.find_first_of(" \t") < colon) {
        return refuse(out, 400);
    }
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same(name, "Host")) {
        ++hosts;
    } else if (same(name, "Connection")) {
        out.keep_alive = out.status == 0 && !lists(value, "close") && (out.keep_alive || lists(value, "keep-alive"));
    } else if (same(name, "Range")) {
        out.range = range_of(value);
    } else if (same(name, "Content-Length") && value != "0") {
        refuse(out, 413);
    } else if (same(name, "Transfer-Encoding")) {
        refuse(out, 501);
    }
}

std::string date(std::chrono::sys_seconds now) {
    // Not strftime: names of days and months are English here in every locale.
    constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day ymd(day);
    const std::chrono::hh_mm_ss time(now - day);
    return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[std::chrono::weekday(day).c_encoding()],
                       static_cast<unsigned>(ymd.day()), kMonths[static_cast<unsigned>(ymd.month()) - 1],
                       static_cast<int>(ymd.year()), time.hours().count(), time.minutes().count(),
                       time.seconds().count());
}

Bytes bytes_of(const std::string& text) {
    const ByteView view = as_bytes(text);
    return {view.begin(), view.end()};
}

}  // namespace

std::optional<Parsed> parse(ByteView bytes) {
    std::string_view text = as_text(bytes.first(std::min(bytes.size(), kLongestHead)));
    Parsed out;
    while (text.starts_with("\r\n")) {  // RFC 9112 section 2.2
        text.remove_prefix(2);
        out.size += 2;
    }
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) {
        if (bytes.size() < kLongestHead) {
            return std::nullopt;
        }
        out.request.status = 431;
        out.size = bytes.size();
        return out;
    }
    out.size += end + 4;
    std::string_view rest = text.substr(0, end + 2);
    bool http11 = false;
    int hosts = 0, lines = 0;
    for (; !rest.empty(); ++lines) {
        const std::size_t stop = rest.find("\r\n");
        const std::string_view line = rest.substr(0, stop);
        rest.remove_prefix(stop + 2);
        if (line.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
            refuse(out.request, 400);
        } else if (lines == 0) {
            take_line(line, out.request, http11);
        } else if (lines <= kMostHeaders) {
            take_header(line, out.request, hosts);
        } else {
            refuse(out.request, 431);
        }
    }
    if (hosts > 1 || (http11 && hosts == 0)) {
        refuse(out.request, 400);
    }
    return out;
}

std::optional<Slice> slice_of(const std::optional<Range>& range, std::uint64_t file_size) {
    if (!range) {
        return Slice{0, file_size};
    }
    if (!range->first) {
        const std::uint64_t size = std::min(*range->last, file_size);
        return size == 0 ? std::nullopt : std::optional(Slice{file_size - size, size});
    }
    if (*range->first >= file_size) {
        return std::nullopt;
    }
    const std::uint64_t last = std::min(range->last.value_or(file_size - 1), file_size - 1);
    return Slice{*range->first, last - *range->first + 1};
}

Bytes head(const Request& request, const Slice& slice, std::uint64_t file_size, std::chrono::sys_seconds now) {
    const int status = request.range ? 206 : 200;
    std::string out = fmt::format(
        "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Length: {}\r\nContent-Type: application/octet-stream\r\n"
        "Accept-Ranges: bytes\r\n",
        status, reason(status), date(now), slice.size);
    if (request.range) {
        out += fmt::format("Content-Range: bytes {}-{}/{}\r\n", slice.first, slice.first + slice.size - 1, file_size);
    }
    out += request.keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
    return bytes_of(out);
}

Bytes error(const Request& request, int status, std::uint64_t file_size, std::chrono::sys_seconds now) {
    const std::string body = fmt::format("{} {}\n", status, reason(status));
    std::string out = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n",
                                  status, reason(status), date(now), body.size());
    if (status == 405) {
        out += "Allow: GET, HEAD\r\n";
    }
    if (status == 416) {
        out += fmt::format("Content-Range: bytes */{}\r\n", file_size);
    }
    out += request.keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
    return bytes_of(request.head_only ? out : out + body);
}

}  // namespace bascule::dhcp::http
