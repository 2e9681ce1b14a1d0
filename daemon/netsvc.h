// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/host.h"
#include "daemon/host_names.h"
#include "dhcp/push.h"
#include "dhcp/spec.h"
#include "dhcp/wire.h"

namespace bascule::daemon {

// The daemon's end of bascule-netsvc (architecture: two processes). It opens every socket that the service
// uses, keeps a copy of each, and hands them down:
//
//   * the daemon starts: a running service is found at its socket and attached (it hands its sockets back),
//     else one is started;
//   * the service dies: a new one is started at once on the same sockets;
//   * the daemon dies: the service serves on.
//
// What is to be served is pushed whole to a service that was just found or started, and what changed from then on
// (dhcp/push.h), but for guests' names, which change one by one.
//
// DNS by UDP and DHCP must have their ports. By TCP, and for TFTP and HTTP, a port that another program has costs that
// service alone: the log says which, and who to ask.
class Netsvc {
public:
    struct Settings {
        std::string program;
        std::uint32_t uid = 0, gid = 0;
    };
    struct Callbacks {
        // One lease was given, renewed or has ended, or is part of the dump that opens a connection.
        std::function<void(const dhcp::wire::LeaseEvent&)> lease = [](const auto&) {};
        // Of these, what was not known before: for clients.
        std::function<void(const dhcp::wire::LeaseEvent&)> news = [](const auto&) {};
        // All that was learned of the port with that index.
        std::function<void(const dhcp::wire::Learned&)> learned = [](const auto&) {};
        // The service is attached, and may be another one than before: it has to hear which ports to watch.
        std::function<void()> attached = [] {};
        // It is attached and has said all that it knows; once.
        std::function<void()> ready = [] {};
    };
    Netsvc(Host& host, Settings settings);
    void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

    // Attaches or starts the service.
    Result<void> start();
    // The network's bridge must exist, unless the service is not attached yet.
    Result<void> serve(const dhcp::Spec& spec, bool tell_host = true);
    void stop_serving(const Uuid& network);
    // The network is no more: its leases go with it.
    void forget(const Uuid& network);
    // Queries for other names go where the host's resolv.conf says, now and whenever it changes.
    Result<void> follow_resolvers();
    // The inventory changed: these NICs on that network belong to guests of that name from now on, or to none (empty).
    void set_guests(const Uuid& network, const std::vector<dhcp::DnsGuest>& guests);
    void revoke(const Uuid& network, const MacAddr& port);
    // Of ports that learn addresses. Nothing is said while the service is away: callbacks().attached() says it all.
    void watch(const dhcp::WatchedPort& port);
    void unwatch(std::uint32_t port, bool only_seen = false);
    // Opens sockets anew whose bridge went away meanwhile and came back.
    Result<void> check_sockets();

    std::vector<dhcp::Lease> leases(const Uuid& network) const;  // by address, expired ones left out
    // The same of one port, and since when each is known to be right: what came in a dump is of an unknown age.
    struct PortLease {
        dhcp::Lease lease;
        std::optional<kernel::Time> since{};
    };
    std::vector<PortLease> port_leases(const Uuid& network, const MacAddr& port) const;
    // What it dropped since it serves the network, by reason.
    dhcp::Drops drops(const Uuid& network) const;
    // Calls back when the service has told of every lease of what it serves: at once as a rule, a moment later after a
    // start or a change. Bounded: a service that says nothing for two seconds is not waited for.
    void when_known(std::move_only_function<void()> then);
    bool attached() const { return phase_ == Phase::ready; }
    int pid() const { return process_ ? process_->pid() : 0; }

private:
    enum class Phase { away, greeting, ready };
    struct Packet {
        Bytes bytes;
        std::vector<UniqueFd> fds;
    };
    struct Entry {
        dhcp::Spec spec;
        dhcp::wire::SocketLayout layout;
        std::vector<UniqueFd> fds;  // in the layout's order
        // What the layout would be if every port had been free.
        dhcp::wire::SocketLayout wanted{};
        bool sent = false;  // the service has them
        // What it tells of leases is news when it has answered that push: before, they are those of its file.
        std::uint64_t news_from = 0;
    };
    static dhcp::wire::SocketLayout layout_of(const dhcp::Spec& spec);
    Result<void> open_sockets(Entry& entry);
    void say_goodbye(const Entry& entry) const;
    static void open_files(const dhcp::Spec& spec, dhcp::wire::SocketLayout& layout, std::vector<UniqueFd>& fds);
    Result<void> open_resolver_sockets();
    void set_resolvers(const HostResolvers& resolvers);
    Result<void> attach(UniqueFd channel);
    Result<void> spawn();
    void lost();
    void push();
    std::vector<Packet> packets_of(const Entry& entry) const;
    void push_upstreams();
    void nothing_is_sent();
    void send_message(const dhcp::wire::ToService& message, const std::vector<UniqueFd>* fds = nullptr);
    void send(Bytes bytes, const std::vector<UniqueFd>* fds = nullptr);
    void flush();
    void hand_copies();
    void readable();
    void handle(const dhcp::wire::ToDaemon& message, std::vector<UniqueFd> fds);
    void handle_synced(const dhcp::wire::Synced& synced);
    void handle_leases(const dhcp::wire::Leases& leases);
    void forget_older_leases();
    bool knows_all() const { return phase_ == Phase::ready && heard_ == pushes_.generation(); }
    void stop_waiting();

    Host& host_;
    Settings settings_;
    Callbacks callbacks_;
    std::map<Uuid, Entry> entries_;
    std::map<Uuid, std::vector<dhcp::DnsGuest>> guests_;  // by network, also of one that is not served
    // What the service said last. A dump begins a new epoch; what it did not mention is gone once the service says that
    // it has caught up with our latest push: a service that was just started does not know its networks before.
    struct Known {
        dhcp::Lease lease;
        std::uint64_t epoch = 0;
        std::optional<kernel::Time> since{};
    };
    std::map<Uuid, std::map<Ip, Known>> leases_;
    std::map<Uuid, dhcp::Drops> drops_;
    std::uint64_t epoch_ = 0, swept_ = 0;  // the current one; the one for which older ones were forgotten
    HostNames names_;
    HostResolvers resolvers_;
    std::vector<UniqueFd> resolver_fds_;
    dhcp::wire::UpstreamSockets resolver_sockets_;
    bool resolvers_sent_ = false;

    Phase phase_ = Phase::away;
    bool was_ready_ = false;
    bool listening_ = false;  // the service has the socket for copies of frames
    UniqueFd listener_, channel_;
    std::unique_ptr<kernel::Watch> watch_, retry_, copies_retry_;
    std::unique_ptr<kernel::Process> process_;
    std::deque<Packet> outgoing_;
    bool backed_up_ = false;  // and it waits for the channel to take more
    std::deque<kernel::Time> deaths_;
    dhcp::Pushes pushes_;
    std::uint64_t heard_ = 0;  // the last push that the service has answered
    struct Waiting {
        std::move_only_function<void()> then;
        kernel::Time until;
    };
    std::deque<Waiting> waiting_;
    std::unique_ptr<kernel::Watch> patience_;
};

}  // namespace bascule::daemon
