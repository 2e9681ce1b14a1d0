// SPDX-License-Identifier: GPL-2.0-or-later
// A QEMU that a guest has taken over: the first byte says how the rest is cut into pieces. However it is cut, the
// decoder must give the same messages, and once broken stay so.
#include <cstdlib>
#include <vector>

#include "vmm/qmp.h"

namespace {

struct Heard {
    std::vector<bascule::vmm::qmp::Message> messages;
    bool broken = false;
    bool operator==(const Heard&) const = default;
};

Heard listen(bascule::ByteView bytes, std::size_t piece) {
    bascule::vmm::qmp::Decoder decoder;
    Heard out;
    while (!bytes.empty()) {
        const std::size_t n = bytes.size() < piece ? bytes.size() : piece;
        auto got = decoder.feed(bytes.first(n));
        bytes = bytes.subspan(n);
        if (!got) {
            out.broken = true;
            break;
        }
        for (auto& message : *got) {
            out.messages.push_back(std::move(message));
        }
    }
    out.broken = out.broken || !decoder.feed({});
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace bascule;
    if (size == 0) {
        return 0;
    }
    const ByteView bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    const Heard whole = listen(bytes, bytes.size() + 1);
    const Heard cut = listen(bytes, 1U + data[0]);
    if (!(whole == cut)) {
        std::abort();
    }
    for (const auto& message : whole.messages) {
        if (const auto* const event = std::get_if<vmm::qmp::Event>(&message)) {
            (void)vmm::qmp::text_of(event->data, "reason");
            (void)vmm::qmp::flag_of(event->data, "guest");
        } else if (const auto* const refusal = std::get_if<vmm::qmp::Refusal>(&message)) {
            if (refusal->words.size() > 1100) {
                std::abort();
            }
        }
    }
    return 0;
}
