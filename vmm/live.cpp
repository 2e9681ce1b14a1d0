// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/live.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "vmm/xml.h"

namespace bascule::vmm {

namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

std::unexpected<Error> bad(std::string_view member) {
    return fail(Code::malformed, fmt::format("the saved state of a guest has no valid \"{}\"", member));
}

template <class T>
std::optional<T> member(const Json& object, const char* name) {
    const auto it = object.find(name);
    if (it == object.end()) {
        return std::nullopt;
    }
    if constexpr (std::is_same_v<T, bool>) {
        return it->is_boolean() ? std::optional(it->get<bool>()) : std::nullopt;
    } else if constexpr (std::is_same_v<T, int>) {
        const bool fits =
            it->is_number_integer() && it->get<std::int64_t>() >= 0 && it->get<std::int64_t>() <= INT32_MAX;
        return fits ? std::optional(it->get<int>()) : std::nullopt;
    } else {
        return it->is_string() ? std::optional(it->get<std::string>()) : std::nullopt;
    }
}

Result<void> read_ttys(const Json& object, Spec& spec) {
    const auto list = object.find("ttys");
    if (list == object.end() || !list->is_array() || list->size() != spec.serials.size()) {
        return bad("ttys");
    }
    for (std::size_t i = 0; i < spec.serials.size(); ++i) {
        if (!(*list)[i].is_string()) {
            return bad("ttys");
        }
        spec.serials[i].tty = (*list)[i].get<std::string>();
    }
    return {};
}

Result<void> read_nics(const Json& object, Spec& spec) {
    const auto list = object.find("nics");
    if (list == object.end() || !list->is_array() || list->size() != spec.interfaces.size()) {
        return bad("nics");
    }
    for (std::size_t i = 0; i < spec.interfaces.size(); ++i) {
        const Json& one = (*list)[i];
        if (one.is_null()) {
            continue;
        }
        if (!one.is_object()) {
            return bad("nics");
        }
        const auto target = IfName::parse(member<std::string>(one, "target").value_or(""));
        const auto bridge = member<std::string>(one, "bridge");
        const auto vhost = member<bool>(one, "vhost");
        if (!target || !bridge || !vhost) {
            return bad("nics");
        }
        spec.interfaces[i].live = NicLive{*target, *bridge, *vhost};
    }
    return {};
}

// A daemon before there were channels wrote no list.
Result<void> read_channels(const Json& object, Spec& spec) {
    const auto list = object.find("channels");
    if (list == object.end() && spec.channels.empty()) {
        return {};
    }
    if (list == object.end() || !list->is_array() || list->size() != spec.channels.size()) {
        return bad("channels");
    }
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        const Json& one = (*list)[i];
        const auto path = one.is_object() ? member<std::string>(one, "path") : std::nullopt;
        const auto connected = one.is_object() ? member<bool>(one, "connected") : std::nullopt;
        if (one.is_null()) {
            continue;
        }
        if (!path || !connected) {
            return bad("channels");
        }
        spec.channels[i].live = ChannelLive{*path, *connected};
    }
    return {};
}

// Absent: no display.
Result<void> read_display(const Json& object, Spec& spec) {
    const auto one = object.find("display");
    if (one == object.end() || one->is_null()) {
        return {};
    }
    const auto port = one->is_object() ? member<int>(*one, "port") : std::nullopt;
    const auto websocket = one->is_object() ? member<int>(*one, "websocket") : std::nullopt;
    const auto address = one->is_object() ? member<std::string>(*one, "address") : std::nullopt;
    const auto socket = one->is_object() ? member<std::string>(*one, "socket") : std::nullopt;
    if (!port || !websocket || !address || !socket || spec.graphics.empty()) {
        return bad("display");
    }
    spec.graphics.front().live =
        GraphicsLive{static_cast<unsigned>(*port), static_cast<unsigned>(*websocket), *address, *socket};
    return {};
}

}  // namespace

std::string to_text(const Live& live) {
    Json ttys = Json::array(), nics = Json::array(), channels = Json::array();
    for (const Serial& serial : live.spec.serials) {
        ttys.push_back(serial.tty);
    }
    for (const Interface& nic : live.spec.interfaces) {
        nics.push_back(
            nic.live
                ? Json{{"target", nic.live->target.str()}, {"bridge", nic.live->bridge}, {"vhost", nic.live->vhost}}
                : Json());
    }
    for (const Channel& channel : live.spec.channels) {
        channels.push_back(channel.live ? Json{{"path", channel.live->path}, {"connected", channel.live->connected}}
                                        : Json());
    }
    Json display;
    if (!live.spec.graphics.empty() && live.spec.graphics.front().live) {
        const GraphicsLive& g = *live.spec.graphics.front().live;
        display = {{"port", g.port}, {"websocket", g.websocket}, {"address", g.address}, {"socket", g.socket}};
    }
    const Json object = {{"version", kVersion},
                         {"id", live.id},
                         {"pid", live.pid},
                         {"executable", live.executable},
                         {"monitor", live.monitor},
                         {"persistent", live.persistent},
                         {"ttys", ttys},
                         {"nics", nics},
                         {"channels", channels},
                         {"display", display},
                         {"agent_timeout", live.agent_timeout},
                         {"domain", format(live.spec, std::nullopt, true)}};
    return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Live> live_from_text(std::string_view text) {
    const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
        return fail(Code::malformed, "the saved state of a guest is not a JSON object");
    }
    const auto version = member<int>(object, "version");
    if (version != kVersion) {
        return fail(Code::malformed,
                    fmt::format("the saved state of a guest has version {}, not {}", version.value_or(0), kVersion));
    }
    const auto domain = member<std::string>(object, "domain");
    const auto id = member<int>(object, "id");
    const auto pid = member<int>(object, "pid");
    const auto executable = member<std::string>(object, "executable");
    const auto monitor = member<std::string>(object, "monitor");
    const auto persistent = member<bool>(object, "persistent");
    if (!domain || !id || !pid || *pid < 2 || !executable || !monitor || !persistent) {
        return bad("domain, id, pid, executable, monitor, persistent");
    }
    auto spec = parse(*domain);
    if (!spec) {
        return std::unexpected(std::move(spec).error().in("the saved state of a guest"));
    }
    TRY_OK(read_ttys(object, *spec));
    TRY_OK(read_nics(object, *spec));
    TRY_OK(read_channels(object, *spec));
    TRY_OK(read_display(object, *spec));
    // Not there: written before it could be set.
    const auto timeout = object.find("agent_timeout");
    const bool set =
        timeout != object.end() && timeout->is_number_integer() && *timeout >= kAgentBlock && *timeout <= INT32_MAX;
    return Live{
        std::move(*spec), *id, *pid, *executable, *monitor, *persistent, set ? timeout->get<int>() : kAgentDefault};
}

}  // namespace bascule::vmm
