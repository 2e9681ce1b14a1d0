// SPDX-License-Identifier: GPL-2.0-or-later
// A guest that answers what it likes: the first byte says how the rest is cut into pieces. However it is cut, the
// exchange must end in the same way; and whatever an answer holds, the list of interfaces is bounded.
#include <cstdlib>
#include <optional>

#include "vmm/agent.h"

namespace {

using namespace bascule;
using namespace bascule::vmm;

struct Heard {
    std::optional<qmp::Json> answer;
    bool broken = false, asked = false;
    bool operator==(const Heard&) const = default;
};

Heard listen(ByteView bytes, std::size_t piece) {
    agent::Exchange exchange(7, "guest-network-get-interfaces");
    Heard out;
    while (!bytes.empty() && !out.answer && !out.broken) {
        const std::size_t n = bytes.size() < piece ? bytes.size() : piece;
        auto next = exchange.feed(bytes.first(n));
        bytes = bytes.subspan(n);
        out.broken = !next;
        if (next) {
            out.asked = out.asked || !next->send.empty();
            out.answer = std::move(next->answer);
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const ByteView bytes(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    const Heard whole = listen(bytes, bytes.size() + 1), cut = listen(bytes, 1 + data[0] % 16);
    // An error may hide that the question was sent before it in the same bytes.
    if (whole.answer != cut.answer || whole.broken != cut.broken) {
        std::abort();
    }
    if (whole.answer) {
        if (const auto interfaces = agent::interfaces_from(*whole.answer)) {
            std::size_t addresses = 0;
            for (const agent::Interface& one : *interfaces) {
                addresses = addresses < one.addresses.size() ? one.addresses.size() : addresses;
            }
            if (interfaces->size() > agent::kMostInterfaces || addresses > agent::kMostAddresses) {
                std::abort();
            }
        }
    }
    return 0;
}
