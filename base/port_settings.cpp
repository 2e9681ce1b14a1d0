// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/port_settings.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/xml_read.h"

namespace bascule {

namespace {

using xml::Fault;
using xml::Node;
using xml::Reader;
using xml::Value;

constexpr Value<std::uint64_t> kRate{"a whole number, at most 2^54", xml::parse_number<std::uint64_t, 0, kMostRate>};
constexpr Value<std::uint16_t> kVlanId{"a VLAN number, 0 to 4095", xml::parse_number<std::uint16_t, 0, 4095>};
constexpr Value<Uuid> kUuid{"a UUID", Uuid::parse};

// A number as C writes it: the peer's schema has these decimal or hexadecimal.
template <std::uint32_t Max>
std::optional<std::uint32_t> c_number(std::string_view text) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    const std::string_view digits = hex ? text.substr(2) : text;
    std::uint32_t value = 0;
    const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    const bool whole = ec == std::errc() && stop == digits.data() + digits.size();
    return whole && value <= Max ? std::optional(value) : std::nullopt;
}
constexpr Value<std::uint32_t> kByte{"a number, 0 to 255", c_number<0xff>};
constexpr Value<std::uint32_t> kTypeId{"a number, 0 to 16777215", c_number<0xff'ffff>};
// IFLA_PORT_PROFILE and the peer: 39 characters and a NUL.
constexpr Value<std::string> kProfile{"a profile's name of 1 to 39 characters", [](std::string_view t) {
                                          const bool fits = !t.empty() && t.size() < 40 && !t.contains('\n');
                                          return fits ? std::optional(std::string(t)) : std::nullopt;
                                      }};

constexpr EnumNames<VlanTag::Native, 2> kNativeModes{
    {{{"tagged", VlanTag::Native::tagged}, {"untagged", VlanTag::Native::untagged}}}};

Result<Rate> read_rate(const Node& node) {
    Reader r(node);
    Rate rate{.average = r.get("average", kRate, 0U),
              .peak = r.get("peak", kRate, 0U),
              .burst = r.get("burst", kRate, 0U),
              .floor = r.get("floor", kRate, 0U)};
    if (node.name == "outbound" && node.attr("floor") != nullptr) {
        r.report(Fault::Kind::inconsistent, "floor", "only <inbound> has a floor", *node.attr("floor"));
    } else if (rate.average == 0 && rate.floor == 0) {
        r.report(Fault::Kind::missing, "average", "a rate in kilobytes a second (or, inbound, a floor)", {});
    } else if (rate.average == 0 && (rate.peak != 0 || rate.burst != 0)) {
        r.report(Fault::Kind::inconsistent, rate.peak != 0 ? "peak" : "burst", "peak and burst need an average", {});
    } else if (rate.peak != 0 && rate.peak < rate.average) {
        r.report(Fault::Kind::inconsistent, "peak", "it is below the average", std::to_string(rate.peak));
    }
    TRY_OK(r.finish());
    return rate;
}

Result<VlanTag> read_tag(const Node& node) {
    Reader r(node);
    const auto id = r.req("id", kVlanId);
    const auto native = r.get("nativeMode", kNativeModes, VlanTag::Native::no);
    TRY_OK(r.finish());
    return VlanTag{*id, native};
}

void write_rate(xml::Writer& w, std::string_view name, const std::optional<Rate>& rate) {
    if (!rate) {
        return;
    }
    xml::Writer::Attrs attrs;
    for (const auto& [key, value] : {std::pair{"average", rate->average}, std::pair{"peak", rate->peak},
                                     std::pair{"floor", rate->floor}, std::pair{"burst", rate->burst}}) {
        if (value != 0) {
            attrs.emplace_back(key, std::to_string(value));
        }
    }
    w.empty(name, attrs);
}

}  // namespace

Result<Bandwidth> read_bandwidth(const Node& node) {
    Reader r(node);
    Bandwidth out{.inbound = r.parse_child("inbound", read_rate), .outbound = r.parse_child("outbound", read_rate)};
    r.ignore_attr("classID");  // the peer's, in a <networkport>: a number of its own making
    TRY_OK(r.finish());
    return out;
}

Result<Vlan> read_vlan(const Node& node) {
    Reader r(node);
    const auto trunk = r.opt("trunk", xml::kYesNo);
    Vlan out{.trunk = trunk.value_or(false), .tags = r.parse_children("tag", read_tag)};
    const auto natives =
        std::ranges::count_if(out.tags, [](const VlanTag& t) { return t.native != VlanTag::Native::no; });
    if (r.ok() && out.tags.empty()) {
        r.report(Fault::Kind::missing, {}, "at least one <tag id='…'/>", {});
    } else if (natives > 1) {
        r.report(Fault::Kind::inconsistent, {}, "only one of its tags can be the native one", {});
    } else if (trunk == false && (out.tags.size() > 1 || natives > 0)) {
        r.report(Fault::Kind::inconsistent, "trunk", "more than one tag, or a native one, makes a trunk", "no");
    }
    out.trunk = out.trunk || out.tags.size() > 1 || natives > 0;
    TRY_OK(r.finish());
    return out;
}

Result<VirtualPort> read_virtual_port(const Node& node) {
    Reader r(node);
    VirtualPort out;
    if (const std::string* const type = node.attr("type"); type != nullptr && *type == "none") {
        r.ignore_attr("type");  // the peer's word for one without a type
    } else {
        out.type = r.get("type", kVirtualPortTypes, VirtualPort::Type::unsaid);
    }
    const auto parameters = [&out](const Node& child) -> Result<bool> {
        Reader p(child);
        const auto small = [](std::optional<std::uint32_t> v) {
            return v ? std::optional(static_cast<std::uint8_t>(*v)) : std::nullopt;
        };
        out.manager = small(p.opt("managerid", kByte));
        out.type_id = p.opt("typeid", kTypeId);
        out.type_version = small(p.opt("typeidversion", kByte));
        out.instance = p.opt("instanceid", kUuid);
        out.interface = p.opt("interfaceid", kUuid);
        out.profile = p.opt("profileid", kProfile).value_or("");
        TRY_OK(p.finish());
        return true;
    };
    r.parse_child("parameters", parameters);
    TRY_OK(r.finish());
    return out;
}

void write_bandwidth(xml::Writer& w, const Bandwidth& bandwidth, unsigned class_id) {
    if (bandwidth.empty()) {
        return;
    }
    w.open("bandwidth",
           class_id == 0 ? xml::Writer::Attrs{} : xml::Writer::Attrs{{"classID", std::to_string(class_id)}});
    write_rate(w, "inbound", bandwidth.inbound);
    write_rate(w, "outbound", bandwidth.outbound);
    w.close();
}

void write_vlan(xml::Writer& w, const Vlan& vlan) {
    w.open("vlan", vlan.trunk ? xml::Writer::Attrs{{"trunk", "yes"}} : xml::Writer::Attrs{});
    for (const VlanTag& tag : vlan.tags) {
        xml::Writer::Attrs attrs{{"id", std::to_string(tag.id)}};
        if (tag.native != VlanTag::Native::no) {
            attrs.emplace_back("nativeMode", kNativeModes.name(tag.native));
        }
        w.empty("tag", attrs);
    }
    w.close();
}

void write_virtual_port(xml::Writer& w, const VirtualPort& port) {
    xml::Writer::Attrs attrs, parameters;
    if (port.type != VirtualPort::Type::unsaid) {
        attrs.emplace_back("type", kVirtualPortTypes.name(port.type));
    }
    if (port.manager) {
        parameters.emplace_back("managerid", std::to_string(*port.manager));
    }
    if (port.type_id) {
        parameters.emplace_back("typeid", std::to_string(*port.type_id));
    }
    if (port.type_version) {
        parameters.emplace_back("typeidversion", std::to_string(*port.type_version));
    }
    if (port.instance) {
        parameters.emplace_back("instanceid", format(*port.instance));
    }
    if (port.interface) {
        parameters.emplace_back("interfaceid", format(*port.interface));
    }
    if (!port.profile.empty()) {
        parameters.emplace_back("profileid", port.profile);
    }
    if (parameters.empty()) {
        w.empty("virtualport", attrs);
        return;
    }
    w.open("virtualport", attrs);
    w.empty("parameters", parameters);
    w.close();
}

Result<void> complete(VirtualPort& port, bool generate, const std::function<Uuid()>& fresh) {
    using Type = VirtualPort::Type;
    if (port.type == Type::unsaid) {
        return {};
    }
    const bool qbg = port.type == Type::qbg, qbh = port.type == Type::qbh;
    const bool by_interface = port.type == Type::openvswitch || port.type == Type::midonet;
    struct {
        std::string_view name;
        bool present, useful, needed;
    } const parameters[] = {{"managerid", port.manager.has_value(), qbg, qbg},
                            {"typeid", port.type_id.has_value(), qbg, qbg},
                            {"typeidversion", port.type_version.has_value(), qbg, qbg},
                            {"instanceid", port.instance.has_value(), qbg, qbg && !generate},
                            {"profileid", !port.profile.empty(), qbh || port.type == Type::openvswitch, qbh},
                            {"interfaceid", port.interface.has_value(), by_interface, by_interface && !generate}};
    for (const auto& one : parameters) {
        if (one.present && !one.useful) {
            return fail(Code::invalid_xml, fmt::format("<virtualport type='{}'> has no use for the parameter {}",
                                                       kVirtualPortTypes.name(port.type), one.name));
        }
        if (one.needed && !one.present) {
            return fail(Code::invalid_xml, fmt::format("<virtualport type='{}'> needs the parameter {}",
                                                       kVirtualPortTypes.name(port.type), one.name));
        }
    }
    if (generate && qbg && !port.instance) {
        port.instance = fresh();
    }
    if (generate && by_interface && !port.interface) {
        port.interface = fresh();
    }
    return {};
}

Result<std::optional<VirtualPort>> merge(const std::optional<VirtualPort>& interface,
                                         const std::optional<VirtualPort>& network,
                                         const std::optional<VirtualPort>& portgroup) {
    std::optional<VirtualPort> out;
    std::string clash;
    const auto take = [&clash](auto& into, const auto& from, const auto& nothing, std::string_view name) {
        if (from == nothing) {
            return;
        }
        if (into != nothing && into != from && clash.empty()) {
            clash = name;
        }
        into = into == nothing ? from : into;
    };
    for (const std::optional<VirtualPort>* const one : {&interface, &network, &portgroup}) {
        if (!*one) {
            continue;
        }
        VirtualPort& into = out ? *out : out.emplace();
        const VirtualPort& from = **one;
        take(into.type, from.type, VirtualPort::Type::unsaid, "type");
        take(into.manager, from.manager, std::optional<std::uint8_t>(), "managerid");
        take(into.type_id, from.type_id, std::optional<std::uint32_t>(), "typeid");
        take(into.type_version, from.type_version, std::optional<std::uint8_t>(), "typeidversion");
        take(into.instance, from.instance, std::optional<Uuid>(), "instanceid");
        take(into.interface, from.interface, std::optional<Uuid>(), "interfaceid");
        take(into.profile, from.profile, std::string(), "profileid");
    }
    if (!clash.empty()) {
        return fail(Code::invalid_xml,
                    fmt::format("the <virtualport> of interface, network and portgroup contradict each other in {}: "
                                "say it in one of them, or alike",
                                clash));
    }
    return out;
}

}  // namespace bascule
