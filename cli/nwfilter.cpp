// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <iostream>
#include <ranges>
#include <tuple>

#include <fmt/format.h>

#include "cli/commands.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_nwfilter.h"

namespace bascule::cli {

namespace proto = rpc::proto;

namespace {

Result<proto::Nwfilter> find(Context& context, const std::string& name) {
    TRY(const auto found, context.client.call<proto::nwfilter_lookup_by_name>({.name = name}));
    return found.nwfilter;
}

void say(Context& context, const proto::Nwfilter& filter, std::string_view what) {
    context.out = context.format == Format::table ? fmt::format("nwfilter {} {}\n", printable(filter.name), what)
                                                  : render(Facts{{{"name", "Name", filter.name},
                                                                  {"uuid", "UUID", format(filter.uuid)},
                                                                  {"result", "Result", std::string(what)}}},
                                                           context.format);
}

Result<void> list(Context& context) {
    TRY(const auto all, context.client.call<proto::connect_list_all_nwfilters>({.need_results = 1, .flags = 0}));
    Table table{{{"name", "NAME"}, {"uuid", "UUID"}}, {}};
    for (const proto::Nwfilter& filter : all.filters) {
        table.rows.push_back({filter.name, format(filter.uuid)});
    }
    context.out = render(table, context.format);
    return {};
}

Result<void> define(Context& context) {
    TRY(std::string xml, read_input(context.arguments[0]));
    TRY(const auto defined, context.client.call<proto::nwfilter_define_xml>({.xml = std::move(xml)}));
    say(context, defined.nwfilter, "defined");
    return {};
}

Result<void> dumpxml(Context& context) {
    TRY(const auto filter, find(context, context.arguments[0]));
    TRY(const auto xml, context.client.call<proto::nwfilter_get_xml_desc>({.nwfilter = filter, .flags = 0}));
    context.out = xml.xml;
    return {};
}

Result<void> undefine(Context& context) {
    TRY(const auto filter, find(context, context.arguments[0]));
    TRY_OK(context.client.call<proto::nwfilter_undefine>({filter}));
    say(context, filter, "undefined");
    return {};
}

Result<void> diff(Context& context) {
    TRY(std::string xml, read_input(context.arguments[0]));
    TRY(const auto answer, context.client.call<proto::nwfilter_diff>({.xml = std::move(xml)}));
    context.out = answer.text;
    return {};
}

Result<void> explain(Context& context) {
    TRY(const auto answer,
        context.client.call<proto::nwfilter_explain>({.port = context.arguments[0], .packet = context.arguments[1]}));
    context.out = answer.text;
    return {};
}

Result<void> drops(Context& context) {
    proto::nwfilter_get_drops_args args;
    if (!context.arguments.empty()) {
        args.port = context.arguments[0];
    }
    TRY(const auto found, context.client.call<proto::nwfilter_get_drops>(args));
    const std::size_t rows = std::min(
        {found.ports.size(), found.directions.size(), found.rules.size(), found.packets.size(), found.bytes.size()});
    Table table{
        {{"port", "PORT"}, {"direction", "DIRECTION"}, {"rule", "RULE"}, {"packets", "PACKETS"}, {"bytes", "BYTES"}},
        {}};
    for (std::size_t i = 0; i < rows; ++i) {
        table.rows.push_back({found.ports[i], found.directions[i], found.rules[i], fmt::format("{}", found.packets[i]),
                              fmt::format("{}", found.bytes[i])});
    }
    context.out = render(table, context.format);
    return {};
}

// One line of the stream: the packet's number, where, rule, verdict, devices in and out, frame.
void print_step(const Context& context, std::string_view line, std::string& last) {
    std::vector<std::string> fields;
    for (const auto part : std::views::split(line, '\t')) {
        fields.emplace_back(part.begin(), part.end());
    }
    fields.resize(7);
    const auto& [packet, where, rule, verdict, in, out, frame] =
        std::tie(fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]);
    if (context.format == Format::json) {
        std::cout << render(Facts{{{"packet", "", packet},
                                   {"where", "", where},
                                   {"rule", "", rule},
                                   {"verdict", "", verdict},
                                   {"in", "", in},
                                   {"out", "", out},
                                   {"frame", "", frame}}},
                            context.format);
        return;
    }
    if (packet != last && !frame.empty()) {
        std::cout << fmt::format("{} {} -> {} frame={}\n", printable(packet), printable(in.empty() ? "this host" : in),
                                 printable(out.empty() ? "?" : out), printable(frame));
        last = packet;
    }
    std::cout << fmt::format("{}   {}: {}: {}\n", printable(packet), printable(where), printable(rule),
                             printable(verdict));
}

// Until the daemon ends it, or whoever reads does.
Result<void> trace(Context& context) {
    TRY(const rpc::Client::StreamId stream,
        context.client.open_stream<proto::nwfilter_trace>({.port = context.arguments[0]}));
    std::string text, last;
    while (std::cout.good()) {
        TRY(const Bytes data, context.client.read_stream(stream));
        if (data.empty()) {
            return context.client.finish_stream(stream);
        }
        text += as_text(data);
        for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
            print_step(context, std::string_view(text).substr(0, end), last);
            text.erase(0, end + 1);
        }
        std::cout << std::flush;
    }
    return {};
}

}  // namespace

void add_nwfilter_commands(std::vector<Command>& table) {
    table.push_back({"nwfilter", "list", {}, {}, "List all network filters", true, list});
    table.push_back({"nwfilter",
                     "define",
                     {"FILE"},
                     {},
                     "Define a filter from an XML file; ports that use it change at once",
                     false,
                     define});
    table.push_back({"nwfilter", "dumpxml", {"NAME"}, {}, "Print a filter's XML", true, dumpxml});
    table.push_back(
        {"nwfilter", "diff", {"FILE"}, {}, "Show what defining the filter would change, port by port", true, diff});
    table.push_back({"nwfilter",
                     "explain",
                     {"PORT", "PACKET"},
                     {},
                     "Say which rules decide about a packet: 'out tcp src=10.0.0.5 dst=10.0.0.1 dport=22'",
                     true,
                     explain});
    table.push_back({"nwfilter",
                     "drops",
                     {"[PORT]"},
                     {},
                     "Count what filters dropped or rejected, by port, direction and rule",
                     true,
                     drops});
    table.push_back({"nwfilter",
                     "trace",
                     {"PORT"},
                     {},
                     "Show live packets of a port on their way through all tables, some a second, until interrupted",
                     false,
                     trace});
    table.push_back({"nwfilter", "undefine", {"NAME"}, {}, "Remove a filter", false, undefine});
}

}  // namespace bascule::cli
