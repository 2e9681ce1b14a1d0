// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <chrono>
#include <iostream>

#include <fmt/chrono.h>

#include "cli/commands.h"
#include "rpc/program.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_network.h"

namespace bascule::cli {

namespace proto = rpc::proto;

namespace {

Result<proto::Network> find(Context& context, const std::string& name) {
    TRY(const auto found, context.client.call<proto::network_lookup_by_name>({.name = name}));
    return found.net;
}

std::string yes_no(std::int32_t value) { return value != 0 ? "yes" : "no"; }

void say(Context& context, const proto::Network& network, std::string_view what) {
    context.out = context.format == Format::table ? fmt::format("network {} {}\n", printable(network.name), what)
                                                  : render(Facts{{{"name", "Name", network.name},
                                                                  {"uuid", "UUID", format(network.uuid)},
                                                                  {"result", "Result", std::string(what)}}},
                                                           context.format);
}

Result<void> list(Context& context) {
    TRY(const auto all, context.client.call<proto::connect_list_all_networks>({.need_results = 1, .flags = 0}));
    Table table{{{"name", "NAME"},
                 {"state", "STATE"},
                 {"autostart", "AUTOSTART"},
                 {"persistent", "PERSISTENT"},
                 {"bridge", "BRIDGE"},
                 {"uuid", "UUID"}},
                {}};
    for (const proto::Network& network : all.nets) {
        TRY(const auto active, context.client.call<proto::network_is_active>({network}));
        TRY(const auto persistent, context.client.call<proto::network_is_persistent>({network}));
        TRY(const auto autostart, context.client.call<proto::network_get_autostart>({network}));
        TRY(const auto bridge, context.client.call<proto::network_get_bridge_name>({network}));
        table.rows.push_back({network.name, active.active != 0 ? "active" : "inactive", yes_no(autostart.autostart),
                              yes_no(persistent.persistent), bridge.name, format(network.uuid)});
    }
    context.out = render(table, context.format);
    return {};
}

Result<void> define(Context& context) {
    TRY(std::string xml, read_input(context.arguments[0]));
    const bool live = context.is_set("live");
    TRY(const auto defined, context.client.call<proto::network_define_xml_flags>(
                                {.xml = std::move(xml), .flags = live ? rpc::kDefineLive : 0U}));
    say(context, defined.net, live ? "defined, and running so" : "defined");
    return {};
}

Result<void> dumpxml(Context& context) {
    TRY(const auto network, find(context, context.arguments[0]));
    TRY(const auto xml, context.client.call<proto::network_get_xml_desc>(
                            {.net = network, .flags = context.is_set("inactive") ? 1U : 0U}));
    context.out = xml.xml;
    return {};
}

Result<void> start(Context& context) {
    TRY(const auto network, find(context, context.arguments[0]));
    TRY_OK(context.client.call<proto::network_create>({network}));
    say(context, network, "started");
    return {};
}

Result<void> stop(Context& context) {
    TRY(const auto network, find(context, context.arguments[0]));
    TRY_OK(context.client.call<proto::network_destroy>({network}));
    say(context, network, "stopped");
    return {};
}

std::string until(std::int64_t expiry) {
    return expiry == 0 ? "never"
                       : fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(expiry)));
}

Result<void> leases(Context& context) {
    TRY(const auto network, find(context, context.arguments[0]));
    TRY(const auto found, context.client.call<proto::network_get_dhcp_leases>(
                              {.net = network, .mac = std::nullopt, .need_results = 1, .flags = 0}));
    Table table{{{"address", "ADDRESS"},
                 {"mac", "MAC"},
                 {"hostname", "HOSTNAME"},
                 {"expires", "EXPIRES"},
                 {"client-id", "CLIENT ID"}},
                {}};
    for (const proto::NetworkDhcpLease& lease : found.leases) {
        table.rows.push_back({fmt::format("{}/{}", lease.ipaddr, lease.prefix), lease.mac.value_or(""),
                              lease.hostname.value_or(""), until(lease.expirytime), lease.clientid.value_or("")});
    }
    context.out = render(table, context.format);
    return {};
}

std::string row_of(Context& context, const proto::network_event_lease::Msg& event) {
    constexpr std::array<std::string_view, 5> kEvents{"added", "renewed", "released", "expired", "missed"};
    const auto at = static_cast<std::size_t>(event.event);
    const std::string what = at < kEvents.size() ? std::string(kEvents[at]) : fmt::format("event {}", event.event);
    if (context.format == Format::json) {
        return render(Facts{{{"network", "", event.net.name},
                             {"event", "", what},
                             {"address", "", event.address},
                             {"prefix", "", fmt::format("{}", event.prefix)},
                             {"mac", "", event.mac},
                             {"hostname", "", event.hostname.value_or("")},
                             {"expires", "", fmt::format("{}", event.expires)},
                             {"missed", "", fmt::format("{}", event.missed)}}},
                      context.format);
    }
    if (event.missed > 0) {
        return fmt::format("{} {} {} more: see bascule net leases {}\n", printable(event.net.name), what, event.missed,
                           printable(event.net.name));
    }
    return fmt::format("{} {} {}/{} {} {} until {}\n", printable(event.net.name), what, event.address, event.prefix,
                       event.mac, printable(event.hostname.value_or("-")), until(event.expires));
}

// Until the connection ends, or whoever reads does.
Result<void> watch(Context& context) {
    proto::connect_lease_event_register_args args;
    if (!context.arguments.empty()) {
        TRY(args.net, find(context, context.arguments[0]));
    }
    TRY_OK(context.client.call<proto::connect_lease_event_register>(args));
    while (std::cout.good()) {
        TRY(const auto packet, context.client.next_event());
        if (const auto event = context.client.as<proto::network_event_lease>(packet)) {
            std::cout << row_of(context, *event) << std::flush;
        }
    }
    return {};
}

}  // namespace

void add_net_commands(std::vector<Command>& table) {
    table.push_back({"net", "list", {}, {}, "List all networks", true, list});
    table.push_back({"net",
                     "define",
                     {"FILE"},
                     {{"live", "a running network becomes so at once; its guests stay connected"}},
                     "Define a network from an XML file, or replace its definition",
                     false,
                     define});
    table.push_back({"net",
                     "dumpxml",
                     {"NAME"},
                     {{"inactive", "the stored definition of a running network"}},
                     "Print a network's XML",
                     true,
                     dumpxml});
    table.push_back({"net", "start", {"NAME"}, {}, "Start a defined network", false, start});
    table.push_back({"net", "stop", {"NAME"}, {}, "Stop a running network", false, stop});
    table.push_back({"net",
                     "watch",
                     {"[NAME]"},
                     {},
                     "Print what becomes of leases, of all networks or one, as it happens",
                     true,
                     watch});
    table.push_back({"net", "leases", {"NAME"}, {}, "List the addresses that a network has given out", true, leases});
}

}  // namespace bascule::cli
