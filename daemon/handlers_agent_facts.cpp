// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest's own agent says of the guest.
#include <algorithm>
#include <set>

#include "daemon/handlers.h"
#include "kernel/linux/host.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"
#include "vmm/agent_facts.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace agent = vmm::agent;
using rpc::Call;
using rpc::Responder;
using rpc::TypedParam;
using vmm::qmp::Json;

namespace {

// ---- file systems

proto::domain_get_fsinfo_ret to_wire(const vmm::Spec& guest, const std::vector<agent::FileSystem>& all) {
    proto::domain_get_fsinfo_ret ret;
    for (const agent::FileSystem& one : all) {
        proto::DomainFsinfo entry{
            .mountpoint = one.mountpoint, .name = one.name, .fstype = one.type, .dev_aliases = {}};
        for (const agent::DiskAddress& disk : one.disks) {
            if (auto target = agent::target_of(guest, disk)) {
                entry.dev_aliases.push_back(std::move(*target));
            }
        }
        ret.info.push_back(std::move(entry));
    }
    ret.ret = static_cast<std::uint32_t>(ret.info.size());
    return ret;
}

void add_file_systems(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_fsinfo>([&s](Call&, const proto::domain_get_fsinfo_args& args,
                                         Responder<proto::domain_get_fsinfo> responder) {
        if (auto right = check_flags(args.flags, 0, "qemuDomainGetFSInfo"); !right) {
            return responder.fail(right.error());
        }
        ask_agent(s, args.dom.uuid, {.name = "guest-get-fsinfo"},
                  [&s, uuid = args.dom.uuid, responder = std::move(responder)](const Result<Json>& answer) mutable {
                      const auto all = answer ? agent::file_systems_from(*answer) : std::unexpected(answer.error());
                      const auto domain = all ? s.guests.running(uuid) : std::unexpected(all.error());
                      domain ? responder.ok(to_wire((*domain)->guest->spec(), *all)) : responder.fail(domain.error());
                  });
    });
}

// ---- processors

using CpuSet = std::set<std::uint32_t>;

std::string format(const CpuSet& cpus) {
    std::string out;
    for (auto first = cpus.begin(); first != cpus.end();) {
        auto last = first, next = std::next(first);
        for (; next != cpus.end() && *next == *last + 1; ++next) {
            last = next;
        }
        out += fmt::format("{}{}", out.empty() ? "" : ",", *first);
        out += last == first ? "" : fmt::format("-{}", *last);
        first = next;
    }
    return out;
}

std::vector<TypedParam> to_wire(const std::vector<agent::GuestCpu>& cpus) {
    CpuSet all, online, offlinable;
    for (const agent::GuestCpu& cpu : cpus) {
        all.insert(cpu.id);
        if (cpu.online) {
            online.insert(cpu.id);
        }
        if (cpu.can_offline) {
            offlinable.insert(cpu.id);
        }
    }
    return {{"vcpus", format(all)}, {"online", format(online)}, {"offlinable", format(offlinable)}};
}

void ask_cpus(Services& s, const Uuid& guest,
              std::move_only_function<void(Result<std::vector<agent::GuestCpu>>)> then) {
    ask_agent(s, guest, {.name = "guest-get-vcpus"}, [then = std::move(then)](const Result<Json>& answer) mutable {
        then(answer ? agent::cpus_from(*answer) : std::unexpected(answer.error()));
    });
}

// The agent takes them one after the other and says how many it did: all, or it goes on to say why not.
void set_cpus(Services& s, const Uuid& guest, std::vector<unsigned> cpus, bool online,
              std::move_only_function<void(Result<void>)> then) {
    Json list = Json::array();
    for (const unsigned cpu : cpus) {
        list.push_back({{"logical-id", cpu}, {"online", online}});
    }
    ask_agent(s, guest, {.name = "guest-set-vcpus", .arguments = {{"vcpus", std::move(list)}}},
              [&s, guest, cpus = std::move(cpus), online, then = std::move(then)](const Result<Json>& answer) mutable {
                  const auto done = answer ? agent::count_from(*answer) : std::unexpected(answer.error());
                  if (!done) {
                      return then(std::unexpected(done.error()));
                  }
                  const auto count = static_cast<std::size_t>(*done);
                  if (count == 0) {
                      return then(fail(Code::internal, "the guest's agent left all processors as they are"));
                  }
                  if (count >= cpus.size()) {
                      return then({});
                  }
                  cpus.erase(cpus.begin(), cpus.begin() + *done);
                  set_cpus(s, guest, std::move(cpus), online, std::move(then));
              });
}

// What the client named, when the guest has all of them and they can be switched.
Result<std::vector<unsigned>> named_cpus(const std::string& map, bool online,
                                         const std::vector<agent::GuestCpu>& cpus) {
    const std::vector<unsigned> named = kernel::os::parse_cpu_list(map);
    if (named.empty()) {
        return fail(Code::invalid_argument, fmt::format("'{}' names no processor", map));
    }
    for (const unsigned cpu : named) {
        const auto found = std::ranges::find(cpus, cpu, &agent::GuestCpu::id);
        if (found == cpus.end()) {
            return fail(Code::invalid_argument, fmt::format("guest is missing vCPUs '{}'", cpu));
        }
        if (!online && found->online && !found->can_offline) {
            return fail(Code::unsupported, fmt::format("the guest cannot do without its processor {}", cpu));
        }
    }
    return named;
}

// As many of the guest's processors online as that: the last ones go first, the first offline ones come first.
Result<std::vector<unsigned>> to_switch(std::vector<agent::GuestCpu> cpus, std::size_t wanted, bool& online) {
    std::ranges::sort(cpus, {}, &agent::GuestCpu::id);
    const auto now = static_cast<std::size_t>(std::ranges::count_if(cpus, &agent::GuestCpu::online));
    if (wanted == 0 || wanted > cpus.size()) {
        return fail(Code::invalid_argument,
                    fmt::format("the guest has {} processors, {} cannot be online", cpus.size(), wanted));
    }
    online = wanted > now;
    if (!online) {
        std::ranges::reverse(cpus);
    }
    std::vector<unsigned> out;
    for (const agent::GuestCpu& cpu : cpus) {
        if (out.size() < (online ? wanted - now : now - wanted) && cpu.online != online &&
            (online || cpu.can_offline)) {
            out.push_back(cpu.id);
        }
    }
    if (out.size() < (online ? wanted - now : now - wanted)) {
        return fail(Code::unsupported, "too many of the guest's processors cannot be switched off");
    }
    return out;
}

void add_cpus(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_guest_vcpus>([&s](Call&, const proto::domain_get_guest_vcpus_args& args,
                                              Responder<proto::domain_get_guest_vcpus> responder) {
        if (auto right = check_flags(args.flags, 0, "qemuDomainGetGuestVcpus"); !right) {
            return responder.fail(right.error());
        }
        ask_cpus(s, args.dom.uuid, [responder = std::move(responder)](const auto& cpus) mutable {
            cpus ? responder.ok({to_wire(*cpus)}) : responder.fail(cpus.error());
        });
    });
    h.add<proto::domain_set_guest_vcpus>([&s](Call&, const proto::domain_set_guest_vcpus_args& args,
                                              Responder<proto::domain_set_guest_vcpus> responder) {
        auto right = check_flags(args.flags, 0, "qemuDomainSetGuestVcpus");
        if (right && args.state != 0 && args.state != 1) {
            right = fail(Code::invalid_argument, fmt::format("unsupported state value {}", args.state));
        }
        if (!right) {
            return responder.fail(right.error());
        }
        ask_cpus(s, args.dom.uuid, [&s, args, responder = std::move(responder)](const auto& cpus) mutable {
            const bool online = args.state == 1;
            auto named = cpus ? named_cpus(args.cpumap, online, *cpus) : std::unexpected(cpus.error());
            if (!named) {
                return responder.fail(named.error());
            }
            set_cpus(s, args.dom.uuid, std::move(*named), online,
                     [responder = std::move(responder)](const Result<void>& done) mutable { responder.answer(done); });
        });
    });
}

// ---- everything

struct Facts {
    std::vector<TypedParam> params;
    void add(std::string field, TypedParam::Value value) { params.push_back({std::move(field), std::move(value)}); }
    void add_text(std::string field, const std::string& text) {
        if (!text.empty()) {
            add(std::move(field), text);
        }
    }
    void add_count(std::string_view list, std::size_t count) {
        add(fmt::format("{}.count", list), static_cast<std::uint32_t>(count));
    }
};

Result<void> add_logins(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(const auto users, agent::users_from(answer));
    out.add_count("user", users.size());
    for (std::size_t i = 0; i < users.size(); ++i) {
        out.add(fmt::format("user.{}.name", i), users[i].name);
        out.add_text(fmt::format("user.{}.domain", i), users[i].domain);
        out.add(fmt::format("user.{}.login-time", i), users[i].login_ms);
    }
    return {};
}

Result<void> add_system(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(const auto facts, agent::system_from(answer));
    for (const auto& [name, text] : facts) {
        out.add(fmt::format("os.{}", name), text);
    }
    return {};
}

Result<void> add_time_zone(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(const auto zone, agent::time_zone_from(answer));
    out.add_text("timezone.name", zone.name);
    out.add("timezone.offset", zone.offset_s);
    return {};
}

Result<void> add_host_name(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(std::string name, agent::host_name_from(answer));
    out.add("hostname", std::move(name));
    return {};
}

Result<void> add_mounts(Facts& out, const vmm::Spec& guest, const Json& answer) {
    TRY(const auto all, agent::file_systems_from(answer));
    out.add_count("fs", all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        const agent::FileSystem& one = all[i];
        out.add(fmt::format("fs.{}.name", i), one.name);
        out.add(fmt::format("fs.{}.mountpoint", i), one.mountpoint);
        out.add(fmt::format("fs.{}.fstype", i), one.type);
        if (one.total_bytes) {
            out.add(fmt::format("fs.{}.total-bytes", i), *one.total_bytes);
        }
        if (one.used_bytes) {
            out.add(fmt::format("fs.{}.used-bytes", i), *one.used_bytes);
        }
        out.add_count(fmt::format("fs.{}.disk", i), one.disks.size());
        for (std::size_t d = 0; d < one.disks.size(); ++d) {
            out.add_text(fmt::format("fs.{}.disk.{}.alias", i, d), target_of(guest, one.disks[d]).value_or(""));
            out.add_text(fmt::format("fs.{}.disk.{}.serial", i, d), one.disks[d].serial);
            out.add_text(fmt::format("fs.{}.disk.{}.device", i, d), one.disks[d].device);
        }
    }
    return {};
}

Result<void> add_disks(Facts& out, const vmm::Spec& guest, const Json& answer) {
    TRY(const auto all, agent::block_devices_from(answer));
    out.add_count("disk", all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        const agent::BlockDevice& one = all[i];
        out.add(fmt::format("disk.{}.name", i), one.name);
        out.add(fmt::format("disk.{}.partition", i), one.partition);
        if (!one.dependencies.empty()) {
            out.add_count(fmt::format("disk.{}.dependency", i), one.dependencies.size());
        }
        for (std::size_t d = 0; d < one.dependencies.size(); ++d) {
            out.add(fmt::format("disk.{}.dependency.{}.name", i, d), one.dependencies[d]);
        }
        if (one.address) {
            out.add_text(fmt::format("disk.{}.serial", i), one.address->serial);
            out.add_text(fmt::format("disk.{}.alias", i), target_of(guest, *one.address).value_or(""));
            out.add_text(fmt::format("disk.{}.guest_bus", i), one.address->bus_type);
        }
        out.add_text(fmt::format("disk.{}.guest_alias", i), one.alias);
    }
    return {};
}

Result<void> add_interfaces(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(const auto all, agent::interfaces_from(answer));
    out.add_count("if", all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        out.add(fmt::format("if.{}.name", i), all[i].name);
        if (all[i].mac) {
            out.add(fmt::format("if.{}.hwaddr", i), format(*all[i].mac));
        }
        out.add_count(fmt::format("if.{}.addr", i), all[i].addresses.size());
        for (std::size_t a = 0; a < all[i].addresses.size(); ++a) {
            const IpInterface& address = all[i].addresses[a];
            out.add(fmt::format("if.{}.addr.{}.type", i, a), std::string(address.address.is_v4() ? "ipv4" : "ipv6"));
            out.add(fmt::format("if.{}.addr.{}.addr", i, a), format(address.address));
            out.add(fmt::format("if.{}.addr.{}.prefix", i, a), static_cast<std::uint32_t>(address.length));
        }
    }
    return {};
}

Result<void> add_load(Facts& out, const vmm::Spec&, const Json& answer) {
    TRY(const auto load, agent::load_from(answer));
    static constexpr std::array<std::string_view, 3> kNames{"load.1m", "load.5m", "load.15m"};
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        out.add(std::string(kNames.at(i)), load.at(i));
    }
    return {};
}

// virDomainGuestInfoTypes, in the order of its bits.
struct Fact {
    std::string_view command;
    Result<void> (*add)(Facts&, const vmm::Spec&, const Json&);
};
constexpr std::array<Fact, 8> kFacts{{{"guest-get-users", add_logins},
                                      {"guest-get-osinfo", add_system},
                                      {"guest-get-timezone", add_time_zone},
                                      {"guest-get-host-name", add_host_name},
                                      {"guest-get-fsinfo", add_mounts},
                                      {"guest-get-disks", add_disks},
                                      {"guest-network-get-interfaces", add_interfaces},
                                      {"guest-get-load", add_load}}};

struct Inquiry {
    proto::domain_get_guest_info_args args;
    Responder<proto::domain_get_guest_info> responder;
    std::size_t next = 0;
    Facts facts{};
};

// One question after the other. Where the client did not name them, what this agent does not know is left out.
void inquire(Services& s, std::unique_ptr<Inquiry> inquiry) {
    const bool all = inquiry->args.types == 0;
    while (inquiry->next < kFacts.size() && !all && (inquiry->args.types & (1U << inquiry->next)) == 0) {
        ++inquiry->next;
    }
    if (inquiry->next == kFacts.size()) {
        constexpr std::size_t kMostParams = 2048;  // of the protocol
        auto& params = inquiry->facts.params;
        params.resize(std::min(params.size(), kMostParams));
        return inquiry->responder.ok({std::move(params)});
    }
    const Fact& fact = kFacts.at(inquiry->next++);
    const Uuid guest = inquiry->args.dom.uuid;
    ask_agent(s, guest, {.name = std::string(fact.command)},
              [&s, &fact, guest, all, inquiry = std::move(inquiry)](const Result<Json>& answer) mutable {
                  const auto domain = s.guests.running(guest);
                  Result<void> added = domain ? Result<void>() : std::unexpected(domain.error());
                  if (added) {
                      added = answer ? fact.add(inquiry->facts, (*domain)->guest->spec(), *answer)
                                     : std::unexpected(answer.error());
                  }
                  const bool unknown = !answer && answer.error().code == Code::unsupported;
                  if (!added && !(all && unknown)) {
                      return inquiry->responder.fail(added.error());
                  }
                  inquire(s, std::move(inquiry));
              });
}

void guest_info(Services& s, const proto::domain_get_guest_info_args& args,
                Responder<proto::domain_get_guest_info> responder) {
    if (auto right = check_flags(args.flags, 0, "qemuDomainGetGuestInfo"); !right) {
        return responder.fail(right.error());
    }
    if (const std::uint32_t unknown = args.types & ~((1U << kFacts.size()) - 1); unknown != 0) {
        return responder.fail(
            {Code::invalid_argument, fmt::format("unsupported guest information types '0x{:x}'", unknown), 0});
    }
    // Before the first question: "not connected" is no answer of an agent.
    const auto domain = s.guests.running(args.dom.uuid);
    const auto channel = domain ? agent_channel((*domain)->guest->spec()) : std::unexpected(domain.error());
    if (!channel) {
        return responder.fail(channel.error());
    }
    inquire(s, std::make_unique<Inquiry>(Inquiry{args, std::move(responder)}));
}

}  // namespace

void guest_cpus_online(Services& s, const Uuid& guest, std::move_only_function<void(Result<std::size_t>)> then) {
    ask_cpus(s, guest, [then = std::move(then)](const auto& cpus) mutable {
        then(cpus ? Result<std::size_t>(std::ranges::count_if(*cpus, &agent::GuestCpu::online))
                  : std::unexpected(cpus.error()));
    });
}

void set_guest_cpus_online(Services& s, const Uuid& guest, std::size_t wanted,
                           std::move_only_function<void(Result<void>)> then) {
    ask_cpus(s, guest, [&s, guest, wanted, then = std::move(then)](const auto& cpus) mutable {
        bool online = false;
        auto these = cpus ? to_switch(*cpus, wanted, online) : std::unexpected(cpus.error());
        if (!these || these->empty()) {
            return then(these ? Result<void>() : std::unexpected(these.error()));
        }
        set_cpus(s, guest, std::move(*these), online, std::move(then));
    });
}

void add_agent_facts_handlers(rpc::Handlers& h, Services& s) {
    add_file_systems(h, s);
    add_cpus(h, s);
    h.add<proto::domain_get_guest_info>(
        [&s](Call&, const proto::domain_get_guest_info_args& args, Responder<proto::domain_get_guest_info> responder) {
            guest_info(s, args, std::move(responder));
        });
}

}  // namespace bascule::daemon
