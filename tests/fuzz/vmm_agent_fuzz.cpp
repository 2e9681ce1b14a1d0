// SPDX-License-Identifier: GPL-2.0-or-later
// A guest that answers what it likes: the first byte says how the rest is cut into pieces. However it is cut, the
// exchange must end in the same way; and whatever an answer holds, what is read of it is bounded.
#include <cstdlib>
#include <optional>

#include "vmm/agent.h"
#include "vmm/agent_facts.h"

namespace {

using namespace bascule;
using namespace bascule::vmm;

struct Heard {
    std::optional<qmp::Json> answer;
    bool broken = false, asked = false;
    bool operator==(const Heard&) const = default;
};

// The lists of whatever an answer was to.
bool bounded(const qmp::Json& answer) {
    const auto short_list = [](const auto& list, std::size_t most) { return !list || list->size() <= most; };
    (void)agent::system_from(answer);
    (void)agent::time_zone_from(answer);
    (void)agent::load_from(answer);
    (void)agent::host_name_from(answer);
    (void)agent::time_from(answer);
    (void)agent::count_from(answer);
    return short_list(agent::file_systems_from(answer), agent::kMostFacts) &&
           short_list(agent::block_devices_from(answer), agent::kMostFacts) &&
           short_list(agent::users_from(answer), agent::kMostFacts) &&
           short_list(agent::keys_from(answer), agent::kMostFacts) &&
           short_list(agent::cpus_from(answer), agent::kMostCpus);
}

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
    if (whole.answer && !bounded(*whole.answer)) {
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
