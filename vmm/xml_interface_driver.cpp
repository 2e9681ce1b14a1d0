// SPDX-License-Identifier: GPL-2.0-or-later
#include <bit>

#include <fmt/format.h>

#include "vmm/xml_interface_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::Value;

constexpr Value<unsigned> kQueues{"a number of queues, 1 to 256", xml::parse_number<unsigned, 1, 256>};
// QEMU's virtio-net: 256 to 1024, a power of two.
constexpr Value<unsigned> kRingSize{"256, 512 or 1024", [](std::string_view t) {
                                        const auto n = xml::parse_number<unsigned, 256, 1024>(t);
                                        return n && std::has_single_bit(*n) ? n : std::nullopt;
                                    }};
constexpr std::string_view kSwitches[] = {"ioeventfd", "event_idx", "rss",    "rss_hash_report",
                                          "iommu",     "ats",       "packed", "page_per_vq"};
constexpr std::string_view kHostOffloads[] = {"csum", "gso", "tso4", "tso6", "ecn", "ufo", "mrg_rxbuf"};
constexpr std::string_view kGuestOffloads[] = {"csum", "tso4", "tso6", "ecn", "ufo"};

template <std::size_t N>
NicSwitches read_switches(Reader& r, const std::string_view (&names)[N]) {
    NicSwitches out;
    for (const std::string_view name : names) {
        if (const auto value = r.opt(name, xml::kOnOff)) {
            out.emplace_back(name, *value);
        }
    }
    return out;
}

template <std::size_t N>
auto offloads(const std::string_view (&names)[N]) {
    return [&names](const Node& node) -> Result<NicSwitches> {
        Reader r(node);
        NicSwitches out = read_switches(r, names);
        TRY_OK(r.finish());
        return out;
    };
}

}  // namespace

Result<void> read_nic_driver(const Node& node, Interface& out) {
    Reader r(node);
    out.backend = one_of(r, "name", kNicBackends).value_or(NicBackend::automatic);
    out.queues = r.opt("queues", kQueues);
    out.rx_queue_size = r.opt("rx_queue_size", kRingSize);
    out.tx_queue_size = r.opt("tx_queue_size", kRingSize);
    out.transmit = r.get("txmode", kNicTransmits, NicTransmit::unsaid);
    out.driver = read_switches(r, kSwitches);
    out.host_offloads = r.parse_child("host", offloads(kHostOffloads)).value_or(NicSwitches{});
    out.guest_offloads = r.parse_child("guest", offloads(kGuestOffloads)).value_or(NicSwitches{});
    return r.finish();
}

}  // namespace bascule::vmm::parts
