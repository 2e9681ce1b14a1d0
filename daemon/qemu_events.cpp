// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/qemu_events.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "vmm/qmp.h"

namespace bascule::daemon {

namespace proto = rpc::proto;

namespace {

using vmm::qmp::flag_of;
using vmm::qmp::Json;
using vmm::qmp::printable;
using vmm::qmp::text_of;

using Word = std::pair<std::string_view, std::int32_t>;

std::optional<std::int32_t> number_of(std::span<const Word> words, const std::string& word) {
    const auto found = std::ranges::find(words, word, &Word::first);
    return found == words.end() ? std::nullopt : std::optional(found->second);
}

void watchdog(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec&) {
    namespace action = rpc::domain_event_watchdog_action;
    static constexpr std::array<Word, 7> kActions{{{"none", action::none},
                                                   {"pause", action::pause},
                                                   {"reset", action::reset},
                                                   {"poweroff", action::poweroff},
                                                   {"shutdown", action::shutdown},
                                                   {"debug", action::debug},
                                                   {"inject-nmi", action::injectnmi}}};
    if (const auto number = number_of(kActions, text_of(data, "action"))) {
        to.publish<proto::domain_event_callback_watchdog>({.callback_id = 0, .msg = {.dom = dom, .action = *number}});
    }
}

// The name of a device within what QEMU calls it: "/machine/peripheral/virtio-disk0/virtio-backend", or the name.
std::string alias_of(const std::string& device) {
    constexpr std::string_view kNamed = "/machine/peripheral/";
    const std::string rest = device.starts_with(kNamed) ? device.substr(kNamed.size()) : device;
    return printable(rest.substr(0, rest.find('/')), 100);
}

void io_error(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec& spec) {
    namespace action = rpc::domain_event_io_error_action;
    static constexpr std::array<Word, 3> kActions{
        {{"ignore", action::none}, {"stop", action::pause}, {"report", action::report}}};
    const auto number = number_of(kActions, text_of(data, "action"));
    if (!number) {
        return;
    }
    const std::string alias = alias_of(text_of(data, "qdev"));
    const auto disk = std::ranges::find(spec.disks, alias, [](const vmm::Disk& one) { return vmm::disk_alias(one); });
    const std::string source = disk == spec.disks.end() ? std::string() : disk->source;
    const std::string reason = flag_of(data, "nospace") ? "enospc" : "";
    to.publish<proto::domain_event_callback_io_error>(
        {.callback_id = 0, .msg = {.dom = dom, .src_path = source, .dev_alias = alias, .action = *number}});
    to.publish<proto::domain_event_callback_io_error_reason>(
        {.callback_id = 0,
         .msg = {.dom = dom, .src_path = source, .dev_alias = alias, .action = *number, .reason = reason}});
}

void tray(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec&) {
    namespace reason = rpc::domain_event_tray_change_reason;
    const std::string alias = alias_of(text_of(data, "id"));
    if (!alias.empty()) {
        to.publish<proto::domain_event_callback_tray_change>(
            {.callback_id = 0,
             .msg = {
                 .dom = dom, .dev_alias = alias, .reason = flag_of(data, "tray-open") ? reason::open : reason::close}});
    }
}

proto::DomainEventGraphicsAddress address_of(const Json& data, const char* member) {
    namespace type = rpc::domain_event_graphics_address_type;
    static constexpr std::array<Word, 3> kFamilies{{{"ipv4", type::ipv4}, {"ipv6", type::ipv6}, {"unix", type::unix}}};
    const Json end = data.is_object() ? data.value(member, Json()) : Json();
    return {.family = number_of(kFamilies, text_of(end, "family")).value_or(type::unix),
            .node = printable(text_of(end, "host"), 200),
            .service = printable(text_of(end, "service"), 200)};
}

template <std::int32_t kPhase>
void display(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec&) {
    const Json server = data.is_object() ? data.value("server", Json()) : Json();
    const Json client = data.is_object() ? data.value("client", Json()) : Json();
    proto::DomainEventGraphicsMsg msg{.dom = dom,
                                      .phase = kPhase,
                                      .local = address_of(data, "server"),
                                      .remote = address_of(data, "client"),
                                      .auth_scheme = printable(text_of(server, "auth"), 100)};
    for (const char* const name : {"x509_dname", "sasl_username"}) {
        if (const std::string who = printable(text_of(client, name), 1000); !who.empty()) {
            msg.subject.push_back(
                {.type = name == std::string_view("x509_dname") ? "x509dname" : "saslUsername", .name = who});
        }
    }
    to.publish<proto::domain_event_callback_graphics>({.callback_id = 0, .msg = std::move(msg)});
}

// The guest's clock, in seconds from what it was started with.
void clock(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec&) {
    const Json* const offset = vmm::qmp::member_of(data, "offset");
    if (offset != nullptr && offset->is_number_integer()) {
        to.publish<proto::domain_event_callback_rtc_change>(
            {.callback_id = 0, .msg = {.dom = dom, .offset = offset->get<std::int64_t>()}});
    }
}

// Broken memory of the host's, and who had it.
void memory(Subscriptions& to, const proto::Domain& dom, const Json& data, const vmm::Spec&) {
    namespace action = rpc::domain_memory_failure_action_type;
    namespace recipient = rpc::domain_memory_failure_recipient_type;
    static constexpr std::array<Word, 2> kRecipients{
        {{"hypervisor", recipient::hypervisor}, {"guest", recipient::guest}}};
    static constexpr std::array<Word, 4> kActions{
        {{"ignore", action::ignore}, {"inject", action::inject}, {"fatal", action::fatal}, {"reset", action::reset}}};
    constexpr std::uint32_t kRequired = 1, kRecursive = 2;
    const auto who = number_of(kRecipients, text_of(data, "recipient"));
    const auto what = number_of(kActions, text_of(data, "action"));
    const Json* const flags = vmm::qmp::member_of(data, "flags");
    if (who && what && flags != nullptr) {
        to.publish<proto::domain_event_memory_failure>({.callback_id = 0,
                                                        .dom = dom,
                                                        .recipient = *who,
                                                        .action = *what,
                                                        .flags = (flag_of(*flags, "action-required") ? kRequired : 0) |
                                                                 (flag_of(*flags, "recursive") ? kRecursive : 0)});
    }
}

template <class Event>
void sleep(Subscriptions& to, const proto::Domain& dom, const Json&, const vmm::Spec&) {
    to.publish<Event>({.callback_id = 0, .reason = 0, .msg = {.dom = dom}});
}

struct Row {
    std::string_view event;
    void (*publish)(Subscriptions&, const proto::Domain&, const Json&, const vmm::Spec&);
};
constexpr std::array<Row, 11> kRows{{{"WATCHDOG", watchdog},
                                     {"BLOCK_IO_ERROR", io_error},
                                     {"DEVICE_TRAY_MOVED", tray},
                                     {"VNC_CONNECTED", display<rpc::domain_event_graphics_phase::connect>},
                                     {"VNC_INITIALIZED", display<rpc::domain_event_graphics_phase::initialize>},
                                     {"VNC_DISCONNECTED", display<rpc::domain_event_graphics_phase::disconnect>},
                                     {"RTC_CHANGE", clock},
                                     {"MEMORY_FAILURE", memory},
                                     {"SUSPEND", sleep<proto::domain_event_callback_pmsuspend>},
                                     {"SUSPEND_DISK", sleep<proto::domain_event_callback_pmsuspend_disk>},
                                     {"WAKEUP", sleep<proto::domain_event_callback_pmwakeup>}}};

}  // namespace

void publish_qemu_event(Subscriptions& subscriptions, const vmm::Spec& spec, const DomainNews& news) {
    const auto* const monitor = std::get_if<DomainNews::Monitor>(&news.what);
    const auto row = monitor == nullptr ? kRows.end() : std::ranges::find(kRows, monitor->event, &Row::event);
    if (row == kRows.end()) {
        return;
    }
    const Json data = monitor->data.empty() ? Json::object() : Json::parse(monitor->data, nullptr, false);
    if (data.is_object()) {
        row->publish(subscriptions, {.name = news.name, .uuid = news.uuid, .id = news.id}, data, spec);
    }
}

}  // namespace bascule::daemon
