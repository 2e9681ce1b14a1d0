// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
//
// The host's own network devices, where nobody else configures them: definitions in /etc/bascule/interfaces, what of
// them is in force in /run/bascule/interfaces, and each in force an owner in the ledger ("interface:br0").
//
// Whoever else manages a device keeps it: one that NetworkManager, systemd-networkd or ifupdown has is refused by name.
//
// A change can be tried: begin() notes how everything is, and unless commit() follows within the time limit, or
// when a daemon finds such a note at its start, everything is put back so. That is what keeps an administrator who
// cut himself off from having to travel.
//
// What a device has when it becomes a port or a member (addresses, routes, that it is up) is lent: noted with what took
// it, and given back when that stops. What VLANs and bonds are made of must be there and stay: a device that another
// of these stands on is not stopped before that one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/host.h"
#include "daemon/host_interface_spec.h"
#include "daemon/store.h"

namespace bascule::daemon {

class HostInterfaces {
public:
    explicit HostInterfaces(Host& host);

    // Definitions and wishes from the disk. A change that nobody confirmed is taken back by settle().
    std::vector<std::string> load();
    // After the first full reconcile: takes back what was not confirmed, starts what starts with the host.
    std::vector<std::string> settle();

    Result<IfName> define(std::string_view xml);
    Result<void> undefine(const std::string& name);
    Result<void> start(const std::string& name);
    Result<void> stop(const std::string& name);
    const HostInterface* definition(const std::string& name) const;
    bool active(const std::string& name) const { return live_.contains(name); }
    std::vector<const HostInterface*> all() const;
    // What comes with them: bridges, VLANs, bonds, whether they are active or not.
    std::set<IfName> made() const;
    // Told when that may be different now.
    void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

    Result<void> begin();
    Result<void> commit();
    Result<void> rollback();

private:
    struct Lent {  // what the devices had that are ports and members now
        std::set<IfName> up{};
        std::vector<kernel::Address> addresses{};
        std::vector<std::pair<IfName, std::string>> routes{};  // os::keep_routes
        void add(const Lent& other);
    };
    struct Live {
        HostInterface spec;
        Lent lent;
    };
    Result<void> check_free(const HostInterface& spec, bool to_start) const;
    Result<void> check_device(const HostInterface& spec, const IfName& device, bool to_start) const;
    Result<void> check_unused(const std::string& name) const;
    Result<void> bring_up(const HostInterface& spec, const Lent& inherited);
    Result<void> commit_devices(const HostInterface& spec);
    Result<void> bring_down(const std::string& name);
    Result<void> absorb(const std::string& name);
    Result<Lent> borrow(const HostInterface& spec);
    void give_back(const Lent& lent);
    static Lent parse_lent(std::string_view text);
    Result<void> save_live(const Live& live);
    kernel::State present(const HostInterface& spec, std::vector<std::string>& problems) const;
    Result<void> put_back();
    void forget_note();
    void arm();

    Host& host_;
    Store definitions_, live_files_, before_, before_live_;
    std::map<std::string, HostInterface> known_;
    std::map<std::string, Live> live_;
    std::function<void()> changed_ = [] {};
    bool changing_ = false;
    std::unique_ptr<kernel::Watch> deadline_;
};

// Who else configures that device: "NetworkManager", "systemd-networkd", "ifupdown"; empty: nobody.
std::string manager_of(const IfName& device);

}  // namespace bascule::daemon
