// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/access_table.h"

#include <array>
#include <cassert>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

namespace bascule::daemon {

namespace {

constexpr std::array<std::pair<std::string_view, ObjectClass>, 11> kClasses{
    {{"connect", ObjectClass::connect},
     {"domain", ObjectClass::domain},
     {"interface", ObjectClass::interface},
     {"network", ObjectClass::network},
     {"network-port", ObjectClass::network_port},
     {"node-device", ObjectClass::node_device},
     {"nwfilter", ObjectClass::nwfilter},
     {"nwfilter-binding", ObjectClass::nwfilter_binding},
     {"secret", ObjectClass::secret},
     {"storage-pool", ObjectClass::storage_pool},
     {"storage-vol", ObjectClass::storage_vol}}};

// Rules: OBJECT.PERMISSION, and behind '?' when: a mask of the call's flags, or "kept". Procedures by their names in
// rpc/procedures.tsv.
struct Row {
    std::string_view rules;
    std::string_view procedures;
};
constexpr Row kRows[] = {
    {"", "connect-is-secure"},
    {"connect.getattr",
     "connect-open connect-get-type connect-get-version connect-get-uri connect-get-lib-version connect-get-hostname "
     "connect-register-close-callback connect-unregister-close-callback"},
    {"connect.read",
     "connect-get-max-vcpus node-get-info connect-get-capabilities node-get-cells-free-memory node-get-free-memory "
     "node-get-security-model connect-get-sysinfo node-get-cpu-stats node-get-memory-stats node-get-memory-parameters "
     "node-get-cpu-map connect-compare-cpu connect-baseline-cpu connect-get-cpu-model-names node-get-free-pages "
     "node-get-sev-info connect-get-storage-pool-capabilities connect-domain-event-deregister "
     "connect-domain-event-deregister-any connect-network-event-deregister-any "
     "connect-domain-event-callback-deregister-any connect-storage-pool-event-deregister-any "
     "connect-node-device-event-deregister-any connect-secret-event-deregister-any daemon-get-status "
     "daemon-get-drops connect-lease-event-deregister nwfilter-explain nwfilter-diff "
     "nwfilter-get-drops"},
    {"connect.write",
     "connect-domain-xml-from-native connect-domain-xml-to-native node-set-memory-parameters "
     "connect-get-domain-capabilities node-alloc-pages connect-compare-hypervisor-cpu connect-baseline-hypervisor-cpu "
     "connect-set-identity connect-domain-monitor-event-deregister daemon-reload daemon-client-list "
     "daemon-client-disconnect daemon-get-limits daemon-set-limits nwfilter-trace"},
    {"connect.pm-control", "node-suspend-for-duration"},
    {"connect.detect-storage-pools", "connect-find-storage-pool-sources"},
    {"connect.interface-transaction", "interface-change-begin interface-change-commit interface-change-rollback"},

    // Lists show only what the caller may see of it (daemon/access_lists.cpp).
    {"connect.search-domains",
     "connect-list-domains connect-list-defined-domains connect-num-of-domains connect-num-of-defined-domains "
     "connect-list-all-domains connect-get-all-domain-stats connect-domain-event-register "
     "connect-domain-event-register-any connect-domain-event-callback-register-any"},
    {"connect.search-domains connect.write", "connect-domain-monitor-event-register"},
    {"connect.search-networks",
     "connect-list-networks connect-list-defined-networks connect-num-of-networks connect-num-of-defined-networks "
     "connect-list-all-networks connect-network-event-register-any connect-lease-event-register"},
    {"connect.search-interfaces",
     "connect-list-interfaces connect-list-defined-interfaces connect-num-of-interfaces "
     "connect-num-of-defined-interfaces connect-list-all-interfaces"},
    {"connect.search-node-devices",
     "node-num-of-devices node-list-devices connect-list-all-node-devices connect-node-device-event-register-any"},
    {"connect.search-nwfilters", "connect-num-of-nwfilters connect-list-nwfilters connect-list-all-nwfilters"},
    {"connect.search-nwfilter-bindings", "connect-list-all-nwfilter-bindings"},
    {"connect.search-secrets",
     "connect-num-of-secrets connect-list-secrets connect-list-all-secrets connect-secret-event-register-any"},
    {"connect.search-storage-pools",
     "connect-num-of-storage-pools connect-list-storage-pools connect-num-of-defined-storage-pools "
     "connect-list-defined-storage-pools connect-list-all-storage-pools connect-storage-pool-event-register-any"},

    {"domain.getattr", "domain-lookup-by-id domain-lookup-by-name domain-lookup-by-uuid"},
    {"domain.read",
     "domain-get-autostart domain-get-autostart-once domain-get-info domain-get-max-memory domain-get-max-vcpus "
     "domain-get-os-type domain-get-vcpus domain-get-scheduler-type domain-get-scheduler-parameters "
     "domain-get-scheduler-parameters-flags domain-block-stats domain-block-stats-flags domain-interface-stats "
     "domain-get-security-label domain-get-security-label-list domain-is-active domain-is-persistent domain-is-updated "
     "domain-memory-stats domain-get-job-info domain-get-job-stats domain-has-managed-save-image domain-snapshot-num "
     "domain-snapshot-list-names domain-snapshot-lookup-by-name domain-has-current-snapshot domain-snapshot-current "
     "domain-snapshot-get-parent domain-snapshot-num-children domain-snapshot-list-children-names "
     "domain-snapshot-is-current domain-snapshot-has-metadata domain-list-all-snapshots "
     "domain-snapshot-list-all-children domain-get-block-info domain-get-memory-parameters "
     "domain-get-blkio-parameters domain-get-state domain-get-control-info domain-get-vcpu-pin-info "
     "domain-get-block-job-info domain-get-block-io-tune domain-get-numa-parameters domain-get-interface-parameters "
     "domain-get-cpu-stats domain-get-disk-errors domain-get-metadata domain-get-hostname domain-get-emulator-pin-info "
     "domain-get-time domain-get-iothread-info domain-interface-addresses domain-get-addresses domain-get-perf-events "
     "domain-get-launch-security-info domain-backup-get-xml-desc domain-get-messages domain-start-dirty-rate-calc "
     "domain-list-all-checkpoints domain-checkpoint-list-all-children domain-checkpoint-lookup-by-name "
     "domain-checkpoint-get-parent"},
    // VIR_DOMAIN_XML_SECURE 1, _MIGRATABLE 8
    {"domain.read domain.read-secure?9", "domain-get-xml-desc"},
    {"domain.read domain.read-secure?1",
     "domain-snapshot-get-xml-desc domain-save-image-get-xml-desc domain-managed-save-get-xml-desc "
     "domain-checkpoint-get-xml-desc"},
    {"domain.read domain.write?8", "domain-get-vcpus-flags"},  // VIR_DOMAIN_VCPU_GUEST
    {"domain.write",
     "domain-attach-device domain-detach-device domain-pin-vcpu domain-set-autostart domain-set-autostart-once "
     "domain-set-max-memory domain-set-memory domain-set-vcpus domain-abort-job domain-abort-job-flags "
     "domain-block-job-abort domain-block-job-set-speed domain-set-perf-events domain-get-guest-vcpus "
     "domain-set-guest-vcpus domain-set-block-threshold domain-agent-set-response-timeout domain-get-guest-info "
     "domain-authorized-ssh-keys-get domain-authorized-ssh-keys-set domain-set-launch-security-state "
     "domain-fd-associate domain-graphics-reload domain-monitor-command domain-monitor-command-with-files "
     "domain-agent-command domain-set-scheduler-parameters"},
    {"domain.write domain.save?kept",
     "domain-attach-device-flags domain-detach-device-flags domain-update-device-flags domain-detach-device-alias "
     "domain-set-memory-parameters domain-set-memory-flags domain-set-blkio-parameters domain-pin-vcpu-flags "
     "domain-set-scheduler-parameters-flags domain-set-block-io-tune domain-set-numa-parameters "
     "domain-set-interface-parameters domain-set-metadata domain-pin-emulator domain-set-memory-stats-period "
     "domain-pin-iothread domain-add-iothread domain-del-iothread domain-set-iothread-params domain-set-vcpu "
     "domain-set-vcpus-flags domain-set-lifecycle-action domain-set-throttle-group domain-del-throttle-group"},
    {"domain.write domain.save", "domain-define-xml domain-define-xml-flags domain-rename"},
    {"domain.write domain.start",
     "domain-create-xml domain-create-xml-with-files domain-restore domain-restore-flags domain-restore-params "
     "domain-attach"},
    {"domain.write domain.hibernate", "domain-save-image-define-xml domain-managed-save-define-xml"},
    {"domain.start", "domain-create domain-create-with-flags domain-create-with-files"},
    {"domain.stop", "domain-destroy domain-destroy-flags"},
    {"domain.suspend", "domain-suspend domain-resume"},
    {"domain.init-control", "domain-shutdown"},
    {"domain.init-control domain.write?2", "domain-shutdown-flags domain-reboot"},  // through the guest's agent
    {"domain.reset", "domain-reset"},
    {"domain.delete", "domain-undefine domain-undefine-flags"},
    {"domain.hibernate",
     "domain-save domain-save-flags domain-save-params domain-managed-save domain-managed-save-remove"},
    {"domain.core-dump", "domain-core-dump domain-core-dump-with-format"},
    {"domain.migrate",
     "domain-migrate-perform domain-migrate-finish domain-migrate-finish2 domain-migrate-set-max-downtime "
     "domain-migrate-set-max-speed domain-migrate-get-max-speed domain-migrate-begin3 domain-migrate-perform3 "
     "domain-migrate-finish3 domain-migrate-confirm3 domain-migrate-get-compression-cache "
     "domain-migrate-set-compression-cache domain-migrate-begin3-params domain-migrate-perform3-params "
     "domain-migrate-finish3-params domain-migrate-confirm3-params domain-migrate-start-post-copy "
     "domain-migrate-get-max-downtime"},
    {"domain.migrate domain.start domain.write",
     "domain-migrate-prepare domain-migrate-prepare2 domain-migrate-prepare-tunnel domain-migrate-prepare3 "
     "domain-migrate-prepare-tunnel3 domain-migrate-prepare3-params domain-migrate-prepare-tunnel3-params"},
    {"domain.snapshot domain.fs-freeze?64", "domain-snapshot-create-xml"},  // …_CREATE_QUIESCE
    {"domain.snapshot", "domain-revert-to-snapshot domain-snapshot-delete"},
    {"domain.checkpoint domain.fs-freeze?2", "domain-checkpoint-create-xml"},  // …_CREATE_QUIESCE
    {"domain.checkpoint", "domain-checkpoint-delete domain-backup-begin"},
    {"domain.block-read", "domain-block-peek"},
    {"domain.block-write",
     "domain-block-pull domain-block-resize domain-block-rebase domain-block-commit domain-block-copy"},
    {"domain.mem-read", "domain-memory-peek"},
    {"domain.open-device", "domain-open-console domain-open-channel"},
    {"domain.open-graphics", "domain-open-graphics domain-open-graphics-fd"},
    {"domain.open-namespace", "domain-open-namespace"},
    {"domain.inject-nmi", "domain-inject-nmi"},
    {"domain.screenshot", "domain-screenshot"},
    {"domain.send-input", "domain-send-key"},
    {"domain.send-signal", "domain-send-process-signal"},
    {"domain.pm-control", "domain-pm-suspend-for-duration domain-pm-wakeup"},
    {"domain.fs-trim", "domain-fstrim"},
    {"domain.fs-freeze", "domain-fsfreeze domain-fsthaw domain-get-fsinfo"},
    {"domain.set-time", "domain-set-time"},
    {"domain.set-password", "domain-set-user-password"},

    {"network.getattr", "network-lookup-by-name network-lookup-by-uuid"},
    {"network.read",
     "network-get-xml-desc network-get-autostart network-get-bridge-name network-is-active network-is-persistent "
     "network-get-dhcp-leases network-get-metadata"},
    {"network.start", "network-create"},
    {"network.stop", "network-destroy"},
    {"network.delete", "network-undefine"},
    {"network.write", "network-set-autostart"},
    {"network.write network.start", "network-create-xml network-create-xml-flags"},
    {"network.write network.save", "network-define-xml network-define-xml-flags"},
    {"network.write network.save?kept", "network-update network-set-metadata"},
    {"network.search-ports", "network-list-all-ports"},
    {"network-port.getattr", "network-port-lookup-by-uuid"},
    {"network-port.create", "network-port-create-xml"},
    {"network-port.read", "network-port-get-parameters network-port-get-xml-desc"},
    {"network-port.write", "network-port-set-parameters"},
    {"network-port.delete", "network-port-delete"},

    {"nwfilter.getattr", "nwfilter-lookup-by-name nwfilter-lookup-by-uuid"},
    {"nwfilter.read", "nwfilter-get-xml-desc"},
    {"nwfilter.write nwfilter.save", "nwfilter-define-xml nwfilter-define-xml-flags"},
    {"nwfilter.delete", "nwfilter-undefine"},
    {"nwfilter-binding.getattr", "nwfilter-binding-lookup-by-port-dev"},
    {"nwfilter-binding.read", "nwfilter-binding-get-xml-desc"},
    {"nwfilter-binding.create", "nwfilter-binding-create-xml"},
    {"nwfilter-binding.delete", "nwfilter-binding-delete"},

    {"interface.getattr", "interface-lookup-by-name interface-lookup-by-mac-string"},
    {"interface.read", "interface-get-xml-desc interface-is-active"},
    {"interface.write interface.save", "interface-define-xml"},
    {"interface.delete", "interface-undefine"},
    {"interface.start", "interface-create"},
    {"interface.stop", "interface-destroy"},

    {"node-device.getattr", "node-device-lookup-by-name node-device-lookup-scsi-host-by-wwn"},
    {"node-device.read",
     "node-device-get-xml-desc node-device-get-parent node-device-num-of-caps node-device-list-caps "
     "node-device-get-autostart node-device-is-persistent node-device-is-active"},
    {"node-device.detach", "node-device-dettach node-device-re-attach node-device-reset node-device-detach-flags"},
    {"node-device.write node-device.start", "node-device-create-xml"},
    {"node-device.write", "node-device-define-xml node-device-set-autostart node-device-update"},
    {"node-device.start", "node-device-create"},
    {"node-device.stop", "node-device-destroy"},
    {"node-device.delete", "node-device-undefine"},

    {"secret.getattr", "secret-lookup-by-uuid secret-lookup-by-usage"},
    {"secret.read", "secret-get-xml-desc"},
    {"secret.read-secure", "secret-get-value"},
    {"secret.write", "secret-set-value"},
    {"secret.write secret.save", "secret-define-xml"},
    {"secret.delete", "secret-undefine"},

    {"storage-pool.getattr",
     "storage-pool-lookup-by-name storage-pool-lookup-by-uuid storage-pool-lookup-by-volume "
     "storage-pool-lookup-by-target-path"},
    {"storage-pool.read",
     "storage-pool-get-info storage-pool-get-xml-desc storage-pool-get-autostart storage-pool-is-active "
     "storage-pool-is-persistent"},
    {"storage-pool.write storage-pool.start", "storage-pool-create-xml"},
    {"storage-pool.write storage-pool.save", "storage-pool-define-xml"},
    {"storage-pool.write", "storage-pool-set-autostart"},
    {"storage-pool.start", "storage-pool-create"},
    {"storage-pool.stop", "storage-pool-destroy"},
    {"storage-pool.format", "storage-pool-build storage-pool-delete"},
    {"storage-pool.delete", "storage-pool-undefine"},
    {"storage-pool.refresh", "storage-pool-refresh"},
    {"storage-pool.search-storage-vols",
     "storage-pool-num-of-volumes storage-pool-list-volumes storage-pool-list-all-volumes"},
    {"storage-vol.getattr", "storage-vol-lookup-by-name storage-vol-lookup-by-key storage-vol-lookup-by-path"},
    {"storage-vol.read",
     "storage-vol-get-info storage-vol-get-info-flags storage-vol-get-xml-desc storage-vol-get-path"},
    {"storage-vol.create", "storage-vol-create-xml storage-vol-create-xml-from"},
    {"storage-vol.delete", "storage-vol-delete"},
    {"storage-vol.format", "storage-vol-wipe storage-vol-wipe-pattern"},
    {"storage-vol.resize", "storage-vol-resize"},
    {"storage-vol.data-write", "storage-vol-upload"},
    {"storage-vol.data-read", "storage-vol-download"},
};

template <class F>
void each_word(std::string_view text, F f) {
    while (!text.empty()) {
        const auto end = std::min(text.find(' '), text.size());
        f(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

AccessRule parse_rule(std::string_view text) {
    AccessRule rule;
    const auto dot = text.find('.'), when = text.find('?');
    for (const auto& [name, object] : kClasses) {
        if (name == text.substr(0, dot)) {
            rule.object = object;
        }
    }
    rule.permission = text.substr(dot + 1, when == std::string_view::npos ? when : when - dot - 1);
    if (when != std::string_view::npos) {
        const std::string_view condition = text.substr(when + 1);
        rule.if_kept = condition == "kept";
        std::from_chars(condition.data(), condition.data() + condition.size(), rule.if_any);
    }
    return rule;
}

std::map<std::string_view, std::vector<AccessRule>> parse_rows() {
    std::map<std::string_view, std::vector<AccessRule>> out;
    for (const Row& row : kRows) {
        std::vector<AccessRule> rules;
        each_word(row.rules, [&](std::string_view rule) { rules.push_back(parse_rule(rule)); });
        each_word(row.procedures, [&](std::string_view procedure) {
            [[maybe_unused]] const bool is_new = out.emplace(procedure, rules).second;
            assert(is_new);
        });
    }
    return out;
}

}  // namespace

std::string_view name_of(ObjectClass object) {
    for (const auto& [name, value] : kClasses) {
        if (value == object) {
            return name;
        }
    }
    return {};
}

const std::vector<AccessRule>* access_rules(const rpc::ProcedureInfo& procedure) {
    static const auto table = parse_rows();
    const auto found = table.find(procedure.name);
    return found == table.end() ? nullptr : &found->second;
}

}  // namespace bascule::daemon
