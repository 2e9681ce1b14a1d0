// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/link_managers.h"

#include "kernel/linux/bus.h"

namespace bascule::kernel::os {

namespace {

class BusLinkManagers : public LinkManagers {
public:
    explicit BusLinkManagers(Loop& loop) : bus_(loop, [](std::string_view) {}) {}

    void reload() override {
        const auto bus = bus_.connect();
        if (!bus) {
            return;
        }
        constexpr std::uint32_t kConfiguration = 1;  // NM_MANAGER_RELOAD_FLAG_CONF
        call(*bus, "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager",
             "org.freedesktop.NetworkManager", &kConfiguration);
        call(*bus, "org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.network1.Manager",
             nullptr);
        bus_.arm();
    }

private:
    static void call(sd_bus* bus, const char* name, const char* path, const char* interface,
                     const std::uint32_t* flags) {
        sd_bus_message* made = nullptr;
        int r = sd_bus_message_new_method_call(bus, &made, name, path, interface, "Reload");
        const BusMessage message(made);
        r = r < 0 ? r : sd_bus_message_set_auto_start(made, 0);
        r = r < 0 || flags == nullptr ? r : sd_bus_message_append(made, "u", *flags);
        r = r < 0 ? r : sd_bus_message_set_expect_reply(made, 0);
        if (r >= 0) {
            sd_bus_send(bus, made, nullptr);
        }
    }

    Bus bus_;
};

}  // namespace

std::unique_ptr<LinkManagers> make_link_managers(Loop& loop) { return std::make_unique<BusLinkManagers>(loop); }

}  // namespace bascule::kernel::os
