// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/subscriptions.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "rpc/program.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_qemu.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;

namespace {

using Class = Subscriptions::Class;

// The event's number in the protocol, in the order of virDomainEventID, and the number that it had before there were
// callback ids. What stands between the id and the older message (`skip` bytes) is left out for older clients.
struct DomainRow {
    std::int32_t number, old_number;
    std::size_t skip;
};
constexpr std::array<DomainRow, 28> kDomainRows{
    {{318, 107, 0}, {319, 169, 0}, {320, 170, 0}, {321, 171, 0}, {322, 172, 0}, {323, 173, 0}, {324, 195, 0},
     {325, 224, 0}, {326, 241, 0}, {327, 248, 0}, {328, 268, 0}, {329, 269, 4}, {330, 270, 4}, {331, 276, 0},
     {332, 292, 4}, {333, 311, 0}, {339, 0, 0},   {346, 0, 0},   {348, 0, 0},   {354, 0, 0},   {359, 0, 0},
     {363, 0, 0},   {367, 0, 0},   {379, 0, 0},   {385, 0, 0},   {423, 0, 0},   {438, 0, 0},   {453, 0, 0}}};
constexpr std::int32_t kOldDomainEvents = 16;

struct OtherRow {
    Class what;
    std::array<std::int32_t, 2> numbers;  // life cycle, and the one other event
};
constexpr std::array<OtherRow, 4> kOtherRows{{{Class::network, {315, 446}},
                                              {Class::storage_pool, {370, 373}},
                                              {Class::node_device, {376, 377}},
                                              {Class::secret, {382, 383}}}};

struct Kind {
    Class what = Class::domain;
    std::int32_t event = 0;
};

Kind kind_of(std::uint32_t program, std::int32_t number) {
    if (program == rpc::program::bascule) {
        return {Class::lease, 0};  // the only event there
    }
    for (const OtherRow& row : kOtherRows) {
        if (const auto it = std::ranges::find(row.numbers, number); it != row.numbers.end()) {
            return {row.what, static_cast<std::int32_t>(it - row.numbers.begin())};
        }
    }
    const auto it = std::ranges::find(kDomainRows, number, &DomainRow::number);
    return {Class::domain, static_cast<std::int32_t>(it - kDomainRows.begin())};
}

std::int32_t events_of(Class what) {
    return what == Class::domain                            ? static_cast<std::int32_t>(kDomainRows.size())
           : what == Class::monitor || what == Class::lease ? 1
                                                            : 2;
}

}  // namespace

Result<std::int32_t> Subscriptions::add_key(rpc::Session& session, Class what, std::int32_t event,
                                            std::optional<std::string> object, bool old) {
    if (event < 0 || event >= (old ? kOldDomainEvents : events_of(what))) {
        return fail(Code::invalid_argument, fmt::format("unsupported event ID {}", event));
    }
    std::erase_if(entries_, [](const Entry& entry) { return entry.session.expired(); });
    const bool twice = std::ranges::any_of(entries_, [&](const Entry& entry) {
        return entry.session.lock().get() == &session && entry.what == what && entry.event == event &&
               entry.object == object && entry.old == old;
    });
    if (twice) {
        return fail(Code::invalid_argument, "event callback already tracked");
    }
    const std::int32_t callback = old ? -1 : session.next_callback_id();
    entries_.push_back({.session = session.weak_from_this(),
                        .callback = callback,
                        .what = what,
                        .event = event,
                        .object = std::move(object),
                        .old = old});
    return callback;
}

Result<void> Subscriptions::remove(rpc::Session& session, Class what, std::int32_t callback) {
    const auto removed = std::erase_if(entries_, [&](const Entry& entry) {
        return entry.session.lock().get() == &session && entry.what == what && !entry.old && entry.callback == callback;
    });
    if (removed == 0) {
        return fail(Code::internal, fmt::format("could not find event callback {} for deletion", callback));
    }
    return {};
}

Result<void> Subscriptions::add_old(rpc::Session& session, std::int32_t event) {
    TRY_OK(add_key(session, Class::domain, event, std::nullopt, true));
    return {};
}

Result<void> Subscriptions::remove_old(rpc::Session& session, std::int32_t event) {
    const auto removed = std::erase_if(entries_, [&](const Entry& entry) {
        return entry.session.lock().get() == &session && entry.old && entry.event == event;
    });
    if (removed == 0) {
        return fail(Code::internal, fmt::format("domain event {} not registered", event));
    }
    return {};
}

Result<std::int32_t> Subscriptions::add_monitor(rpc::Session& session, const std::optional<proto::Domain>& domain,
                                                const std::optional<std::string>& event, bool any_case) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.session.expired(); });
    const std::int32_t callback = session.next_callback_id();
    entries_.push_back({.session = session.weak_from_this(),
                        .callback = callback,
                        .what = Class::monitor,
                        .event = 0,
                        .object = domain ? std::optional(key(*domain)) : std::nullopt,
                        .name = event.value_or(""),
                        .any_case = any_case});
    return callback;
}

bool Subscriptions::any(Class what) const {
    return std::ranges::any_of(entries_, [what](const Entry& entry) { return entry.what == what; });
}

bool Subscriptions::any_lease(const Uuid& network) const {
    return is_wanted(proto::network_event_lease::program, proto::network_event_lease::number, key(network));
}

void Subscriptions::publish_monitor(const proto::Domain& domain, const std::string& event, std::int64_t seconds,
                                    std::uint32_t micros, const std::optional<std::string>& details) {
    const std::string object = key(domain);
    for (const Entry& entry : entries_) {
        const bool named = entry.name.empty() || (entry.any_case ? ::strcasecmp(entry.name.c_str(), event.c_str()) == 0
                                                                 : entry.name == event);
        if (entry.what != Class::monitor || !named || (entry.object && *entry.object != object)) {
            continue;
        }
        if (const auto session = entry.session.lock()) {
            const auto message = rpc::encode(proto::domain_monitor_event::Msg{.callback_id = entry.callback,
                                                                              .dom = domain,
                                                                              .event = event,
                                                                              .seconds = seconds,
                                                                              .micros = micros,
                                                                              .details = details});
            if (message) {
                hand_on(*session, Class::domain, domain.name, object, proto::domain_monitor_event::program,
                        proto::domain_monitor_event::number, *message);
            }
        }
    }
}

bool Subscriptions::is_wanted(std::uint32_t program, std::int32_t number, const std::string& object) const {
    const Kind kind = kind_of(program, number);
    return std::ranges::any_of(entries_, [&](const Entry& entry) {
        return entry.what == kind.what && entry.event == kind.event && (!entry.object || *entry.object == object);
    });
}

void Subscriptions::hand_on(rpc::Session& session, Class what, const std::string& name, const std::string& object,
                            std::uint32_t program, std::int32_t number, ByteView message) const {
    if (!gate_) {
        session.event(program, number, message);
        return;
    }
    gate_(session, what, name, object,
          [program, number, bytes = Bytes(message.begin(), message.end())](rpc::Session& allowed) {
              allowed.event(program, number, bytes);
          });
}

void Subscriptions::send(std::uint32_t program, std::int32_t number, const std::string& name, const std::string& object,
                         std::optional<Bytes> message) {
    if (!message) {
        return;  // over the protocol's limits: nobody could be told
    }
    const Kind kind = kind_of(program, number);
    // Sending may end a session, which must not disturb the walk: entries are only erased afterwards.
    for (const Entry& entry : entries_) {
        if (entry.what != kind.what || entry.event != kind.event || (entry.object && *entry.object != object)) {
            continue;
        }
        const auto session = entry.session.lock();
        if (!session) {
            continue;
        }
        if (entry.old) {
            const DomainRow& row = kDomainRows[static_cast<std::size_t>(kind.event)];
            hand_on(*session, kind.what, name, object, rpc::program::remote, row.old_number,
                    ByteView(*message).subspan(4 + row.skip));
            continue;
        }
        for (std::size_t i = 0; i < 4; ++i) {
            (*message)[i] = static_cast<std::byte>(static_cast<std::uint32_t>(entry.callback) >> (24 - 8 * i));
        }
        hand_on(*session, kind.what, name, object, program, number, *message);
    }
    std::erase_if(entries_, [](const Entry& entry) { return entry.session.expired(); });
}

void Subscriptions::publish(const DomainEvent& event) {
    publish<proto::domain_event_callback_lifecycle>(
        {.callback_id = 0,
         .msg = {.dom = {.name = event.name, .uuid = event.uuid, .id = event.id},
                 .event = event.event,
                 .detail = event.detail}});
}

void Subscriptions::publish(const DomainNews& news, kernel::WallTime now) {
    const proto::Domain dom{.name = news.name, .uuid = news.uuid, .id = news.id};
    if (std::holds_alternative<DomainNews::Rebooted>(news.what)) {
        publish<proto::domain_event_callback_reboot>({.callback_id = 0, .msg = {.dom = dom}});
    } else if (std::holds_alternative<DomainNews::ControlError>(news.what)) {
        publish<proto::domain_event_callback_control_error>({.callback_id = 0, .msg = {.dom = dom}});
    } else if (const auto* const resized = std::get_if<DomainNews::Resized>(&news.what)) {
        publish<proto::domain_event_callback_balloon_change>(
            {.callback_id = 0, .msg = {.dom = dom, .actual = resized->memory_kib}});
    } else if (const auto* const agent = std::get_if<DomainNews::Agent>(&news.what)) {
        constexpr std::int32_t kConnected = 1, kDisconnected = 2, kChannel = 2;  // virConnectDomainEventAgentLifecycle…
        publish<proto::domain_event_callback_agent_lifecycle>(
            {.callback_id = 0, .dom = dom, .state = agent->connected ? kConnected : kDisconnected, .reason = kChannel});
    } else if (const auto* const monitor = std::get_if<DomainNews::Monitor>(&news.what); any(Class::monitor)) {
        const auto since = now.time_since_epoch();
        const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
        const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since - seconds);
        publish_monitor(dom, monitor->event, seconds.count(), static_cast<std::uint32_t>(micros.count()),
                        monitor->data.empty() ? std::nullopt : std::optional(monitor->data));
    }
}

void Subscriptions::publish(const NetworkEvent& event) {
    publish<proto::network_event_lifecycle>({.callback_id = 0,
                                             .net = {.name = event.name, .uuid = event.uuid},
                                             .event = event.event,
                                             .detail = event.detail});
}

}  // namespace bascule::daemon
