// SPDX-License-Identifier: GPL-2.0-or-later
// The helper channel in both directions: what decodes encodes to what decodes to the same.
#include <cstdlib>

#include "dhcp/wire.h"

using namespace bascule;
namespace wire = bascule::dhcp::wire;

namespace {

void expect(bool what) {
    if (!what) {
        std::abort();
    }
}

template <class Message>
void check(const Result<Message>& message, Result<Message> (*decode)(ByteView)) {
    if (!message) {
        expect(!message.error().message.empty());
        return;
    }
    expect(wire::descriptors(*message) <= wire::kMaxDescriptors);
    if (const auto bytes = wire::encode(*message)) {
        const auto again = decode(*bytes);
        expect(again && *again == *message);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const ByteView bytes = std::as_bytes(std::span(data, size));
    check(wire::decode_to_service(bytes), wire::decode_to_service);
    check(wire::decode_to_daemon(bytes), wire::decode_to_daemon);
    return 0;
}
