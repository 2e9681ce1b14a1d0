// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/subscriptions.h"

#include <algorithm>

#include <fmt/format.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace {
// virDomainEventID, virNetworkEventID: the only ones that are sent yet. Others may be asked for: they never come.
constexpr std::int32_t kLifecycle = 0;
constexpr std::int32_t kDomainEvents = 28, kNetworkEvents = 2;
}  // namespace

Result<std::int32_t> Subscriptions::add(rpc::Session& session, Class what, std::int32_t event,
                                        std::optional<Uuid> object) {
    if (event < 0 || event >= (what == Class::domain ? kDomainEvents : kNetworkEvents)) {
        return fail(Code::invalid_argument, fmt::format("unsupported event ID {}", event));
    }
    std::erase_if(entries_, [](const Entry& entry) { return entry.session.expired(); });
    const bool twice = std::ranges::any_of(entries_, [&](const Entry& entry) {
        return entry.session.lock().get() == &session && entry.what == what && entry.event == event &&
               entry.object == object;
    });
    if (twice) {
        return fail(Code::invalid_argument, "event callback already tracked");
    }
    const std::int32_t callback = session.next_callback_id();
    entries_.push_back({session.weak_from_this(), callback, what, event, object});
    return callback;
}

Result<void> Subscriptions::remove(rpc::Session& session, Class what, std::int32_t callback) {
    const auto removed = std::erase_if(entries_, [&](const Entry& entry) {
        return entry.session.lock().get() == &session && entry.what == what && entry.callback == callback;
    });
    if (removed == 0) {
        return fail(Code::internal, fmt::format("could not find event callback {} for deletion", callback));
    }
    return {};
}

template <class Send>
void Subscriptions::each(Class what, std::int32_t event, const Uuid& object, Send send) {
    // Sending may end a session, which must not disturb the walk: entries are only erased afterwards.
    for (const Entry& entry : entries_) {
        if (entry.what != what || entry.event != event || (entry.object && *entry.object != object)) {
            continue;
        }
        if (const auto session = entry.session.lock()) {
            send(*session, entry.callback);
        }
    }
    std::erase_if(entries_, [](const Entry& entry) { return entry.session.expired(); });
}

void Subscriptions::publish(const DomainEvent& event) {
    each(Class::domain, kLifecycle, event.uuid, [&](rpc::Session& session, std::int32_t callback) {
        session.event<rpc::proto::domain_event_callback_lifecycle>(
            {.callback_id = callback,
             .msg = {.dom = {.name = event.name, .uuid = event.uuid, .id = event.id},
                     .event = event.event,
                     .detail = event.detail}});
    });
}

void Subscriptions::publish(const NetworkEvent& event) {
    each(Class::network, kLifecycle, event.uuid, [&](rpc::Session& session, std::int32_t callback) {
        session.event<rpc::proto::network_event_lifecycle>({.callback_id = callback,
                                                            .net = {.name = event.name, .uuid = event.uuid},
                                                            .event = event.event,
                                                            .detail = event.detail});
    });
}

}  // namespace bascule::daemon
