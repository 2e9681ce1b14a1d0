// SPDX-License-Identifier: GPL-2.0-or-later
// The leases of one network, indexed by all that anybody asks for.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/net.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

// Time runs twice: leases end by a clock that neither jumps nor stops in suspend (CLOCK_BOOTTIME), and are stored
// and shown in wall-clock time.
using Time = std::chrono::steady_clock::time_point;
inline constexpr Time kEndOfTime = Time::max();

struct Now {
    Time time;
    std::chrono::sys_seconds wall;
};

// What a port has (active), or had last and gets back when it can (affinity).
struct Binding {
    Lease lease;
    Time ends = kEndOfTime;
    bool active = false;
};

// Whose a lease is: the port's, or, where leases are kept by identifier (RFC 4361), whoever shows that identifier.
struct ClientKey {
    MacAddr port;    // zeros with an identifier
    std::string id;  // the identifier's octets; empty: the port is the key
    auto operator<=>(const ClientKey&) const = default;
};
ClientKey key_of(const MacAddr& port, std::string_view client_id, bool by_id);
ClientKey client_of(const Lease& lease);

}  // namespace bascule::dhcp

template <>
struct std::hash<bascule::dhcp::ClientKey> {
    std::size_t operator()(const bascule::dhcp::ClientKey& key) const noexcept {
        return key.id.empty() ? std::hash<bascule::MacAddr>()(key.port) : std::hash<std::string>()(key.id);
    }
};

namespace bascule::dhcp {

// Invariants: a client has one binding, an address one client, an active binding's host name one client. So there are
// never more bindings than addresses.
class LeaseTable {
public:
    LeaseTable() = default;
    LeaseTable(LeaseTable&&) = default;
    LeaseTable& operator=(LeaseTable&&) = default;
    LeaseTable(const LeaseTable&) = delete;  // its index points into it
    LeaseTable& operator=(const LeaseTable&) = delete;
    ~LeaseTable() = default;

    const Binding* by_client(const ClientKey& client) const;
    // The port's own; unless that is active, one of those that clients behind it have by their identifiers.
    const Binding* by_port(const MacAddr& port) const;
    const Binding* by_address(const Ip& address) const;
    const Binding* by_name(const std::string& hostname) const;  // active ones only

    // Makes this the client's binding, forgetting what it had before and who had the address before. The caller
    // has checked that nobody else holds it. A name that another client holds is left out.
    const Binding& bind(Lease lease, Time ends);
    // A binding as it was stored, active or not; what contradicts it goes.
    void restore(Lease lease, Time ends, bool active);
    // The lease is over, the address stays remembered. None when there was no active one.
    std::optional<Lease> end(const ClientKey& client);
    void forget(const ClientKey& client);
    void clear_name(const Ip& address);
    // From now on leases are kept by identifier, or by port: what is there follows, except that of two that then
    // have one key the second stays as it is, until it ends.
    void rekey(bool by_id);

    // Ends all that is due by then.
    std::vector<Lease> expire(Time now);
    Time next_end() const { return ends_.empty() ? kEndOfTime : (*ends_.begin())->ends; }

    // In the order of addresses, so that a long walk can be interrupted and resumed after an address.
    const std::map<Ip, Binding>& all() const { return bindings_; }
    std::size_t size() const { return bindings_.size(); }
    std::size_t active() const { return active_; }
    // Grows with each change, so that what was made of the leases can be told to be stale.
    std::uint64_t changes() const { return changes_; }

private:
    // The indexes hold pointers alone, and find what they go by in the binding: with many leases their size counts.
    // Hashes are kept beside the pointers, since the functions here may throw.
    struct AddressIndex {
        using is_transparent = void;
        static const Ip& of(const Ip& address) { return address; }
        static const Ip& of(const Binding* binding) { return binding->lease.address; }
        std::size_t operator()(const auto& one) const { return std::hash<Ip>()(of(one)); }
        bool operator()(const auto& a, const auto& b) const { return of(a) == of(b); }
    };
    struct NameIndex {
        using is_transparent = void;
        static const std::string& of(const std::string& name) { return name; }
        static const std::string& of(const Binding* binding) { return binding->lease.hostname; }
        std::size_t operator()(const auto& one) const { return std::hash<std::string>()(of(one)); }
        bool operator()(const auto& a, const auto& b) const { return of(a) == of(b); }
    };
    struct ClientIndex {
        using is_transparent = void;
        static std::pair<MacAddr, std::string_view> of(const ClientKey& client) { return {client.port, client.id}; }
        static std::pair<MacAddr, std::string_view> of(const Binding* binding);
        std::size_t operator()(const auto& one) const {
            const auto [port, id] = of(one);
            return id.empty() ? std::hash<MacAddr>()(port) : std::hash<std::string_view>()(id);
        }
        bool operator()(const auto& a, const auto& b) const { return of(a) == of(b); }
    };
    struct EarlierEnd {
        bool operator()(const Binding* a, const Binding* b) const {
            return a->ends != b->ends ? a->ends < b->ends : a->lease.address < b->lease.address;
        }
    };
    template <class By>
    using Index = std::unordered_set<Binding*, By, By>;

    void activate(Binding& binding);
    void deactivate(Binding& binding);

    std::map<Ip, Binding> bindings_;
    Index<AddressIndex> by_address_;  // all of them, as in the next
    Index<ClientIndex> clients_;
    std::multimap<MacAddr, Ip> behind_;    // of bindings kept by identifier
    Index<NameIndex> names_;               // active ones
    std::set<Binding*, EarlierEnd> ends_;  // active ones that end
    std::size_t active_ = 0;
    std::uint64_t changes_ = 0;
};

// The lease with `expires` worked out again from the clock that does not jump.
Lease as_of(const Binding& binding, const Now& now);

}  // namespace bascule::dhcp
