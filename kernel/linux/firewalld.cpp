// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/firewalld.h"

#include <fmt/format.h>

#include "kernel/linux/bus.h"

namespace bascule::kernel::os {

namespace {

constexpr const char* kName = "org.fedoraproject.FirewallD1";
constexpr const char* kPath = "/org/fedoraproject/FirewallD1";
constexpr const char* kMain = "org.fedoraproject.FirewallD1";
constexpr const char* kZone = "org.fedoraproject.FirewallD1.zone";
constexpr std::uint64_t kUsec = 30'000'000;
// What an answer may name; a host has a dozen zones.
constexpr std::size_t kMostZones = 4096;

// firewalld answers an interface that is in no zone, or was taken out already, with one of these words.
bool is_harmless(const sd_bus_error& error) {
    const std::string_view text = error.message != nullptr ? error.message : "";
    return sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN) > 0 ||
           sd_bus_error_has_name(&error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) > 0 || text.starts_with("ZONE_ALREADY_SET") ||
           text.starts_with("UNKNOWN_INTERFACE") || text.starts_with("NOT_ENABLED");
}

class BusFirewalld : public Firewalld {
public:
    BusFirewalld(Loop& loop, std::function<void(const std::string&)> failed)
        : failed_(std::move(failed)), bus_(loop, [this](std::string_view) { left(); }) {}

    State state() const override { return state_; }
    const std::set<std::string>& zones() const override { return zones_; }

    void put(const IfName& link, const std::string& zone) override { call("changeZoneOfInterface", zone, link.str()); }
    void remove(const IfName& link, const std::string& zone) override { call("removeInterface", zone, link.str()); }

    void on_change(std::function<void()> changed) override {
        changed_ = std::move(changed);
        const auto bus = bus_.connect();
        if (!bus) {
            state_ = State::absent;
            return;
        }
        sd_bus_match_signal_async(*bus, nullptr, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                  "org.freedesktop.DBus", "NameOwnerChanged", on_owner, nullptr, this);
        sd_bus_match_signal_async(*bus, nullptr, kName, kPath, kMain, "Reloaded", on_reloaded, nullptr, this);
        ask(*bus);
        bus_.arm();
    }

private:
    void left() {
        zones_.clear();
        state_ = State::absent;
    }

    BusMessage method(sd_bus* bus, const char* name) {
        sd_bus_message* made = nullptr;
        if (sd_bus_message_new_method_call(bus, &made, kName, kPath, kZone, name) < 0) {
            return nullptr;
        }
        BusMessage message(made);
        // A host that does not use it is left alone.
        return sd_bus_message_set_auto_start(made, 0) < 0 ? nullptr : std::move(message);
    }

    void ask(sd_bus* bus) {
        const BusMessage message = method(bus, "getZones");
        if (!message || sd_bus_call_async(bus, nullptr, message.get(), on_zones, this, kUsec) < 0) {
            left();
        }
    }

    void call(const char* name, const std::string& zone, const std::string& link) {
        const auto bus = bus_.connect();
        if (state_ != State::running || !bus) {
            return;
        }
        const BusMessage message = method(*bus, name);
        if (!message || sd_bus_message_append(message.get(), "ss", zone.c_str(), link.c_str()) < 0 ||
            sd_bus_call_async(*bus, nullptr, message.get(), on_reply, this, kUsec) < 0) {
            failed_(fmt::format("firewalld, {} {} {}: the call could not be made", name, zone, link));
        }
        bus_.arm();
    }

    static int on_reply(sd_bus_message* reply, void* self, sd_bus_error*) {
        const sd_bus_error* const error = sd_bus_message_get_error(reply);
        if (error != nullptr && !is_harmless(*error)) {
            static_cast<BusFirewalld*>(self)->failed_(fmt::format("firewalld: {}", error->message));
        }
        return 0;
    }

    static int on_zones(sd_bus_message* reply, void* self, sd_bus_error*) {
        auto& me = *static_cast<BusFirewalld*>(self);
        me.left();
        if (const sd_bus_error* const error = sd_bus_message_get_error(reply); error != nullptr) {
            if (!is_harmless(*error)) {
                me.failed_(fmt::format("firewalld: {}", error->message));
            }
        } else if (sd_bus_message_enter_container(reply, 'a', "s") > 0) {
            const char* zone = nullptr;
            while (me.zones_.size() < kMostZones && sd_bus_message_read(reply, "s", &zone) > 0) {
                me.zones_.insert(zone);
            }
            me.state_ = State::running;
        }
        me.changed_();
        return 0;
    }

    static int on_reloaded(sd_bus_message*, void* self, sd_bus_error*) {
        auto& me = *static_cast<BusFirewalld*>(self);
        if (const auto bus = me.bus_.connect()) {
            me.ask(*bus);
        }
        return 0;
    }

    static int on_owner(sd_bus_message* signal, void* self, sd_bus_error* error) {
        const char *name = nullptr, *before = nullptr, *after = nullptr;
        if (sd_bus_message_read(signal, "sss", &name, &before, &after) < 0 || std::string_view(name) != kName) {
            return 0;
        }
        if (*after != '\0') {
            return on_reloaded(signal, self, error);
        }
        static_cast<BusFirewalld*>(self)->left();
        static_cast<BusFirewalld*>(self)->changed_();
        return 0;
    }

    std::function<void(const std::string&)> failed_;
    std::function<void()> changed_ = [] {};
    State state_ = State::unknown;
    std::set<std::string> zones_;
    Bus bus_;
};

}  // namespace

std::unique_ptr<Firewalld> make_firewalld(Loop& loop, std::function<void(const std::string&)> failed) {
    return std::make_unique<BusFirewalld>(loop, std::move(failed));
}

}  // namespace bascule::kernel::os
