// SPDX-License-Identifier: GPL-2.0-or-later
// The input is a request, and, after a separator each, what the client sends next. A transfer sends what the file
// holds, in order, in blocks of the size agreed on, and ends.
#include <cstdlib>

#include "dhcp/tftp.h"

using namespace bascule;
using namespace bascule::dhcp;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

void check(const tftp::Transfer::Step& step) {
    expect(step.send.size() <= tftp::Transfer::kMostWindow);
    for (const Bytes& datagram : step.send) {
        expect(datagram.size() >= 4 && datagram.size() <= 4 + 1468);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const ByteView all = std::as_bytes(std::span(data, size));
    std::string_view text = as_text(all);
    const std::size_t cut = std::min(text.find("----"), text.size());
    const auto request = tftp::decode_request(all.first(cut));
    if (!request) {
        return 0;
    }
    if (const auto path = tftp::path_of(request->file)) {
        expect(!path->empty() && !path->starts_with('/') && path->find('\0') == std::string::npos);
    }
    constexpr std::size_t kFile = 5000;
    std::size_t at = 0;
    tftp::Transfer transfer(*request, kFile, 1468, [&](std::size_t most) -> Result<Bytes> {
        const std::size_t now = std::min(most, kFile - at);
        at += now;
        return Bytes(now, std::byte{'\n'});
    });
    auto step = transfer.begin(Time());
    check(step);
    text.remove_prefix(std::min(cut + 4, text.size()));
    while (!text.empty() && !step.done) {
        const std::size_t end = std::min(text.find("----"), text.size());
        step = transfer.receive(as_bytes(text.substr(0, end)), Time());
        check(step);
        text.remove_prefix(std::min(end + 4, text.size()));
    }
    for (unsigned i = 0; i < tftp::Transfer::kTries && !step.done; ++i) {
        step = transfer.tick(transfer.next_tick());
        check(step);
    }
    expect(step.done && transfer.sent_bytes() <= 2 * kFile);
    return 0;
}
