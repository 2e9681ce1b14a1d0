// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets that bascule-netsvc serves a network on: which, and how they are opened.
#include <algorithm>
#include <optional>

#include "base/log.h"
#include "daemon/netsvc.h"
#include "dhcp/advertiser.h"
#include "kernel/linux/link_sockets.h"
#include "kernel/linux/log_socket.h"
#include "kernel/linux/sockets.h"

namespace bascule::daemon {

namespace os = kernel::os;
namespace wire = dhcp::wire;

namespace {

const IfName kLoopback = *IfName::parse("lo");
constexpr std::uint16_t kDnsPort = 53, kTftpPort = 69, kHttpPort = 80;

}  // namespace

wire::SocketLayout Netsvc::layout_of(const dhcp::Spec& spec) {
    wire::SocketLayout layout;
    const auto has = [&](IpFamily family) {
        return std::ranges::any_of(spec.subnets, [&](const dhcp::Subnet& subnet) {
            return subnet.server.address.family() == family && subnet.serves_dhcp();
        });
    };
    layout.dhcp = layout.raw = has(IpFamily::v4);
    layout.arp = layout.dhcp && spec.probe_addresses;
    layout.advert = dhcp::advertises(spec);
    layout.dhcp6 = has(IpFamily::v6) || layout.advert;  // who only wants to know something is told
    layout.frames6 = layout.advert || layout.dhcp6;
    for (std::size_t i = 0; i < spec.subnets.size(); ++i) {
        const auto index = static_cast<std::uint16_t>(i);
        if (spec.subnets[i].relayed) {
            continue;  // no address of ours
        }
        if (spec.serve_dns) {  // for guests, and for the host itself, whose packets to itself come in by lo
            layout.dns.insert(layout.dns.end(), 2, index);
            layout.dns_tcp.insert(layout.dns_tcp.end(), 2, index);
        }
        if (!spec.file_root.empty()) {
            layout.tftp.push_back(index);
            layout.http.push_back(index);
        }
    }
    layout.root = !spec.file_root.empty();
    return layout;
}

Result<void> Netsvc::open_sockets(Entry& entry) {
    const dhcp::Spec& spec = entry.spec;
    wire::SocketLayout layout = layout_of(spec);
    entry.wanted = layout;
    std::vector<UniqueFd> fds;
    if (layout.dhcp) {
        TRY(UniqueFd dhcp, os::open_dhcp_socket(spec.bridge));
        TRY(UniqueFd raw, os::open_raw_socket(spec.bridge));
        fds.push_back(std::move(dhcp));
        fds.push_back(std::move(raw));
    }
    using Open = Result<UniqueFd> (*)(const IfName&);
    for (const auto& [wanted, open] : {std::pair<bool, Open>{layout.frames6, os::open_frames6_socket},
                                       std::pair<bool, Open>{layout.dhcp6, os::open_dhcp6_socket},
                                       std::pair<bool, Open>{layout.advert, os::open_advert_socket},
                                       std::pair<bool, Open>{layout.arp, os::open_arp_socket}}) {
        if (wanted) {
            TRY(fds.emplace_back(), open(spec.bridge));
        }
    }
    for (std::size_t i = 0; i < layout.dns.size();) {
        const bool for_host = i > 0 && layout.dns[i] == layout.dns[i - 1];
        auto dns = os::open_service_socket(spec.subnets[layout.dns[i]].server.address, kDnsPort,
                                           for_host ? kLoopback : spec.bridge);
        if (dns) {
            fds.push_back(*std::move(dns));
            ++i;
        } else if (for_host) {
            log::warning("network {}: no DNS for the host: {}", spec.network, dns.error().message);
            layout.dns.erase(layout.dns.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
            return std::unexpected(std::move(dns).error());
        }
    }
    open_files(spec, layout, fds);
    entry.layout = std::move(layout);
    entry.fds = std::move(fds);
    entry.sent = false;
    return {};
}

// What can do without: what could not be opened is taken out of the layout.
void Netsvc::open_files(const dhcp::Spec& spec, wire::SocketLayout& layout, std::vector<UniqueFd>& fds) {
    const auto warn = [&](const Error& error) { log::warning("network {}: {}", spec.network, error.message); };
    const auto open_each = [&](std::vector<std::uint16_t>& subnets, const auto& open) {
        std::erase_if(subnets, [&](std::uint16_t subnet) {
            auto opened = open(spec.subnets[subnet].server.address);
            if (!opened) {
                warn(opened.error());
                return true;
            }
            std::ranges::move(*opened, std::back_inserter(fds));
            return false;
        });
    };
    // Of two for one address the second is the host's.
    std::optional<Ip> last;
    const auto listener = [&](std::uint16_t port) {
        return [&spec, &last, port](const Ip& address) -> Result<std::vector<UniqueFd>> {
            const bool for_host = last == address;
            last = address;
            std::vector<UniqueFd> out(1);
            TRY(out[0], os::open_service_listener(address, port, for_host ? kLoopback : spec.bridge));
            return out;
        };
    };
    std::optional<UniqueFd> root;
    if (layout.root) {
        if (auto opened = os::open_place(spec.file_root)) {
            root = *std::move(opened);
        } else {
            warn(std::move(opened.error()).in("no TFTP"));
            layout.root = false;
            layout.tftp.clear();
            layout.http.clear();
        }
    }
    open_each(layout.dns_tcp, listener(kDnsPort));
    open_each(layout.tftp, [&spec](const Ip& address) -> Result<std::vector<UniqueFd>> {
        std::vector<UniqueFd> out(2);
        TRY(out[0], os::open_service_socket(address, kTftpPort, spec.bridge));
        TRY(out[1], os::open_service_socket(address, 0, spec.bridge));
        return out;
    });
    last.reset();
    open_each(layout.http, listener(kHttpPort));
    if (root) {
        fds.push_back(std::move(*root));
    }
}

Result<void> Netsvc::check_sockets() {
    bool changed = false;
    const std::uint32_t loopback = os::interface_index(kLoopback.str());
    for (auto& [uuid, entry] : entries_) {
        const std::uint32_t bridge = os::interface_index(entry.spec.bridge.str());
        // The root is no socket, and goes last.
        const auto sockets = entry.fds.size() - (entry.layout.root && !entry.fds.empty() ? 1 : 0);
        const bool stale =
            entry.wanted != layout_of(entry.spec) ||
            std::any_of(entry.fds.begin(), entry.fds.begin() + static_cast<std::ptrdiff_t>(sockets),
                        [&](const auto& fd) {
                            return !os::is_bound_to(fd.get(), bridge) && !os::is_bound_to(fd.get(), loopback);
                        });
        if (stale) {
            TRY_OK(open_sockets(entry));
            pushes_.changed(uuid);
            changed = true;
        }
    }
    if (changed) {
        push();
    }
    return {};
}

}  // namespace bascule::daemon
