// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft_listing.h"

#include <array>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace bascule::kernel::os {

namespace {

using Json = nlohmann::json;

// A listing of 100,000 elements is about 10 MB; the deepest expression of a rule about a dozen levels.
constexpr std::size_t kMaxSize = std::size_t{512} << 20;
constexpr int kMaxDepth = 48;

std::unexpected<Error> odd(std::string_view what, const Json& value) {
    return fail(Code::malformed, fmt::format("nft's listing: {}: {}", what,
                                             value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 200)));
}

Result<Json> parse_json(std::string_view text) {
    if (text.size() > kMaxSize) {
        return fail(Code::malformed, fmt::format("nft's listing is {} bytes, more than {}", text.size(), kMaxSize));
    }
    bool too_deep = false;
    const auto watch_depth = [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kMaxDepth;
        return !too_deep;
    };
    Json out = Json::parse(text, watch_depth, false);
    if (too_deep || out.is_discarded()) {
        return fail(Code::malformed, too_deep ? "nft's listing is nested too deep" : "nft's listing is not JSON");
    }
    const auto objects = out.find("nftables");
    if (objects == out.end() || !objects->is_array()) {
        return odd("no array \"nftables\"", out);
    }
    return std::move(*objects);
}

std::string text_of(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// "virbr0", 80, {"prefix": …}, {"range": […]}, {"concat": […]} in nft's own notation.
Result<std::string> value_text(const Json& value) {
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_number_integer()) {
        return fmt::format("{}", value.get<std::int64_t>());
    }
    if (!value.is_object() || value.size() != 1) {
        return odd("an element that is no value", value);
    }
    const std::string& kind = value.begin().key();
    const Json& body = value.begin().value();
    if (kind == "prefix" && body.is_object() && body.contains("addr") && body.contains("len")) {
        TRY(const std::string address, value_text(body["addr"]));
        TRY(const std::string length, value_text(body["len"]));
        return address + "/" + length;
    }
    if ((kind == "range" && body.is_array() && body.size() == 2) || (kind == "concat" && body.is_array())) {
        std::vector<std::string> parts;
        for (const Json& part : body) {
            TRY(std::string text, value_text(part));
            parts.push_back(std::move(text));
        }
        return fmt::format("{}", fmt::join(parts, kind == "range" ? "-" : " . "));
    }
    return odd("an element of a kind that Bascule never makes", value);
}

// {"jump": {"target": "x"}} is "jump x", {"accept": null} is "accept"; anything else is a plain value.
Result<std::string> data_text(const Json& data) {
    if (data.is_object() && data.size() == 1) {
        const std::string& kind = data.begin().key();
        if (kind == "jump" || kind == "goto") {
            return kind + " " + text_of(data.begin().value(), "target");
        }
        if (kind == "accept" || kind == "drop" || kind == "return" || kind == "continue") {
            return kind;
        }
    }
    return value_text(data);
}

// [{"counter": null}], [{"limit": {"rate": 10, "burst": 50, "per": "second"}}]: what Bascule gives sets.
Result<std::string> statement_text(const Json& statements) {
    if (!statements.is_array() || statements.size() != 1 || !statements[0].is_object() || statements[0].size() != 1) {
        return odd("a set with more than one statement", statements);
    }
    const std::string& kind = statements[0].begin().key();
    const Json& body = statements[0].begin().value();
    if (kind == "counter") {
        return std::string(kind);
    }
    const auto number = [&](const char* name) {
        const auto found = body.is_object() ? body.find(name) : body.end();
        return found != body.end() && found->is_number_integer() ? found->get<std::int64_t>() : std::int64_t{0};
    };
    return kind == "limit"
               ? fmt::format("limit rate {}/{} burst {} packets", number("rate"), text_of(body, "per"), number("burst"))
               : kind;
}

Result<SetDef> set_definition(const Json& object) {
    SetDef def;
    const auto type = object.find("type");
    if (type != object.end() && type->is_array()) {
        TRY(def.key, value_text(Json{{"concat", *type}}));
        // The only bytes without a type that Bascule has in sets: addresses in neighbour discovery, and MAC addresses
        // of RARP. nft does not say how many bytes they are, but the set's name does.
        constexpr std::string_view kNumber = "integer";
        const std::string_view kBytes = text_of(object, "name").contains("rmac") ? "@nh,64,48" : "@th,64,128";
        for (auto at = def.key.find(kNumber); at != std::string::npos; at = def.key.find(kNumber, at)) {
            def.key.replace(at, kNumber.size(), kBytes);
        }
    } else {
        def.key = text_of(object, "type");
    }
    def.data = text_of(object, "map");
    if (def.key.empty()) {
        return odd("a set without a type", object);
    }
    if (const auto flags = object.find("flags"); flags != object.end() && flags->is_array()) {
        for (const Json& flag : *flags) {
            def.timeouts = def.timeouts || flag == "timeout";
            def.intervals = def.intervals || flag == "interval";
        }
    }
    if (const auto statements = object.find("stmt"); statements != object.end()) {
        TRY(def.statement, statement_text(*statements));
    }
    // nft 1.0.6 shows no flag in JSON of sets that packets add to; of ours these alone have a size.
    if (const auto size = object.find("size"); size != object.end() && size->is_number_integer()) {
        def.statement += fmt::format("; size {}; flags dynamic", size->get<std::int64_t>());
    }
    return def;
}

// A set's element is a value; a map's is [value, data]; either value may be wrapped to carry time-outs,
// counters or a comment: {"elem": {"val": value, "timeout": 100, "expires": 99}}.
Result<void> read_element(const Json& item, bool is_map, std::chrono::steady_clock::time_point now,
                          std::map<std::string, Element>& out) {
    const bool pair = is_map && item.is_array() && item.size() == 2;
    if (is_map && !pair) {
        return odd("an element without data", item);
    }
    const Json* value = pair ? &item[0] : &item;
    Element element;
    if (const auto wrapped = value->is_object() ? value->find("elem") : value->end(); wrapped != value->end()) {
        const Json& inside = *wrapped;
        if (!inside.is_object() || !inside.contains("val")) {
            return odd("an element without a value", item);
        }
        if (const auto left = inside.find("expires"); left != inside.end() && left->is_number_integer()) {
            element.expires = now + std::chrono::seconds(left->get<std::int64_t>());
        }
        value = &inside["val"];
    }
    TRY(std::string key, value_text(*value));
    if (pair) {
        TRY(element.data, data_text(item[1]));
    }
    out.insert_or_assign(std::move(key), std::move(element));
    return {};
}

Result<void> read_set(const Json& object, Table& table, std::chrono::steady_clock::time_point now) {
    const std::string name = text_of(object, "name");
    TRY(SetDef def, set_definition(object));
    const bool own_elements = object.find("size") == object.end();  // else they are the packets'
    if (const auto items = object.find("elem");
        own_elements && items != object.end() && items->is_array() && !items->empty()) {
        std::map<std::string, Element>& elements = table.elements[name];
        for (const Json& item : *items) {
            TRY_OK(read_element(item, !def.data.empty(), now, elements));
        }
    }
    table.sets.insert_or_assign(name, std::move(def));
    return {};
}

// Objects that rules name; "policy": {"established": 7200} of time-outs, in alphabetical order.
Result<void> read_object(const std::string& kind, const Json& object, Table& table) {
    SetDef def{.key = kind, .data = {}, .statement = {}};
    const std::string protocol = text_of(object, "protocol");
    if (kind == "ct helper") {
        def.statement = fmt::format("type \"{}\" protocol {}", text_of(object, "type"), protocol);
    } else {
        const auto policy = object.find("policy");
        if (policy == object.end() || !policy->is_object()) {
            return odd("time-outs without a policy", object);
        }
        std::vector<std::string> times;
        for (const auto& [state, seconds] : policy->items()) {
            TRY(const std::string text, value_text(seconds));
            times.push_back(state + " : " + text);
        }
        def.statement = fmt::format("protocol {}; policy = {{ {} }}", protocol, fmt::join(times, ", "));
    }
    table.sets.insert_or_assign(text_of(object, "name"), std::move(def));
    return {};
}

void read_chain(const Json& object, Table& table) {
    Chain chain;
    if (const std::string hook = text_of(object, "hook"); !hook.empty()) {
        const auto priority = object.find("prio");
        const bool number = priority != object.end() && priority->is_number_integer();
        chain.hook = Hook{.type = text_of(object, "type"),
                          .hook = hook,
                          .priority = number ? priority->get<int>() : 0,
                          .device = text_of(object, "dev"),
                          .policy = text_of(object, "policy")};
    }
    table.chains.insert_or_assign(text_of(object, "name"), std::move(chain));
}

std::optional<Family> family_of(std::string_view name) {
    for (const Family family : {Family::inet, Family::bridge, Family::netdev}) {
        if (name_of(family) == name) {
            return family;
        }
    }
    return std::nullopt;
}

}  // namespace

Result<Table> parse_listing(std::string_view json, std::chrono::steady_clock::time_point now) {
    TRY(const Json objects, parse_json(json));
    Table out;
    for (const Json& entry : objects) {
        if (!entry.is_object() || entry.size() != 1 || !entry.begin().value().is_object()) {
            return odd("an entry that is no object", entry);
        }
        const std::string& kind = entry.begin().key();
        const Json& object = entry.begin().value();
        if (kind == "set" || kind == "map") {
            TRY_OK(read_set(object, out, now));
        } else if (kind == "ct helper" || kind == "ct timeout") {
            TRY_OK(read_object(kind, object, out));
        } else if (kind == "chain") {
            read_chain(object, out);
        } else if (kind == "rule") {
            // Chains come before rules.
            if (const auto chain = out.chains.find(text_of(object, "chain")); chain != out.chains.end()) {
                chain->second.rules.emplace_back();
            }
        }
    }
    return out;
}

Result<std::set<Family>> parse_tables(std::string_view json) {
    TRY(const Json objects, parse_json(json));
    std::set<Family> out;
    for (const Json& entry : objects) {
        const auto table = entry.is_object() ? entry.find("table") : entry.end();
        if (table == entry.end() || !table->is_object() || text_of(*table, "name") != "bascule") {
            continue;
        }
        if (const auto family = family_of(text_of(*table, "family"))) {
            out.insert(*family);
        }
    }
    return out;
}

}  // namespace bascule::kernel::os
