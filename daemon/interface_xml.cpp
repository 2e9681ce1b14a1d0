// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/interface_xml.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/xml.h"
#include "daemon/host_interface_spec.h"

namespace bascule::daemon {

namespace {

using kernel::HostLink;

class Document {
public:
    Document(const std::vector<HostLink>& all, const std::function<std::uint32_t(const HostLink&)>& speed)
        : all_(all), speed_(speed) {}

    // `inside` another one: there the schema has no addresses and no MTU.
    void write(const HostLink& link, bool inside) {
        const std::vector<const HostLink*> ports = ports_of(link);
        const std::string_view type = link.kind == "bridge"                                      ? "bridge"
                                      : link.kind == "bond" && !ports.empty()                    ? "bond"
                                      : link.kind == "vlan" && link.vlan && !link.parent.empty() ? "vlan"
                                                                                                 : "ethernet";
        w_.open("interface", {{"type", std::string(type)}, {"name", link.name.str()}});
        if (!inside) {
            w_.empty("mtu", {{"size", std::to_string(link.mtu)}});
            write_addresses(link, IpFamily::v4);
            write_addresses(link, IpFamily::v6);
        }
        if (type == "ethernet" && link.mac) {
            w_.empty("mac", {{"address", format(*link.mac)}});
        }
        if (type != "bridge") {
            write_state(link);
        }
        if (type == "vlan") {
            w_.open("vlan", {{"tag", std::to_string(*link.vlan)}});
            w_.empty("interface", {{"name", link.parent}});
            w_.close();
        } else if (type == "bond") {
            open_bond(w_, link.bond.value_or(kernel::BondSettings{}));
            write_ports(ports, true);
        } else if (type == "bridge") {
            write_bridge(link, ports);
        }
        w_.close();
    }
    std::string take() { return w_.take(); }

private:
    std::vector<const HostLink*> ports_of(const HostLink& link) const {
        std::vector<const HostLink*> ports;
        for (const HostLink& other : all_) {
            if (other.master == link.name.str()) {
                ports.push_back(&other);
            }
        }
        return ports;
    }

    void write_bridge(const HostLink& link, const std::vector<const HostLink*>& ports) {
        xml::Writer::Attrs attrs;
        if (link.stp) {
            attrs.emplace_back("stp", *link.stp ? "on" : "off");
        }
        if (link.delay_centis) {  // in seconds, with a fraction where there is one
            const unsigned centis = *link.delay_centis;
            attrs.emplace_back("delay", centis % 100 == 0 ? std::to_string(centis / 100)
                                                          : fmt::format("{}.{:02}", centis / 100, centis % 100));
        }
        if (ports.empty()) {
            w_.empty("bridge", attrs);
            return;
        }
        w_.open("bridge", attrs);
        write_ports(ports, false);
    }

    void write_ports(const std::vector<const HostLink*>& ports, bool plain) {
        for (const HostLink* const port : ports) {
            HostLink shown = *port;
            if (plain || shown.kind == "bridge") {
                shown.kind.clear();
            }
            write(shown, true);
        }
        w_.close();
    }

    void write_state(const HostLink& link) {
        xml::Writer::Attrs attrs;
        if (const std::uint32_t speed = speed_(link); speed != 0) {
            attrs.emplace_back("speed", std::to_string(speed));
        }
        attrs.emplace_back("state", link.carrier ? "up" : "down");
        w_.empty("link", attrs);
    }

    void write_addresses(const HostLink& link, IpFamily family) {
        const auto mine = [family](const IpInterface& address) { return address.address.family() == family; };
        if (std::ranges::none_of(link.addresses, mine)) {
            return;
        }
        w_.open("protocol", {{"family", family == IpFamily::v4 ? "ipv4" : "ipv6"}});
        for (const IpInterface& address : link.addresses) {
            if (mine(address)) {
                w_.empty("ip", {{"address", format(address.address)}, {"prefix", std::to_string(address.length)}});
            }
        }
        for (const Ip& gateway : link.gateways) {  // the schema has one
            if (gateway.family() == family) {
                w_.empty("route", {{"gateway", format(gateway)}});
                break;
            }
        }
        w_.close();
    }

    const std::vector<HostLink>& all_;
    const std::function<std::uint32_t(const HostLink&)>& speed_;
    xml::Writer w_;
};

}  // namespace

std::string interface_xml(const HostLink& link, const std::vector<HostLink>& all,
                          const std::function<std::uint32_t(const HostLink&)>& speed) {
    Document document(all, speed);
    document.write(link, false);
    return document.take();
}

}  // namespace bascule::daemon
