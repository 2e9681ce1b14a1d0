// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/resolved.h"

#include <net/if.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "kernel/linux/bus.h"

namespace bascule::kernel::os {

namespace {

constexpr const char* kName = "org.freedesktop.resolve1";
constexpr const char* kPath = "/org/freedesktop/resolve1";
constexpr const char* kInterface = "org.freedesktop.resolve1.Manager";
constexpr std::uint64_t kUsec = 10'000'000;

int append_servers(sd_bus_message* m, const std::vector<Ip>& servers) {
    int r = sd_bus_message_open_container(m, 'a', "(iay)");
    for (const Ip& server : servers) {
        r = r < 0 ? r : sd_bus_message_open_container(m, 'r', "iay");
        r = r < 0 ? r : sd_bus_message_append(m, "i", server.is_v4() ? AF_INET : AF_INET6);
        r = r < 0 ? r : sd_bus_message_append_array(m, 'y', server.octets().data(), server.bits() / 8);
        r = r < 0 ? r : sd_bus_message_close_container(m);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

// true: for routing only, names without a dot do not get these domains put behind.
int append_domains(sd_bus_message* m, const std::vector<std::string>& domains) {
    int r = sd_bus_message_open_container(m, 'a', "(sb)");
    for (const std::string& domain : domains) {
        r = r < 0 ? r : sd_bus_message_append(m, "(sb)", domain.c_str(), 1);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

class BusResolved : public Resolved {
public:
    BusResolved(Loop& loop, std::function<void(const std::string&)> failed)
        : failed_(std::move(failed)), bus_(loop, [](std::string_view) {}) {}

    void set_link(const IfName& link, const std::vector<Ip>& servers,
                  const std::vector<std::string>& domains) override {
        const auto index = static_cast<int>(::if_nametoindex(link.str().c_str()));
        const auto bus = bus_.connect();
        if (index == 0 || !bus) {
            return;
        }
        call(*bus, "SetLinkDNS", index, [&](sd_bus_message* m) { return append_servers(m, servers); });
        call(*bus, "SetLinkDomains", index, [&](sd_bus_message* m) { return append_domains(m, domains); });
        call(*bus, "SetLinkDefaultRoute", index, [](sd_bus_message* m) { return sd_bus_message_append(m, "b", 0); });
        bus_.arm();
    }

    void on_start(std::function<void()> started) override {
        started_ = std::move(started);
        const auto bus = bus_.connect();
        if (!bus) {
            return;
        }
        sd_bus_match_signal_async(*bus, nullptr, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                  "org.freedesktop.DBus", "NameOwnerChanged", on_owner, nullptr, this);
        bus_.arm();
    }

private:
    void call(sd_bus* bus, const char* method, int index, const auto& append) {
        sd_bus_message* made = nullptr;
        int r = sd_bus_message_new_method_call(bus, &made, kName, kPath, kInterface, method);
        const BusMessage message(made);
        r = r < 0 ? r : sd_bus_message_set_auto_start(made, 0);  // a host that does not use it is left alone
        r = r < 0 ? r : sd_bus_message_append(made, "i", index);
        r = r < 0 ? r : append(made);
        r = r < 0 ? r : sd_bus_call_async(bus, nullptr, made, on_reply, this, kUsec);
        if (r < 0) {
            failed_(fmt::format("systemd-resolved, {}: {}", method, errno_text(-r)));
        }
    }

    static int on_reply(sd_bus_message* reply, void* self, sd_bus_error*) {
        const sd_bus_error* const error = sd_bus_message_get_error(reply);
        const bool absent = error != nullptr && (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) > 0 ||
                                                 sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) > 0);
        if (error != nullptr && !absent) {
            static_cast<BusResolved*>(self)->failed_(fmt::format("systemd-resolved: {}", error->message));
        }
        return 0;
    }

    static int on_owner(sd_bus_message* signal, void* self, sd_bus_error*) {
        const char *name = nullptr, *before = nullptr, *after = nullptr;
        if (sd_bus_message_read(signal, "sss", &name, &before, &after) >= 0 && std::string_view(name) == kName &&
            *after != '\0') {
            static_cast<BusResolved*>(self)->started_();
        }
        return 0;
    }

    std::function<void(const std::string&)> failed_;
    std::function<void()> started_ = [] {};
    Bus bus_;
};

}  // namespace

std::unique_ptr<Resolved> make_resolved(Loop& loop, std::function<void(const std::string&)> failed) {
    return std::make_unique<BusResolved>(loop, std::move(failed));
}

}  // namespace bascule::kernel::os
