// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "vmm/names.h"
#include "vmm/xml_parts.h"

namespace bascule::vmm::parts {

namespace {

using xml::kText;
using xml::Value;

constexpr std::string_view kLaterChildren[] = {
    "acpi", "backend",     "backenddomain", "bandwidth", "coalesce", "downscript", "guest",       "ip",
    "port", "portForward", "route",         "script",    "teaming",  "tune",       "virtualport", "vlan",
};
constexpr std::string_view kLaterDriverAttributes[] = {
    "ats", "event_idx",       "ioeventfd",     "iommu",         "packed", "page_per_vq",
    "rss", "rss_hash_report", "rx_queue_size", "tx_queue_size", "txmode",
};

bool all_of(std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [more](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || more.contains(c);
    });
}

constexpr Value<MacAddr> kUnicastMac{"the MAC address of one station",
                                     [](std::string_view t) -> std::optional<MacAddr> {
                                         const auto mac = parse_mac(t);
                                         return mac && !mac->is_multicast() ? mac : std::nullopt;
                                     }};
constexpr Value<IfName> kIfName{"a network device's name of 1 to 15 characters", IfName::parse};
constexpr Value<ObjectName> kNetworkName{"a network's name", ObjectName::parse};
constexpr Value<unsigned> kQueues{"a number of queues, 1 to 256", xml::parse_number<unsigned, 1, 256>};
// RFC 791: every link carries 68 bytes; 65521 is the most that tap and bridge take.
constexpr Value<std::uint32_t> kMtu{"an MTU, 68 to 65521", xml::parse_number<std::uint32_t, 68, 65521>};
// The alphabets of the peer's filter language; what is outside them it drops without a word, and we refuse.
constexpr Value<std::string> kParameterName{"a name of letters, digits and '_'", [](std::string_view t) {
                                                return all_of(t, "_") ? std::optional(std::string(t)) : std::nullopt;
                                            }};
constexpr Value<std::string> kParameterValue{"a value of letters, digits, '_', '.' and ':'", [](std::string_view t) {
                                                 return all_of(t, "_.:") ? std::optional(std::string(t)) : std::nullopt;
                                             }};
constexpr Value<ObjectName> kFilterName{"a filter's name", ObjectName::parse};

Result<std::string> read_source(const Node& node, Interface::Type type) {
    Reader r(node);
    std::string out;
    if (type == Interface::Type::network) {
        if (const auto name = r.req("network", kNetworkName)) {
            out = name->str();
        }
        r.not_supported_attr("portgroup", "name the network alone");
        r.ignore_attr("portid");  // what a running guest's description adds
        r.ignore_attr("bridge");
    } else if (const auto name = r.req("bridge", kIfName)) {
        out = name->str();
    }
    TRY_OK(r.finish());
    return out;
}

// One attribute of one element, as in <mtu size='9000'/>.
template <class T>
auto attribute(std::string_view attr, const Value<T>& value) {
    return [attr, &value](const Node& node) -> Result<T> {
        Reader r(node);
        auto got = r.req(attr, value);
        TRY_OK(r.finish());
        return *std::move(got);
    };
}
template <class E, std::size_t N>
auto attribute(std::string_view attr, const EnumNames<E, N>& names) {
    return [attr, &names](const Node& node) -> Result<E> {
        Reader r(node);
        const auto got = r.opt(attr, names);
        if (!got) {
            r.report(Fault::Kind::missing, attr, names.choices(), {});
        }
        TRY_OK(r.finish());
        return *got;
    };
}

Result<NicModel> read_model(const Node& node) {
    Reader r(node);
    auto model = one_of(r, "type", kNicModels);
    if (!model) {
        r.report(Fault::Kind::missing, "type", kNicModels.choices(), {});
    }
    TRY_OK(r.finish());
    return *model;
}

struct Driver {
    NicBackend backend = NicBackend::automatic;
    std::optional<unsigned> queues;
};

Result<Driver> read_driver(const Node& node) {
    Reader r(node);
    Driver out;
    out.backend = one_of(r, "name", kNicBackends).value_or(NicBackend::automatic);
    out.queues = r.opt("queues", kQueues);
    refuse_attributes(r, kLaterDriverAttributes);
    r.not_supported_child("host");
    r.not_supported_child("guest");
    TRY_OK(r.finish());
    return out;
}

// Empty: a name that a daemon had made.
Result<std::optional<IfName>> read_target(const Node& node) {
    Reader r(node);
    const auto dev = r.req("dev", kIfName);
    r.not_supported_attr("managed");
    TRY_OK(r.finish());
    return dev->str().starts_with(kGeneratedTarget) ? std::nullopt : dev;
}

Result<std::pair<std::string, std::string>> read_parameter(const Node& node) {
    Reader r(node);
    const auto name = r.req("name", kParameterName);
    const auto value = r.req("value", kParameterValue);
    TRY_OK(r.finish());
    return std::pair(*name, *value);
}

Result<FilterRef> read_filterref(const Node& node) {
    Reader r(node);
    const auto filter = r.req("filter", kFilterName);
    auto parameters = r.parse_children("parameter", read_parameter);
    TRY_OK(r.finish());
    return FilterRef{filter->str(), std::move(parameters)};
}

Result<bool> read_rom(const Node& node) {
    Reader r(node);
    const bool enabled = r.get("enabled", xml::kYesNo, true);
    r.not_supported_attr("bar");
    r.not_supported_attr("file");
    TRY_OK(r.finish());
    return enabled;
}

}  // namespace

Result<Interface> read_interface(const Node& node) {
    Reader r(node);
    Interface out;
    if (const auto type = one_of(r, "type", kInterfaceTypes)) {
        out.type = *type;
    } else {
        r.report(Fault::Kind::missing, "type", kInterfaceTypes.choices(), {});
    }
    r.not_supported_attr("trustGuestRxFilters");
    r.not_supported_attr("managed");
    r.req_child("source");
    out.source = r.parse_child("source", [&](const Node& n) { return read_source(n, out.type); }).value_or("");
    out.mac = r.parse_child("mac", attribute("address", kUnicastMac));
    if (out.mac && out.mac->is_zero()) {
        out.mac.reset();  // the peer's way to ask for a fresh one
    }
    out.target = r.parse_child("target", read_target).value_or(std::nullopt);
    // A NIC with no model is a Realtek for the peer on this architecture, and so for definitions made for it.
    out.model = r.parse_child("model", read_model).value_or(NicModel::rtl8139);
    if (const auto driver = r.parse_child("driver", read_driver)) {
        out.backend = driver->backend;
        out.queues = driver->queues;
    }
    out.filter = r.parse_child("filterref", read_filterref);
    out.link_state = r.parse_child("link", attribute("state", kLinkStates));
    out.link_up = out.link_state.value_or(true);
    out.mtu = r.parse_child("mtu", attribute("size", kMtu));
    out.boot_order = r.parse_child("boot", attribute("order", kBootOrder));
    out.rom = r.parse_child("rom", read_rom).value_or(true);
    out.alias = r.parse_child("alias", read_alias).value_or("");
    out.address = r.parse_child("address", read_pci_address).value_or(std::nullopt);
    refuse_children(r, kLaterChildren);
    if (out.queue_count() > 1 && out.model != NicModel::virtio) {
        r.report(Fault::Kind::inconsistent, {}, "more than one queue needs <model type='virtio'/>",
                 std::string(kNicModels.name(out.model)));
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace bascule::vmm::parts
