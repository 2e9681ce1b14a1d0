// SPDX-License-Identifier: GPL-2.0-or-later
#include "dhcp/http.h"

#include <gtest/gtest.h>

namespace bascule::dhcp::http {
namespace {

Request parsed(std::string_view head) {
    const auto out = parse(as_bytes(head));
    Request incomplete;
    incomplete.status = -1;
    return out ? out->request : incomplete;
}

TEST(Http, RequestsAndWhatIsWrongWithThem) {
    struct Case {
        std::string head;
        int status;
    };
    const std::string host = "Host: x\r\n";
    for (const Case& c : {
             Case{"GET /a HTTP/1.1\r\n" + host + "\r\n", 0},
             Case{"GET /a HTTP/1.0\r\n\r\n", 0},
             Case{"GET http://x/a HTTP/1.1\r\n" + host + "\r\n", 0},
             Case{"\r\nGET /a HTTP/1.1\r\n" + host + "\r\n", 0},
             Case{"GET /a HTTP/1.1\r\n\r\n", 400},                     // no host
             Case{"GET /a HTTP/1.1\r\n" + host + host + "\r\n", 400},  // two
             Case{"GET /a\r\n\r\n", 400},
             Case{"GET a HTTP/1.1\r\n" + host + "\r\n", 400},
             Case{"GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
             Case{"GET /%zz HTTP/1.1\r\n" + host + "\r\n", 400},
             Case{"GET / HTTP/1.1\r\n" + host + "\r\n", 404},
             Case{"GET /a%00b HTTP/1.1\r\n" + host + "\r\n", 404},
             Case{"GET /a%5cb HTTP/1.1\r\n" + host + "\r\n", 404},
             Case{"POST /a HTTP/1.1\r\n" + host + "\r\n", 405},
             Case{"GET /a HTTP/2.0\r\n" + host + "\r\n", 505},
             Case{"GET /a HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n", 413},
             Case{"GET /a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 501},
             Case{"GET /a HTTP/1.1\r\nHost : x\r\n\r\n", 400},
             Case{"GET /a HTTP/1.1\r\n" + host + " folded\r\n\r\n", 400},
             Case{"GET /a HTTP/1.1\r\n" + host + "x: a\rb\r\n\r\n", 400},
             Case{"GET /a HTTP/1.1\r\n" + std::string(9000, 'a'), 431},
             Case{"GET /a HTTP/1.1\r\n", -1},  // more is to come
         }) {
        EXPECT_EQ(parsed(c.head).status, c.status) << c.head.substr(0, 60);
    }
    EXPECT_EQ(parsed("GET //a/b%20c?q#f HTTP/1.0\r\n\r\n").path, "a/b c");
}

TEST(Http, WhetherTheConnectionStays) {
    EXPECT_TRUE(parsed("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed("GET /a HTTP/1.1\r\nHost: x\r\nConnection: te, Close\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed("GET /a HTTP/1.0\r\n\r\n").keep_alive);
    EXPECT_TRUE(parsed("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed("POST /a HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive) << "a body may follow";
    EXPECT_TRUE(parsed("GET / HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive);
}

TEST(Http, OneRangeOfBytes) {
    const auto slice = [](std::string_view value) -> std::string {
        const Request request = parsed("GET /a HTTP/1.0\r\nRange: " + std::string(value) + "\r\n\r\n");
        const auto out = slice_of(request.range, 10);
        return !out ? "none" : std::to_string(out->first) + "+" + std::to_string(out->size);
    };
    EXPECT_EQ(slice("bytes=0-3"), "0+4");
    EXPECT_EQ(slice("bytes=4-"), "4+6");
    EXPECT_EQ(slice("bytes=8-99"), "8+2");
    EXPECT_EQ(slice("bytes=-3"), "7+3");
    EXPECT_EQ(slice("bytes=-30"), "0+10");
    EXPECT_EQ(slice("bytes=10-"), "none");
    EXPECT_EQ(slice("bytes=-0"), "none");
    for (const char* passed_over : {"bytes=3-1", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b"}) {
        EXPECT_EQ(slice(passed_over), "0+10") << passed_over;
    }
    EXPECT_EQ(slice_of(std::nullopt, 0)->size, 0U);
}

TEST(Http, Heads) {
    const Request get = parsed("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::chrono::sys_seconds now(std::chrono::seconds(784111777));
    EXPECT_EQ(as_text(head(get, {0, 5}, 5, now)),
              "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n"
              "Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n\r\n");
    Request part = get;
    part.range = Range{2, 3};
    EXPECT_NE(as_text(head(part, {2, 2}, 5, now)).find("Content-Range: bytes 2-3/5\r\n"), std::string_view::npos);
    EXPECT_TRUE(as_text(error(get, 404, 0, now)).ends_with("\r\n\r\n404 Not Found\n"));
    Request no_body = get;
    no_body.head_only = true;
    EXPECT_TRUE(as_text(error(no_body, 404, 0, now)).ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace bascule::dhcp::http
