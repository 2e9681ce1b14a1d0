// SPDX-License-Identifier: GPL-2.0-or-later
// The input is what a client sends on a connection. A request that is taken names a path below the root; a slice is
// within the file; every head that goes out is one.
#include <cstdlib>

#include "dhcp/http.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    constexpr std::uint64_t kFile = 1000;
    ByteView left = std::as_bytes(std::span(data, size));
    while (!left.empty()) {
        const auto parsed = http::parse(left);
        if (!parsed) {
            expect(left.size() < http::kLongestHead);
            break;
        }
        expect(parsed->size > 0 && parsed->size <= left.size());
        const http::Request& request = parsed->request;
        expect(request.status != 0 || (!request.path.empty() && !request.path.starts_with('/') &&
                                       request.path.find('\0') == std::string::npos));
        const auto slice = http::slice_of(request.range, kFile);
        expect(!slice || (slice->first < kFile && slice->first + slice->size <= kFile));
        const Bytes reply = slice ? http::head(request, *slice, kFile, {}) : http::error(request, 416, kFile, {});
        expect(as_text(reply).starts_with("HTTP/1.1 ") && as_text(reply).find("\r\n\r\n") != std::string_view::npos);
        left = left.subspan(parsed->size);
    }
    return 0;
}
