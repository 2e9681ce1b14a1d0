// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon.h"

#include <malloc.h>
#include <systemd/sd-daemon.h>

#include <csignal>
#include <filesystem>

#include <fmt/format.h>

#include "base/log.h"
#include "base/version.h"
#include "daemon/access.h"
#include "daemon/advice.h"
#include "daemon/auth.h"
#include "daemon/directory.h"
#include "daemon/durability.h"
#include "daemon/handlers.h"
#include "daemon/handlers_admin.h"
#include "daemon/handlers_storage.h"
#include "daemon/host_side.h"
#include "daemon/inventory.h"
#include "daemon/learning.h"
#include "daemon/lease_news.h"
#include "daemon/network_ports.h"
#include "daemon/qemu_events.h"
#include "daemon/repair.h"
#include "daemon/server.h"
#include "daemon/sysctls.h"
#include "kernel/linux/confine.h"
#include "kernel/linux/conntrack.h"
#include "kernel/linux/devices.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/files.h"
#include "kernel/linux/linux_kernel.h"
#include "kernel/linux/loop.h"
#include "kernel/linux/monitor.h"
#include "kernel/linux/polkit.h"
#include "kernel/linux/process.h"
#include "kernel/linux/shaping.h"
#include "kernel/linux/stream.h"
#include "kernel/linux/tap.h"
#include "kernel/linux/uevents.h"
#include "kernel/reconcile.h"
#include "nat/compile.h"
#include "rpc/proto_secret.h"
#include "rpc/proto_storage.h"
#include "switch/shaping.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// How long the first reconcile waits for bascule-netsvc to say which leases there are. Ports that learn addresses would
// lose them if it went ahead without.
constexpr std::chrono::seconds kWaitForLeases{3};
constexpr int kResumed = 4;  // VIR_DOMAIN_EVENT_RESUMED

// Events of QEMU's that a guest ends a silent command of its agent with (agents.h); going down closes its channel.
bool ends_silence(std::string_view event) { return event == "SUSPEND" || event == "SUSPEND_DISK" || event == "RESET"; }

os::Account account_of(const std::string& user, std::uint32_t fallback) {
    const auto known = os::account(user);
    if (!known) {
        log::info("there is no user '{}': using number {}", user, fallback);
    }
    return known ? *known : os::Account{fallback, fallback};
}

Result<Config> load_config(kernel::FileTree& files) {
    Config config;
    std::vector<std::string> paths{"/etc/bascule/bascule.conf"};
    TRY(const auto drop_ins, files.list("/etc/bascule/bascule.conf.d"));
    for (const std::string& name : drop_ins) {
        if (name.ends_with(".conf")) {
            paths.push_back("/etc/bascule/bascule.conf.d/" + name);
        }
    }
    for (const std::string& path : paths) {
        if (files.exists(path)) {
            TRY(const std::string text, files.read(path, 1U << 20));
            TRY_OK(read_config(text, files.real(path), config));
        }
    }
    TRY_OK(check_config(config));
    return config;
}

vmm::HostFacts host_facts(const Config& config) {
    vmm::HostFacts facts;
    const auto machine_id = Uuid::parse(os::read_text("/etc/machine-id").substr(0, 32));
    facts.uuid = config.host_uuid                                 ? *config.host_uuid
                 : config.host_uuid_from_machine_id && machine_id ? *machine_id
                                                                  : os::host_uuid();
    facts.cpu = vmm::parse_cpuinfo(os::read_text("/proc/cpuinfo", 4U << 20));
    facts.memory_kib = vmm::parse_memory_kib(os::read_text("/proc/meminfo"));
    facts.emulator = config.emulator;
    return facts;
}

std::string beside_us(const std::string& program) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? "/usr/libexec/bascule/" + program : (self.parent_path() / program).string();
}

// Everything the daemon is made of, in the order in which it must be made and, backwards, taken apart.
class Daemon {
public:
    Daemon(Host& host, KeptSysctls& sysctls, const os::Generations& generations, const Config& config,
           const CommandLine& line);
    Result<void> start();
    void stop();

private:
    void load();
    void ready();
    void reload();
    void learn_again(const Uuid& guest);
    void on_lease(const dhcp::wire::LeaseEvent& event);
    void report(std::vector<std::string> problems);
    void advise(const std::vector<std::string>& advice);
    void watch_host();
    void on_network(const NetworkEvent& event);
    void cut_flows(const nat::Spec& before, const nat::Spec* after);
    void set_resolvers();
    void tell(const PoolEvent& event);
    void tell(const SecretEvent& event);

    Host& host_;
    KeptSysctls& sysctls_;
    const os::Generations& generations_;
    Config config_;
    Events events_;
    HostRoutes routes_;
    Netsvc netsvc_;
    Ports ports_;
    Learning learning_;
    Filters filters_;
    Networks networks_;
    HostSide host_side_;
    Guests guests_;
    Inventory inventory_;
    NetworkPorts network_ports_;
    Emulator emulator_;
    Consoles consoles_;
    Traces traces_;
    Agents agents_;
    Subscriptions subscriptions_;
    LeaseNews lease_news_;
    DeviceEvents device_events_;
    HostInterfaces interfaces_;
    Storage storage_;
    Durability durability_;
    Secrets secrets_;
    Services services_;
    std::unique_ptr<kernel::Authority> authority_;
    std::optional<Access> access_;  // where access_drivers asks for it
    rpc::Handlers handlers_;
    Server server_;
    bool ready_ = false;
    std::vector<std::string> reported_;  // what went wrong, beside what the host's set-up does to us
    Advice advice_;
    Repair repair_;
    std::unique_ptr<kernel::Flows> flows_;
    std::unique_ptr<kernel::Monitor> monitor_;
    std::unique_ptr<kernel::Watch> patience_, hangup_;
};

Guests::Deps guest_deps(Host& host, const Config& config, Networks& networks, Ports& ports, Filters& filters,
                        Events& events) {
    const os::Account account = account_of(config.qemu_user, config.qemu_fallback_uid);
    Guests::Deps deps{.host = host,
                      .networks = networks,
                      .ports = ports,
                      .filters = filters,
                      .events = events,
                      .uid = account.uid,
                      .gid = account.gid,
                      .groups = {},
                      .emulator = config.emulator};
    if (const auto kvm = os::group_id("kvm")) {
        deps.groups.push_back(*kvm);
    }
    return deps;
}

Emulator::Account emulator_account(const Config& config) {
    const os::Account account = account_of(config.qemu_user, config.qemu_fallback_uid);
    Emulator::Account out{.uid = account.uid, .gid = account.gid};
    if (const auto kvm = os::group_id("kvm")) {
        out.groups.push_back(*kvm);
    }
    return out;
}

Netsvc::Settings netsvc_settings(const Config& config, const CommandLine& line) {
    const os::Account account = account_of(config.netsvc_user, config.netsvc_fallback_uid);
    return {.program = line.netsvc.empty() ? beside_us("bascule-netsvc") : line.netsvc,
            .uid = account.uid,
            .gid = account.gid};
}

Daemon::Daemon(Host& host, KeptSysctls& sysctls, const os::Generations& generations, const Config& config,
               const CommandLine& line)
    : host_(host),
      sysctls_(sysctls),
      generations_(generations),
      config_(config),
      routes_(host.ledger),
      netsvc_(host, netsvc_settings(config, line)),
      ports_(host.kernel, host.ledger, [this](const std::string& name) { return filters_.find(name); }),
      learning_(ports_, netsvc_),
      filters_(host, ports_, [this](const IfName& bridge) { return networks_.of_bridge(bridge); }),
      networks_(
          host, routes_, netsvc_, events_,
          [this](const Uuid& network) { return guests_.ports_of(network) + network_ports_.made_by_clients(network); }),
      host_side_(host, {[this] { return networks_.running(); },
                        [this] {
                            std::set<IfName> ours = networks_.bridges();
                            ours.merge(interfaces_.made());
                            return ours;
                        }}),
      guests_(guest_deps(host, config, networks_, ports_, filters_, events_)),
      inventory_(guests_, networks_, netsvc_),
      network_ports_(host, networks_, guests_),
      emulator_(host, config.emulator, emulator_account(config)),
      consoles_(host.loop),
      traces_(host, ports_),
      agents_(host.loop, os::connect_unix),
      lease_news_(host.loop, subscriptions_, lease_lookups(networks_, guests_)),
      device_events_(
          host.loop, subscriptions_, [] { return os::host_devices("/sys"); },
          [&host](std::function<void()> on) { return os::watch_devices(host.loop, std::move(on)); }),
      interfaces_(host),
      storage_(host, [this](const PoolEvent& event) { tell(event); }),
      durability_(host.files, storage_.files()),
      secrets_(host, [this](const SecretEvent& event) { tell(event); }),
      services_{.host = host,
                .networks = networks_,
                .filters = filters_,
                .guests = guests_,
                .ports = ports_,
                .netsvc = netsvc_,
                .subscriptions = subscriptions_,
                .device_events = device_events_,
                .emulator = emulator_,
                .consoles = consoles_,
                .traces = traces_,
                .agents = agents_,
                .interfaces = interfaces_,
                .facts = host_facts(config),
                .problems = {},
                .reload = [this] { reload(); }},
      authority_(os::make_polkit(host.loop)),
      server_(host, handlers_, config_),
      advice_(
          host, networks_, routes_, [this](const auto& advice) { advise(advice); },
          [this](const network::Spec& network, const std::string&) {
              events_.network({network.name.str(), network.uuid, Networks::kDefined, Networks::kOverlaps});
          }),
      repair_(host, {.links_repaired =
                         [this] {
                             if (auto checked = netsvc_.check_sockets(); !checked) {
                                 log::error("{}", checked.error().message);
                             }
                             learning_.refresh();
                             host_side_.settle_soon();
                         },
                     .rules_elsewhere = [this] { advice_.soon(); },
                     .routes = [this](const auto& routes) { advice_.routes(routes); }}) {
    events_.domain = [this](const DomainEvent& event) {
        subscriptions_.publish(event);
        if (event.event == kResumed) {
            learn_again(event.uuid);
        }
        host_.loop.defer([this, uuid = event.uuid] { inventory_.changed(uuid); });  // when the change is complete
    };
    events_.news = [this](const DomainNews& news) {
        subscriptions_.publish(news, host_.loop.clock().wall());
        const auto domain = guests_.by_uuid(news.uuid);
        if (domain) {
            if (const auto* const monitor = std::get_if<DomainNews::Monitor>(&news.what);
                monitor != nullptr && ends_silence(monitor->event)) {
                agents_.happened((*domain)->shown());
            }
            publish_qemu_event(subscriptions_, (*domain)->shown(), news);
        }
    };
    events_.network = [this](const NetworkEvent& event) { on_network(event); };
    networks_.on_host_side([this](const network::Spec& spec) { return host_side_.check(spec); },
                           [this] { host_side_.settle_soon(); });
    interfaces_.on_change([this] { host_side_.settle_soon(); });
    networks_.on_rules_changed([this](const nat::Spec& before, const nat::Spec* after) { cut_flows(before, after); });
    add_connect_handlers(handlers_, services_);
    add_node_handlers(handlers_, services_);
    add_cpu_handlers(handlers_, services_);
    add_interface_handlers(handlers_, services_);
    add_device_handlers(handlers_, services_);
    add_event_handlers(handlers_, services_);
    add_network_handlers(handlers_, services_);
    add_network_port_handlers(handlers_, services_, network_ports_);
    add_filter_handlers(handlers_, services_);
    add_domain_handlers(handlers_, services_);
    add_domain_device_handlers(handlers_, services_);
    add_domain_address_handlers(handlers_, services_);
    add_pool_handlers(handlers_, storage_);
    add_volume_handlers(handlers_, storage_);
    add_secret_handlers(handlers_, secrets_);
    add_domain_change_handlers(handlers_, services_);
    add_domain_vcpu_handlers(handlers_, services_);
    add_domain_stats_handlers(handlers_, services_, storage_);
    add_domain_block_handlers(handlers_, services_, storage_);
    add_domain_display_handlers(handlers_, services_, storage_);
    add_domain_tuning_handlers(handlers_, services_);
    add_domain_bandwidth_handlers(handlers_, services_);
    add_domain_control_handlers(handlers_, services_);
    add_agent_handlers(handlers_, services_);
    add_agent_facts_handlers(handlers_, services_);
    add_refusals(handlers_, services_);
    add_admin_handlers(handlers_, server_);
    handlers_.set_hold({.pending = [this] { return durability_.pending(); },
                        .when_safe = [this](rpc::Handlers::Safe then) { durability_.when_safe(std::move(then)); }});
    use_polkit(handlers_, *authority_);
    if (config_.access_polkit) {
        access_.emplace(*authority_, make_directory(guests_, networks_, filters_, storage_, secrets_));
        access_->install(handlers_);
        gate_events(subscriptions_, *access_);
    }
}

void Daemon::report(std::vector<std::string> problems) {
    for (const std::string& problem : problems) {
        log::error("{}", problem);
    }
    services_.problems.insert(services_.problems.end(), problems.begin(), problems.end());
    std::ranges::move(problems, std::back_inserter(reported_));
}

void Daemon::advise(const std::vector<std::string>& advice) {
    services_.problems = reported_;
    services_.problems.insert(services_.problems.end(), advice.begin(), advice.end());
}

void Daemon::on_network(const NetworkEvent& event) {
    if (event.event == Networks::kStarted) {
        if (auto settled = ports_.settle(event.uuid); !settled) {
            log::error("network {}: {}", event.name, settled.error().message);
        }
    }
    if (event.event == Networks::kStopped) {
        network_ports_.network_stopped(event.uuid);
        sysctls_.restore(Advice::others_forward);
    }
    if (event.event == Networks::kStarted || event.event == Networks::kStopped) {
        advice_.soon();
    }
    host_.loop.defer([this] { inventory_.all_changed(); });  // which guests' NICs are on a network of that name
    subscriptions_.publish(event);
}

// Flows that a change of rules took the right away from.
void Daemon::cut_flows(const nat::Spec& before, const nat::Spec* after) {
    const auto revoked = nat::revoked(before, after);
    if (revoked.empty()) {
        return;
    }
    if (!flows_) {
        auto flows = os::make_flows();
        if (!flows) {
            log::error("established flows stay: {}", flows.error().message);
            return;
        }
        flows_ = std::move(*flows);
    }
    if (const auto cut = flows_->cut(revoked); !cut) {
        log::error("established flows of {}: {}", before.bridge.str(), cut.error().message);
    } else if (*cut > 0) {
        log::info("{}: {} established flows cut, which its rules no longer allow", before.bridge.str(), *cut);
    }
}

void Daemon::watch_host() {
    auto monitor = os::make_monitor(host_.loop, generations_, [this](const kernel::Change& change) {
        routes_.on_change(change);
        repair_.on_change(change);
    });
    if (!monitor) {
        report({fmt::format("what others change here is noticed late: {}", monitor.error().message)});
    } else {
        monitor_ = std::move(*monitor);
        routes_.watched();
    }
    repair_.start();
    advice_.soon();
}

void Daemon::tell(const PoolEvent& event) {
    const rpc::proto::StoragePool pool{.name = event.name, .uuid = event.uuid};
    if (event.refresh) {
        subscriptions_.publish<rpc::proto::storage_pool_event_refresh>({.pool = pool});
    } else {
        subscriptions_.publish<rpc::proto::storage_pool_event_lifecycle>({.pool = pool, .event = event.event});
    }
}

void Daemon::tell(const SecretEvent& event) {
    if (event.value_changed) {
        subscriptions_.publish<rpc::proto::secret_event_value_changed>({.secret = to_wire(event.spec)});
    } else {
        subscriptions_.publish<rpc::proto::secret_event_lifecycle>(
            {.secret = to_wire(event.spec), .event = event.event});
    }
}

void Daemon::set_resolvers() {
    if (auto set = netsvc_.follow_resolvers(); !set) {
        log::error("DNS forwarding: {}", set.error().message);
    }
}

Result<void> Daemon::start() {
    TRY_OK(server_.listen());
    const bool fresh = !host_.files.exists("/etc/bascule/networks");
    report(filters_.load());
    report(networks_.load());
    if (fresh) {
        if (auto installed = networks_.install_default(); !installed) {
            report({fmt::format("the network 'default': {}", installed.error().message)});
        }
    }
    report(network_ports_.load());
    report(filters_.load_bindings());
    const bool no_pools = !host_.files.exists("/etc/bascule/storage");
    report(storage_.load());
    if (no_pools) {
        if (auto installed = storage_.install_default(); !installed) {
            report({fmt::format("the storage pool 'default': {}", installed.error().message)});
        }
    }
    report(secrets_.load());
    report(interfaces_.load());
    report(guests_.load());
    inventory_.all_changed();
    netsvc_.set_callbacks({.lease = [this](const auto& event) { on_lease(event); },
                           .news = [this](const auto& event) { lease_news_.tell(event); },
                           .learned = [this](const auto& learned) { learning_.heard(learned); },
                           .attached = [this] { learning_.attached(); },
                           .ready = [this] { ready(); }});
    if (auto started = netsvc_.start(); !started) {
        report({fmt::format("there is no DHCP and DNS: {}", started.error().message)});
        ready();
        return {};
    }
    patience_ = host_.loop.at(host_.loop.clock().now() + kWaitForLeases, [this] {
        log::warning("bascule-netsvc does not answer; going on without its leases");
        ready();
    });
    return {};
}

void Daemon::ready() {
    patience_.reset();
    if (std::exchange(ready_, true)) {
        return;
    }
    watch_host();
    learning_.go_live();
    kernel::Scope everything;
    everything.everything = true;
    everything.add(host_.ledger.wanted());
    const auto applied = kernel::reconcile(host_.kernel, host_.ledger, everything);
    if (!applied) {
        report({fmt::format("bringing the host to what is defined: {}", applied.error().message)});
    } else if (*applied > 0) {
        log::info("brought the host to what is defined: {} changes", *applied);
    }
    if (auto checked = netsvc_.check_sockets(); !checked) {
        report({checked.error().message});
    }
    set_resolvers();
    host_side_.follow();
    report(interfaces_.settle());
    report(networks_.autostart());
    if (!os::can_confine_files()) {
        log::warning("this kernel has no Landlock: qemu-img is not held to the files it is to read and write");
    }
    storage_.autostart([this](std::string problem) { report({std::move(problem)}); });
    guests_.autostart([this](std::string problem) { report({std::move(problem)}); });
    hangup_ = host_.loop.on_signal(SIGHUP, [this] { reload(); });
    server_.accept();
    ::malloc_trim(0);  // reading everything took more than keeping it does
    sd_notify(0, "READY=1");
    log::info("basculed {} serves at {}", kVersion, host_.files.real("/run/bascule/libvirt-sock"));
}

void Daemon::reload() {
    sd_notify(0, "RELOADING=1");
    services_.problems.clear();
    reported_.clear();
    advice_.soon();  // to be told beside them, not as a fault of the files
    report(filters_.reload());
    report(networks_.reload());
    report(storage_.reload());
    set_resolvers();
    sd_notify(0, "READY=1");
}

void Daemon::stop() {
    sd_notify(0, "STOPPING=1");
    server_.close();
}

// A guest that slept may wake up somewhere else, so to say: its first frame teaches again.
void Daemon::learn_again(const Uuid& guest) {
    const auto domain = guests_.by_uuid(guest);
    for (const Domain::Nic& nic : domain ? (*domain)->nics : std::vector<Domain::Nic>{}) {
        if (nic.tap) {
            learning_.forget_seen(*nic.tap);
        }
    }
}

// A lease of a port feeds its filter's variables IP and IPV6; its time in the kernel is that of the lease.
void Daemon::on_lease(const dhcp::wire::LeaseEvent& event) {
    const dhcp::Lease& lease = event.lease;
    Ports::Lease now{.address = lease.address, .expires = std::nullopt};
    now.ended = event.kind != dhcp::wire::LeaseEventKind::added && event.kind != dhcp::wire::LeaseEventKind::renewed;
    if (!now.ended && lease.expires != dhcp::kNever) {
        now.expires = host_.loop.clock().now() + (lease.expires - host_.loop.clock().wall());
    }
    if (!ready_) {
        ports_.lease_quietly(lease.network, lease.port, now);
    } else if (auto done = ports_.lease(lease.network, lease.port, now); !done) {
        log::error("the lease of {} by {}: {}", format(lease.address), format(lease.port), done.error().message);
    }
}

}  // namespace

Result<void> run(const CommandLine& line) {
    if (line.verbose) {
        log::set_level(log::Level::debug);
    }
    TRY(const auto files, os::make_file_tree(line.root));
    auto config = load_config(*files);
    if (!config) {
        return std::unexpected(std::move(config).error());
    }
    if (!line.verbose) {
        log::set_level(config->log_level);
    }
    for (const std::string& note : config->notes) {
        log::info("{}", note);
    }
    TRY(const auto loop, os::make_loop());
    os::Generations generations;
    TRY(const auto linux_kernel, os::make_linux_kernel(&generations));
    const auto spawner = os::make_spawner();
    const auto taps = os::make_taps();
    kernel::Ledger ledger;
    if (!kernel::os::can_police()) {
        ledger.adapt(vswitch::limit_by_rules);
    }
    KeptSysctls kept(*linux_kernel, ledger, *files);
    Host host{kept, ledger, *files, *loop, *spawner, *taps};
    Daemon daemon(host, kept, generations, *config, line);
    TRY_OK(daemon.start());
    const auto end = [&] { loop->stop(); };
    const auto interrupt = loop->on_signal(SIGINT, end);
    const auto terminate = loop->on_signal(SIGTERM, end);
    TRY_OK(loop->run());
    daemon.stop();
    return {};
}

}  // namespace bascule::daemon
