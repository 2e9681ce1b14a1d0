// SPDX-License-Identifier: GPL-2.0-or-later
// Any bytes are decoded or refused; what was decoded encodes to something that decodes to no more than the same.
#include <algorithm>
#include <cstdlib>

#include "dhcp/message.h"
#include "dhcp/server.h"

using namespace bascule;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const auto message = dhcp::decode(std::as_bytes(std::span(data, size)));
    if (!message) {
        expect(!message.error().message.empty());
        return 0;
    }
    const std::string label = dhcp::wanted_hostname(message->options);
    expect(label.empty() || (is_dns_name(label) && label.size() <= 63 && !label.contains('.')));
    const Bytes bytes = dhcp::encode(*message, dhcp::kLargestSize);
    expect(bytes.size() >= 300 && bytes.size() <= dhcp::kLargestSize);
    const auto again = dhcp::decode(bytes);
    expect(again.has_value());
    for (const auto& option : again->options.all()) {
        const ByteView before = message->options.bytes(option.code);
        expect(std::ranges::equal(before, option.value));
    }
    // The smallest client still gets a message that it can read.
    expect(dhcp::encode(*message, 0).size() <= dhcp::kDefaultSize);
    return 0;
}
