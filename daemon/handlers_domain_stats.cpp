// SPDX-License-Identifier: GPL-2.0-or-later
// Counters of guests: memory, and everything at once for whoever watches many.
#include <algorithm>

#include "daemon/guest_disks.h"
#include "daemon/handlers.h"
#include "daemon/storage.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/host.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
namespace field = rpc::typed_param_field;
namespace types = rpc::domain_stats_types;
namespace flag = rpc::connect_get_all_domain_stats_flags;
using rpc::Call;
using rpc::Responder;
using rpc::TypedParam;

namespace {

// ---- memory

void memory_stats(Services& s, const proto::domain_memory_stats_args& args,
                  Responder<proto::domain_memory_stats> responder) {
    if (auto ok = check_flags(args.flags, 0, "qemuDomainMemoryStats"); !ok) {
        return responder.fail(ok.error());
    }
    const auto domain = s.guests.running(args.dom.uuid);
    if (!domain) {
        return responder.fail(domain.error());
    }
    const int pid = (*domain)->guest->pid();
    const std::size_t most = args.max_stats;
    (*domain)->guest->memory([pid, most, r = std::move(responder)](Result<vmm::MemoryReport> report) mutable {
        if (!report) {
            return r.fail(report.error());
        }
        namespace tag = rpc::domain_memory_stat_tags;
        proto::domain_memory_stats_ret ret;
        const auto add = [&](std::int32_t which, const std::optional<std::uint64_t>& value) {
            if (value && ret.stats.size() < most) {
                ret.stats.push_back({.tag = which, .val = *value});
            }
        };
        add(tag::actual_balloon, report->actual);
        add(tag::swap_in, report->swap_in);
        add(tag::swap_out, report->swap_out);
        add(tag::major_fault, report->major_fault);
        add(tag::minor_fault, report->minor_fault);
        add(tag::unused, report->unused);
        add(tag::available, report->available);
        add(tag::usable, report->usable);
        add(tag::last_update, report->last_update);
        add(tag::disk_caches, report->disk_caches);
        add(tag::hugetlb_pgalloc, report->hugetlb_pgalloc);
        add(tag::hugetlb_pgfail, report->hugetlb_pgfail);
        add(tag::rss, os::resident_kib(pid));
        r.ok(ret);
    });
}

// ---- all of it

// Parameters of one guest. Names are the protocol's; those of devices are numbered.
class Record {
public:
    explicit Record(const Domain& domain) : domain_(domain) {}

    void state() {
        const vmm::Status status = domain_.status();
        add(field::domain_stats_state_state, static_cast<std::int32_t>(status.state));
        add(field::domain_stats_state_reason, static_cast<std::int32_t>(status.reason));
    }
    void cpu_total() {
        if (!domain_.active()) {
            return;
        }
        std::uint64_t user = 0, kernel = 0;
        for (const os::ThreadUse& thread : os::thread_uses(domain_.guest->pid())) {
            user += thread.user_ns;
            kernel += thread.kernel_ns;
        }
        add(field::domain_stats_cpu_time, user + kernel);
        add(field::domain_stats_cpu_user, user);
        add(field::domain_stats_cpu_system, kernel);
    }
    void balloon() {
        const vmm::Spec& spec = domain_.shown();
        add(field::domain_stats_balloon_current, spec.current_memory_kib);
        add(field::domain_stats_balloon_maximum, spec.memory_kib);
        if (domain_.active()) {
            add(field::domain_stats_balloon_rss, os::resident_kib(domain_.guest->pid()));
        }
    }
    void vcpus() {
        const unsigned count = domain_.shown().vcpus;
        add(field::domain_stats_vcpu_current, count);
        add(field::domain_stats_vcpu_maximum, count);
        if (!domain_.active()) {
            return;
        }
        constexpr std::int32_t kRunning = 1;  // VIR_VCPU_RUNNING
        for (const auto& [number, thread] : vcpu_threads(domain_)) {
            if (number < count) {
                numbered("vcpu", number, "state", kRunning);
                numbered("vcpu", number, "time", thread.user_ns + thread.kernel_ns);
                numbered("vcpu", number, "delay", thread.delay_ns);
            }
        }
    }
    void interfaces() {
        if (!domain_.active()) {
            return;
        }
        add(field::domain_stats_net_count, static_cast<std::uint32_t>(domain_.nics.size()));
        for (std::size_t i = 0; i < domain_.nics.size(); ++i) {
            const auto& tap = domain_.nics[i].tap;
            if (!tap) {
                continue;
            }
            numbered("net", i, "name", tap->str());
            const auto host = os::link_counters(*tap);
            if (!host) {
                continue;
            }
            // The guest's view: what it received is what the host sent to the tap.
            numbered("net", i, "rx.bytes", host->tx_bytes);
            numbered("net", i, "rx.pkts", host->tx_packets);
            numbered("net", i, "rx.errs", host->tx_errors);
            numbered("net", i, "rx.drop", host->tx_dropped);
            numbered("net", i, "tx.bytes", host->rx_bytes);
            numbered("net", i, "tx.pkts", host->rx_packets);
            numbered("net", i, "tx.errs", host->rx_errors);
            numbered("net", i, "tx.drop", host->rx_dropped);
        }
    }
    void disks(const std::vector<DiskReport>& disks) {
        add("block.count", static_cast<std::uint32_t>(disks.size()));
        for (std::size_t i = 0; i < disks.size(); ++i) {
            disk(i, disks[i]);
        }
    }

    std::vector<TypedParam> take() { return std::move(params_); }

private:
    void disk(std::size_t i, const DiskReport& report) {
        numbered("block", i, "name", report.target);
        if (!report.source.empty()) {
            numbered("block", i, "path", report.source);
        }
        if (const auto& counted = report.counters) {
            const auto way = [&](std::string_view name, const vmm::DiskCounters::Way& w, bool bytes) {
                numbered("block", i, fmt::format("{}.reqs", name), w.requests);
                if (bytes) {
                    numbered("block", i, fmt::format("{}.bytes", name), w.bytes);
                }
                numbered("block", i, fmt::format("{}.times", name), w.time);
            };
            way("rd", counted->read, true);
            way("wr", counted->written, true);
            way("fl", counted->flushed, false);
        }
        if (report.size) {
            numbered("block", i, "allocation", report.size->allocation);
            numbered("block", i, "capacity", report.size->capacity);
            numbered("block", i, "physical", report.size->physical);
        }
    }
    void add(std::string_view name, TypedParam::Value value) {
        params_.push_back({.field = std::string(name), .value = std::move(value)});
    }
    void numbered(std::string_view group, std::size_t number, std::string_view name, TypedParam::Value value) {
        add(fmt::format("{}.{}.{}", group, number, name), std::move(value));
    }

    const Domain& domain_;
    std::vector<TypedParam> params_;
};

constexpr std::uint32_t bits(std::int32_t type) { return static_cast<std::uint32_t>(type); }

proto::DomainStatsRecord record_of(const Domain& domain, std::uint32_t stats, const DiskReports& disks) {
    Record record(domain);
    const auto wants = [stats](std::int32_t type) { return stats == 0 || (stats & bits(type)) != 0; };
    if (wants(types::state)) {
        record.state();
    }
    if (wants(types::cpu_total)) {
        record.cpu_total();
    }
    if (wants(types::balloon)) {
        record.balloon();
    }
    if (wants(types::vcpu)) {
        record.vcpus();
    }
    if (wants(types::interface)) {
        record.interfaces();
    }
    if (wants(types::block)) {
        const auto mine = disks.find(domain.shown().uuid);
        record.disks(mine == disks.end() ? std::vector<DiskReport>() : mine->second);
    }
    return {.dom = to_wire(domain), .params = record.take()};
}

bool chosen(const Domain& domain, std::uint32_t flags) {
    // The lower bits are those of the list of guests, without the later groups.
    const vmm::State state = domain.status().state;
    const std::uint32_t states = flags & (flag::running | flag::paused | flag::shutoff | flag::other);
    const std::uint32_t mine = state == vmm::State::running   ? flag::running
                               : state == vmm::State::paused  ? flag::paused
                               : state == vmm::State::shutoff ? flag::shutoff
                                                              : flag::other;
    return passes(flags, flag::active, flag::inactive, domain.active()) &&
           passes(flags, flag::persistent, flag::transient, domain.persistent()) &&
           (states == 0 || (states & mine) != 0);
}

// Whose statistics are asked for; guests that are gone by now are left out.
Result<std::vector<Uuid>> asked_about(const Services& s, const proto::connect_get_all_domain_stats_args& args) {
    constexpr std::uint32_t kLists = flag::active | flag::inactive | flag::persistent | flag::transient |
                                     flag::running | flag::paused | flag::shutoff | flag::other;
    constexpr std::uint32_t kHave = bits(types::state) | bits(types::cpu_total) | bits(types::balloon) |
                                    bits(types::vcpu) | bits(types::interface) | bits(types::block);
    TRY_OK(check_flags(args.flags, kLists | flag::nowait | flag::backing | flag::enforce_stats,
                       "qemuConnectGetAllDomainStats"));
    if ((args.flags & flag::enforce_stats) != 0 && (args.stats & ~kHave) != 0) {
        return fail(Code::unsupported,
                    fmt::format("Stats types bits 0x{:x} are not supported by this daemon", args.stats & ~kHave));
    }
    std::vector<Uuid> out;
    for (const proto::Domain& dom : args.doms) {
        if (s.guests.by_uuid(dom.uuid)) {
            out.push_back(dom.uuid);
        }
    }
    for (const Domain* const domain : args.doms.empty() ? s.guests.all() : std::vector<const Domain*>()) {
        if (chosen(*domain, args.flags)) {
            out.push_back(domain->shown().uuid);
        }
    }
    return out;
}

proto::connect_get_all_domain_stats_ret stats_of(const Services& s, const std::vector<Uuid>& which, std::uint32_t stats,
                                                 const DiskReports& disks) {
    proto::connect_get_all_domain_stats_ret ret;
    for (const Uuid& uuid : which) {
        if (const auto domain = s.guests.by_uuid(uuid)) {
            ret.ret_stats.push_back(record_of(**domain, stats, disks));
        }
    }
    return ret;
}

void all_stats(const Services& s, Storage& storage, const proto::connect_get_all_domain_stats_args& args,
               Responder<proto::connect_get_all_domain_stats> responder) {
    auto which = asked_about(s, args);
    if (!which) {
        return responder.fail(which.error());
    }
    if (args.stats != 0 && (args.stats & bits(types::block)) == 0) {
        return responder.ok(stats_of(s, *which, args.stats, {}));
    }
    report_disks(s.guests, storage.files(), *which,
                 [&s, which = *which, stats = args.stats, r = std::move(responder)](const DiskReports& disks) mutable {
                     r.ok(stats_of(s, which, stats, disks));
                 });
}

}  // namespace

void add_domain_stats_handlers(rpc::Handlers& h, Services& s, Storage& storage) {
    h.add<proto::domain_memory_stats>(
        [&s](Call&, const proto::domain_memory_stats_args& args, Responder<proto::domain_memory_stats> responder) {
            memory_stats(s, args, std::move(responder));
        });
    h.add<proto::domain_set_memory_stats_period>([&s](Call&, const proto::domain_set_memory_stats_period_args& args,
                                                      Responder<proto::domain_set_memory_stats_period> responder) {
        if (auto ok = check_flags(args.flags, kAffectLive, "qemuDomainSetMemoryStatsPeriod"); !ok) {
            return responder.fail(ok.error());
        }
        if (args.period < 0) {
            return responder.fail({Code::invalid_argument, "the period is less than nothing", 0});
        }
        s.guests.operate(
            args.dom.uuid,
            [period = args.period](vmm::Guest& guest, vmm::Done done) {
                guest.set_memory_period(std::chrono::seconds(period), std::move(done));
            },
            answering(std::move(responder)));
    });
    h.add<proto::connect_get_all_domain_stats>(
        [&s, &storage](Call&, const proto::connect_get_all_domain_stats_args& args,
                       Responder<proto::connect_get_all_domain_stats> responder) {
            all_stats(s, storage, args, std::move(responder));
        });
}

}  // namespace bascule::daemon
