// SPDX-License-Identifier: GPL-2.0-or-later
// Names between the host and its networks, both ways.
//
// From the host: the name servers and search domains of /etc/resolv.conf, followed as it changes, are what networks
// forward to. Addresses of ours among them would be a circle and are left out; so is systemd-resolved's own when
// all that it asks is ours.
//
// To the host: systemd-resolved, where it runs, is told for each network's bridge which domain and which reverse names
// are asked for there. And the files are written that the peer's NSS modules and many tools read: for each bridge its
// leases and, in a second one, the guests' names and MACs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/host.h"
#include "dhcp/spec.h"
#include "kernel/linux/resolved.h"

namespace bascule::daemon {

struct HostResolvers {
    std::vector<Ip> servers;
    std::vector<std::string> search;
    bool operator==(const HostResolvers&) const = default;
};
// `resolved_conf`: what systemd-resolved asks itself (/run/systemd/resolve/resolv.conf), empty where there is none.
HostResolvers resolvers_of(std::string_view resolv_conf, std::string_view resolved_conf, const std::multiset<Ip>& ours);

// What systemd-resolved is to ask a network about. None: nothing, as names of it are not told apart from others'.
std::vector<std::string> host_domains(const dhcp::Spec& spec);

// The files' contents (JSON).
std::string status_file(const std::vector<dhcp::Lease>& leases);
std::string macs_file(const std::vector<dhcp::DnsGuest>& guests);

class HostNames {
public:
    using Resolvers = std::function<void(const HostResolvers&)>;
    using Leases = std::function<std::vector<dhcp::Lease>(const Uuid&)>;
    HostNames(Host& host, Resolvers resolvers, Leases leases);

    // Reads resolv.conf now and whenever it changes.
    void follow();
    // systemd-resolved is not told of it, by <domain register='no'>. Said before network_up().
    void keep_from_host(const Uuid& network, bool kept);
    // The network is served, or its definition or guests are others; its bridge is there.
    void network_up(const dhcp::Spec& spec);
    void network_down(const Uuid& network);
    void leases_changed(const Uuid& network);

private:
    struct Known {
        dhcp::Spec spec;
        bool kept = false;                     // resolved was not told, or told nothing
        std::unique_ptr<kernel::Watch> later;  // the files will be written
        kernel::Time next{};                   // not before
    };

    void read();
    void add_servers(const dhcp::Spec& spec);
    void remove_servers(const dhcp::Spec& spec);
    void tell_resolved(const dhcp::Spec& spec);
    void write_files(Known& known);

    Host& host_;
    Resolvers resolvers_;
    Leases leases_;
    std::unique_ptr<kernel::os::Resolved> resolved_;
    std::map<Uuid, Known> networks_;
    std::multiset<Ip> ours_;  // our servers' addresses: a network more is not a walk through all of them
    std::set<Uuid> kept_;     // of whom the host is told nothing
    HostResolvers last_;
    bool following_ = false, told_ = false;
    UniqueFd changes_;
    std::unique_ptr<kernel::Watch> watch_;
};

}  // namespace bascule::daemon
