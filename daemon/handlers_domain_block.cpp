// SPDX-License-Identifier: GPL-2.0-or-later
// Disks of guests: what they did, how large they are, growing them.
#include "daemon/guest_disks.h"
#include "daemon/handlers.h"
#include "daemon/storage.h"
#include "rpc/constants.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace field = rpc::typed_param_field;
using rpc::Call;
using rpc::Responder;
using rpc::TypedParam;

namespace {

// The counters of one disk, or (empty name) of all of a running guest together.
void count(const Services& s, const proto::Domain& dom, const std::string& name,
           std::move_only_function<void(Result<vmm::DiskCounters>)> then) {
    const auto domain = s.guests.running(dom.uuid);
    if (!domain) {
        return then(std::unexpected(domain.error()));
    }
    std::optional<std::size_t> wanted;
    if (!name.empty()) {
        const auto found = find_disk((*domain)->shown(), name);
        if (!found) {
            return then(std::unexpected(found.error()));
        }
        wanted = *found;
    }
    (*domain)->guest->disk_counters([wanted, name, then = std::move(then)](
                                        Result<std::vector<std::optional<vmm::DiskCounters>>> said) mutable {
        if (!said) {
            return then(std::unexpected(std::move(said).error()));
        }
        if (wanted && (*wanted >= said->size() || !(*said)[*wanted])) {
            return then(fail(Code::invalid_state, fmt::format("disk {} has no medium, so nothing is counted", name)));
        }
        vmm::DiskCounters sum;
        const auto add = [](vmm::DiskCounters::Way& to, const vmm::DiskCounters::Way& from) {
            to.requests += from.requests;
            to.bytes += from.bytes;
            to.time += from.time;
        };
        for (std::size_t i = 0; i < said->size(); ++i) {
            if ((*said)[i] && (!wanted || *wanted == i)) {
                add(sum.read, (*said)[i]->read);
                add(sum.written, (*said)[i]->written);
                add(sum.flushed, (*said)[i]->flushed);
            }
        }
        then(sum);
    });
}

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::vector<TypedParam> params_of(const vmm::DiskCounters& disk) {
    std::vector<TypedParam> out;
    const auto add = [&](std::string_view name, std::uint64_t value) {
        out.push_back({.field = std::string(name), .value = number(value)});
    };
    add(field::domain_block_stats_write_bytes, disk.written.bytes);
    add(field::domain_block_stats_write_req, disk.written.requests);
    add(field::domain_block_stats_read_bytes, disk.read.bytes);
    add(field::domain_block_stats_read_req, disk.read.requests);
    add(field::domain_block_stats_flush_req, disk.flushed.requests);
    add(field::domain_block_stats_write_total_times, disk.written.time);
    add(field::domain_block_stats_read_total_times, disk.read.time);
    add(field::domain_block_stats_flush_total_times, disk.flushed.time);
    return out;
}

void add_counters(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_block_stats>(
        [&s](Call&, const proto::domain_block_stats_args& args, Responder<proto::domain_block_stats> responder) {
            count(s, args.dom, args.path, [r = std::move(responder)](Result<vmm::DiskCounters> disk) mutable {
                if (!disk) {
                    return r.fail(disk.error());
                }
                r.ok({.rd_req = number(disk->read.requests),
                      .rd_bytes = number(disk->read.bytes),
                      .wr_req = number(disk->written.requests),
                      .wr_bytes = number(disk->written.bytes),
                      .errs = -1});  // not counted, as with the peer
            });
        });
    h.add<proto::domain_block_stats_flags>([&s](Call&, const proto::domain_block_stats_flags_args& args,
                                                Responder<proto::domain_block_stats_flags> responder) {
        if (auto ok = check_flags(args.flags, kStringOkay, "qemuDomainBlockStatsFlags"); !ok) {
            return responder.fail(ok.error());
        }
        count(s, args.dom, args.path,
              [most = args.nparams, r = std::move(responder)](Result<vmm::DiskCounters> disk) mutable {
                  if (!disk) {
                      return r.fail(disk.error());
                  }
                  r.ok(sized<proto::domain_block_stats_flags_ret>(params_of(*disk), most));
              });
    });
}

void block_info(const Services& s, Storage& storage, const proto::domain_get_block_info_args& args,
                Responder<proto::domain_get_block_info> responder) {
    const auto disk = [&]() -> Result<vmm::Disk> {
        TRY_OK(check_flags(args.flags, 0, "qemuDomainGetBlockInfo"));
        TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
        TRY(const std::size_t index, find_disk(domain->shown(), args.path));
        const vmm::Disk& found = domain->shown().disks[index];
        if (found.source.empty()) {
            return fail(Code::invalid_argument,
                        fmt::format("disk '{}' does not currently have a source assigned", args.path));
        }
        return found;
    }();
    if (!disk) {
        return responder.fail(disk.error());
    }
    kernel::run_on(
        storage.files(), [path = disk->source, format = disk->format] { return size_of_image(path, format); },
        [r = std::move(responder)](Result<ImageSize> size) mutable {
            if (!size) {
                return r.fail(size.error());
            }
            r.ok({.allocation = size->allocation, .capacity = size->capacity, .physical = size->physical});
        });
}

void resize(Services& s, const proto::domain_block_resize_args& args, Responder<proto::domain_block_resize> responder) {
    constexpr std::uint32_t kBytes = 1;  // VIR_DOMAIN_BLOCK_RESIZE_BYTES; else KiB
    const auto index = [&]() -> Result<std::size_t> {
        TRY_OK(check_flags(args.flags, kBytes, "qemuDomainBlockResize"));
        TRY(const Domain* const domain, s.guests.running(args.dom.uuid));
        TRY(const std::size_t found, find_disk(domain->shown(), args.disk));
        const vmm::Disk& disk = domain->shown().disks[found];
        if (disk.source.empty() || disk.readonly) {
            return fail(Code::invalid_argument,
                        fmt::format("disk '{}' {}", args.disk, disk.readonly ? "is read-only" : "has no medium"));
        }
        if ((args.flags & kBytes) == 0 && args.size > std::numeric_limits<std::uint64_t>::max() / 1024) {
            return fail(Code::invalid_argument,
                        fmt::format("size {} KiB is more than can be counted in bytes", args.size));
        }
        return found;
    }();
    if (!index) {
        return responder.fail(index.error());
    }
    const std::uint64_t bytes = (args.flags & kBytes) != 0 ? args.size : args.size * 1024;
    s.guests.operate(
        args.dom.uuid,
        [index = *index, bytes](vmm::Guest& guest, vmm::Done done) {
            guest.resize_disk(index, bytes, std::move(done));
        },
        answering(std::move(responder)));
}

// ---- limits: there are none, and none can be set

Result<void> check_disk(const Services& s, const proto::Domain& dom, const std::string& name) {
    TRY(const Domain* const domain, s.guests.by_uuid(dom.uuid));
    TRY_OK(find_disk(domain->shown(), name));
    return {};
}

std::vector<TypedParam> no_limits(std::uint32_t flags) {
    std::vector<TypedParam> out;
    for (const std::string_view name :
         {"total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec",
          "total_bytes_sec_max", "read_bytes_sec_max", "write_bytes_sec_max", "total_iops_sec_max", "read_iops_sec_max",
          "write_iops_sec_max", "size_iops_sec", "total_bytes_sec_max_length", "read_bytes_sec_max_length",
          "write_bytes_sec_max_length", "total_iops_sec_max_length", "read_iops_sec_max_length",
          "write_iops_sec_max_length"}) {
        out.push_back({.field = std::string(name), .value = std::uint64_t{0}});
    }
    if ((flags & kStringOkay) != 0) {
        out.insert(out.begin() + 13, TypedParam{.field = "group_name", .value = std::string()});
    }
    return out;
}

void add_limits(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_get_block_io_tune>(
        [&s](Call&, const proto::domain_get_block_io_tune_args& args) -> Result<proto::domain_get_block_io_tune_ret> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainGetBlockIoTune"));
            if (args.nparams > 0 || args.disk) {
                TRY_OK(check_disk(s, args.dom, args.disk.value_or("")));
            }
            return sized<proto::domain_get_block_io_tune_ret>(no_limits(args.flags), args.nparams);
        });
    h.add<proto::domain_set_block_io_tune>(
        [&s](Call&, const proto::domain_set_block_io_tune_args& args) -> Result<void> {
            TRY_OK(check_target(s, args.dom, args.flags, "qemuDomainSetBlockIoTune"));
            TRY_OK(check_disk(s, args.dom, args.disk));
            return fail(Code::unsupported_config, "the disk time of guests cannot be limited yet");
        });
    h.add<proto::domain_block_pull>([&s](Call&, const proto::domain_block_pull_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 64, "qemuDomainBlockPull"));  // the bandwidth is in bytes
        TRY_OK(check_disk(s, args.dom, args.path));
        return fail(Code::unsupported, "images cannot be pulled into one yet");
    });
    h.add<proto::domain_block_commit>([&s](Call&, const proto::domain_block_commit_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0x1f, "qemuDomainBlockCommit"));
        TRY_OK(check_disk(s, args.dom, args.disk));
        return fail(Code::unsupported, "images cannot be committed yet");
    });
}

}  // namespace

void add_domain_block_handlers(rpc::Handlers& handlers, Services& services, Storage& storage) {
    add_counters(handlers, services);
    add_limits(handlers, services);
    handlers.add<proto::domain_get_block_info>(
        [&services, &storage](Call&, const proto::domain_get_block_info_args& args,
                              Responder<proto::domain_get_block_info> responder) {
            block_info(services, storage, args, std::move(responder));
        });
    handlers.add<proto::domain_block_resize>(
        [&services](Call&, const proto::domain_block_resize_args& args,
                    Responder<proto::domain_block_resize> responder) { resize(services, args, std::move(responder)); });
}

}  // namespace bascule::daemon
