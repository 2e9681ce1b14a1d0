// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/command_chain.h"
#include "daemon/filters.h"
#include "daemon/host.h"
#include "daemon/networks.h"
#include "daemon/ports.h"
#include "daemon/store.h"
#include "vmm/guest.h"
#include "vmm/spec.h"

namespace bascule::daemon {

// One guest: its definition on the disk, and while it runs its process. A transient one has no definition.
struct Domain {
    std::string name;
    std::optional<vmm::Spec> definition;
    std::unique_ptr<vmm::Guest> guest;  // null: not running
    int id = -1;                        // while it runs
    bool autostart = false;
    bool starting = false;
    vmm::Status last{vmm::State::shutoff, vmm::reason::kShutoffUnknown};  // while it does not run
    struct Nic {
        std::optional<IfName> tap{};  // none: QEMU's own network
        std::optional<Uuid> network{};
        std::optional<IfName> bridge{};
        bool open_vswitch = false;
        std::optional<kernel::Command> plug_in{};  // what puts it into its switch, where that is not the kernel's
        std::string downscript{};
        std::optional<network::Port> port{};  // of that network, as hooks are told of it
    };
    std::vector<Nic> nics;                   // while it runs, one an interface
    std::unique_ptr<CommandChain> errands;   // while it starts: what plugs its NICs in
    std::vector<std::string> sockets;        // while it runs: of its channels, paths of the host
    int agent_timeout = vmm::kAgentDefault;  // while it runs: seconds, or one of vmm::kAgent*

    bool active() const { return guest != nullptr && !starting; }
    bool persistent() const { return definition.has_value(); }
    const vmm::Spec& shown() const { return guest ? guest->spec() : *definition; }
    vmm::Status status() const { return guest ? guest->status() : last; }
};

// The guest use cases. What takes time reports through `done`, later and once. Pointers returned are valid until
// the loop runs again.
class Guests {
public:
    struct Deps {
        Host& host;
        Networks& networks;
        Ports& ports;
        Filters& filters;
        Events& events;
        std::uint32_t uid = 0, gid = 0;     // QEMU's
        std::vector<std::uint32_t> groups;  // for /dev/kvm
        std::string emulator;               // of definitions that name none
    };
    using Done = std::move_only_function<void(Result<Uuid>)>;

    explicit Guests(Deps deps);

    // Definitions, and guests that a former daemon left running: their ports' wishes into the ledger, their
    // monitors attached by the loop.
    std::vector<std::string> load();
    void autostart(std::function<void(std::string)> problem);

    Result<const Domain*> define(std::string_view xml);
    void create(std::string_view xml, bool paused, Done done);
    void start(const Uuid& uuid, bool paused, Done done);
    void destroy(const Uuid& uuid, bool graceful, Done done);
    void suspend(const Uuid& uuid, Done done);
    void resume(const Uuid& uuid, Done done);
    void shutdown(const Uuid& uuid, Done done);
    void reset(const Uuid& uuid, Done done);
    void reboot(const Uuid& uuid, Done done);
    // Any of vmm::Guest's operations on a running one.
    void operate(const Uuid& uuid, const std::function<void(vmm::Guest&, vmm::Done)>& operation, Done done);
    // Changes what a guest is: its definition, what runs, or both. `edit` sees a copy of each and may refuse, and then
    // neither is changed; of what runs only what it keeps in memory.
    enum class Impact { current, live, config, both };
    using Edit = std::function<Result<void>(vmm::Spec& spec, bool live)>;
    Result<void> change(const Uuid& uuid, Impact impact, const Edit& edit);
    // One NIC of what runs, of the definition, or both. `apply` makes of what is there what is wanted; of what runs
    // only the switch's side can differ, and then it is there when this returns. The cable is the caller's (operate()).
    struct NicEdit {
        std::function<Result<std::size_t>(const vmm::Spec&)> find;
        std::function<Result<void>(vmm::Interface&)> apply;
    };
    Result<void> update_nic(const Uuid& uuid, Impact impact, const NicEdit& edit);
    Result<void> rename(const Uuid& uuid, const std::string& name);
    Result<void> undefine(const Uuid& uuid);
    Result<void> set_autostart(const Uuid& uuid, bool on);

    Result<const Domain*> by_name(std::string_view name) const;
    Result<const Domain*> by_uuid(const Uuid& uuid) const;
    Result<const Domain*> running(const Uuid& uuid) const;
    Result<const Domain*> by_id(int id) const;
    Result<void> set_agent_timeout(const Uuid& uuid, int seconds);  // or vmm::kAgent*; of a running one
    std::vector<const Domain*> all() const;                         // by name
    std::string format(const Domain& domain, bool inactive, bool secrets = false) const;
    unsigned ports_of(const Uuid& network) const;  // running guests' NICs on it

private:
    Domain* find(const Uuid& uuid);
    Result<vmm::Spec> read(std::string_view xml) const;
    Result<void> check_identity(const vmm::Spec& spec) const;
    void launch(const Uuid& uuid, vmm::Spec spec, bool paused, Done done);
    Result<vmm::StartPlan> prepare(Domain& domain, vmm::Spec spec);
    void show_binding(const vmm::Spec& spec, std::size_t nic, const IfName& tap);
    Result<PortSpec> port_of(const vmm::Spec& spec, std::size_t nic, Domain::Nic& place) const;
    Result<IfName> tap_name(const vmm::Interface& nic);
    struct OpenNics {  // one each an interface
        std::vector<vmm::NicPlan> plans;
        std::vector<std::vector<UniqueFd>> taps, vhosts;
        std::vector<UniqueFd> passts;
    };
    Result<OpenNics> open_nics(Domain& domain, vmm::Spec& spec);
    Result<UniqueFd> start_passt(const vmm::Interface& nic);
    std::vector<Errand> errands_of(const Domain& domain, const vmm::Spec& spec) const;
    void unplug(const Domain::Nic& nic);
    // Runs them with nobody waiting; `then` when all are done, or one failed, which is logged as that port's.
    void see_off(const IfName& tap, std::vector<Errand> errands, std::move_only_function<void()> then);
    void drop_port(const IfName& tap);
    Result<void> check_stations(const vmm::Spec& spec) const;
    MacAddr fresh_mac() const;
    Result<void> replug(Domain& domain, vmm::Spec& spec, std::size_t index);
    Result<void> open_files(vmm::Spec& launched, std::vector<UniqueFd>& extra, std::size_t slots) const;
    struct OpenDisks {
        std::vector<vmm::DiskPlan> plans;           // one a disk
        std::vector<std::vector<UniqueFd>> layers;  // likewise, outermost image first
    };
    Result<OpenDisks> open_disks(const vmm::Spec& spec) const;
    Result<void> prepare_display(Domain& domain, vmm::Spec& spec);
    Result<std::vector<UniqueFd>> open_channels(Domain& domain, vmm::Spec& spec);
    vmm::Guest::Callbacks callbacks(const Uuid& uuid);
    void started(const Uuid& uuid, Result<void> result, Done done);
    void ended(const Uuid& uuid, const vmm::Guest::Ended& end);
    void release(const Uuid& uuid);
    Result<void> adopt(const std::string& text);
    void save_live(const Domain& domain);
    void emit(const Domain& domain, int event, int detail, bool gone = false);
    void tell(const Uuid& uuid, const decltype(DomainNews::what)& what);
    // Runs an operation of a running guest and hands its uuid to `done`.
    template <class Operation>
    void on_running(const Uuid& uuid, Done done, Operation operation);

    std::string live_file(const std::string& name) const { return "/run/bascule/guests/" + name + ".json"; }
    std::string channel_file(int id, const std::string& port) const {
        return std::string(vmm::kChannelFolder) + std::to_string(id) + "-" + port;
    }
    std::string monitor_file(const std::string& name) const { return "/run/bascule/guests/" + name + ".qmp"; }

    Deps deps_;
    Store definitions_;
    std::map<Uuid, Domain> domains_;
    std::map<std::string, Uuid, std::less<>> names_;
    int next_id_ = 1;
    unsigned next_tap_ = 0;
    static constexpr std::chrono::seconds kScriptTime{30};
    std::map<unsigned, std::unique_ptr<CommandChain>> farewells_;  // what runs for ports that go
    unsigned next_farewell_ = 0;
};

}  // namespace bascule::daemon
