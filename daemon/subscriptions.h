// SPDX-License-Identifier: GPL-2.0-or-later
// Who wants to hear of what.
//
// A client registers for one event of one class, of one object or of all. Ids are counted per connection over all
// classes, since go-libvirt keeps one table of them. Whoever has something to tell fills in the event's message and
// publishes it; the class, the event's id and the object follow from the message itself:
//
//   subscriptions.publish<proto::storage_pool_event_lifecycle>({.pool = …, .event = …, .detail = …});
//   subscriptions.publish<proto::domain_event_callback_reboot>({.msg = {.dom = …}});
//
// It is encoded once, whoever listens; only the callback id differs. Very old clients register without ids (calls 105
// and 167) and get the older form of the same event, which is the newer one without its id. Everything of a client is
// forgotten with its connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/result.h"
#include "daemon/host.h"
#include "rpc/proto_types.h"
#include "rpc/xdr.h"

namespace bascule::rpc {
class Session;
}

namespace bascule::daemon {

class Subscriptions {
public:
    enum class Class { domain, network, storage_pool, node_device, secret, monitor, lease };
    // What an object is told apart by within its class.
    static std::string key(const Uuid& uuid) { return {reinterpret_cast<const char*>(uuid.octets.data()), 16}; }
    static std::string key(const rpc::proto::Domain& domain) { return key(domain.uuid); }
    static std::string key(const rpc::proto::Network& network) { return key(network.uuid); }
    static std::string key(const rpc::proto::StoragePool& pool) { return key(pool.uuid); }
    static std::string key(const rpc::proto::NodeDevice& device) { return device.name; }
    static std::string key(const rpc::proto::Secret& secret) { return key(secret.uuid); }

    // Returns the callback id. A second registration of the same session, event and object is refused, as
    // the peer does. `object`: absent for all of them.
    template <class T>
    Result<std::int32_t> add(rpc::Session& session, Class what, std::int32_t event, const std::optional<T>& object) {
        return add_key(session, what, event, object ? std::optional(key(*object)) : std::nullopt, false);
    }
    Result<void> remove(rpc::Session& session, Class what, std::int32_t callback);

    // Of the domain class, for clients that know no ids: all domains.
    Result<void> add_old(rpc::Session& session, std::int32_t event);
    Result<void> remove_old(rpc::Session& session, std::int32_t event);

    // QEMU's own events, as they come: all, or those of one name.
    Result<std::int32_t> add_monitor(rpc::Session& session, const std::optional<rpc::proto::Domain>& domain,
                                     const std::optional<std::string>& event, bool any_case);
    void publish_monitor(const rpc::proto::Domain& domain, const std::string& event, std::int64_t seconds,
                         std::uint32_t micros, const std::optional<std::string>& details);
    // Does anybody listen? So that nobody prepares what nobody hears.
    bool any_lease(const Uuid& network) const;
    bool any(Class what) const;

    template <class P>
    void publish(typename P::Msg message) {
        message.callback_id = 0;
        std::string object, name;
        const auto about = [&](const auto& it) {
            object = key(it);
            if constexpr (requires { it.name; }) {
                name = it.name;
            }
        };
        if constexpr (requires { message.msg.dom; }) {
            about(message.msg.dom);
        } else if constexpr (requires { message.dom; }) {
            about(message.dom);
        } else if constexpr (requires { message.net; }) {
            about(message.net);
        } else if constexpr (requires { message.pool; }) {
            about(message.pool);
        } else if constexpr (requires { message.dev; }) {
            about(message.dev);
        } else {
            about(message.secret);
        }
        if (is_wanted(P::program, P::number, object)) {
            send(P::program, P::number, name, object, rpc::encode(message));
        }
    }
    void publish(const DomainEvent& event);
    void publish(const DomainNews& news, kernel::WallTime now);
    void publish(const NetworkEvent& event);

    // From then on decides who hears of which object (its name and key): calls the last argument, now or later, or not.
    using Deliver = std::move_only_function<void(rpc::Session&)>;
    using Gate = std::function<void(rpc::Session&, Class, const std::string& name, const std::string& key, Deliver)>;
    void set_gate(Gate gate) { gate_ = std::move(gate); }

private:
    struct Entry {
        std::weak_ptr<rpc::Session> session;
        std::int32_t callback = 0;
        Class what = Class::domain;
        std::int32_t event = 0;
        std::optional<std::string> object{};  // none: all of them
        bool old = false;
        std::string name{};  // of a monitor event; empty: any
        bool any_case = false;
    };
    Result<std::int32_t> add_key(rpc::Session& session, Class what, std::int32_t event,
                                 std::optional<std::string> object, bool old);
    bool is_wanted(std::uint32_t program, std::int32_t number, const std::string& object) const;
    void send(std::uint32_t program, std::int32_t number, const std::string& name, const std::string& object,
              std::optional<Bytes> message);
    void hand_on(rpc::Session& session, Class what, const std::string& name, const std::string& object,
                 std::uint32_t program, std::int32_t number, ByteView message) const;

    std::vector<Entry> entries_;
    Gate gate_;
};

}  // namespace bascule::daemon
