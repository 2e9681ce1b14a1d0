// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "base/version.h"
#include "daemon/handlers.h"
#include "kernel/linux/facts.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_connect.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
using rpc::Call;
using rpc::Responder;

namespace {

// The release of libvirt whose behaviour clients may expect: they choose features by it.
constexpr std::uint64_t kLibraryVersion = 9'000'000;
constexpr std::string_view kUri = "qemu:///system";

// Empty when the client named none; it then asks for ours.
Result<void> check_uri(const std::optional<std::string>& name) {
    if (!name) {
        return fail(Code::invalid_argument, "the connection's URI is missing");
    }
    if (!name->empty() && *name != kUri) {
        return fail(Code::unreachable,
                    name->starts_with("qemu://")
                        ? fmt::format("unexpected QEMU URI path in '{}', try {}", *name, kUri)
                        : fmt::format("no connection driver available for {}, only for {}", *name, kUri));
    }
    return {};
}

void add_connection(rpc::Handlers& h) {
    h.add<proto::connect_open>(
        [](Call&, const proto::connect_open_args& args) -> Result<void> { return check_uri(args.name); });
    h.add<proto::connect_get_uri>([](Call&, const proto::connect_get_uri::Args&) -> Result<proto::connect_get_uri_ret> {
        return proto::connect_get_uri_ret{std::string(kUri)};
    });
    h.add<proto::connect_get_type>(
        [](Call&, const proto::connect_get_type::Args&) -> Result<proto::connect_get_type_ret> {
            return proto::connect_get_type_ret{"QEMU"};
        });
    h.add<proto::connect_get_hostname>(
        [](Call&, const proto::connect_get_hostname::Args&) -> Result<proto::connect_get_hostname_ret> {
            return proto::connect_get_hostname_ret{os::host_name()};
        });
    h.add<proto::connect_get_lib_version>(
        [](Call&, const proto::connect_get_lib_version::Args&) -> Result<proto::connect_get_lib_version_ret> {
            return proto::connect_get_lib_version_ret{kLibraryVersion};
        });
    h.add<proto::connect_is_secure>(
        [](Call&, const proto::connect_is_secure::Args&) -> Result<proto::connect_is_secure_ret> {
            return proto::connect_is_secure_ret{1};  // a Unix socket
        });
}

void add_own(rpc::Handlers& h, Services& s) {
    h.add<proto::daemon_get_status>(
        [&s](Call&, const proto::daemon_get_status::Args&) -> Result<proto::daemon_get_status_ret> {
            const auto networks = s.networks.all();
            const auto guests = s.guests.all();
            proto::daemon_get_status_ret status;
            status.version = std::string(kVersion);
            status.networks = static_cast<std::uint32_t>(networks.size());
            status.active_networks = static_cast<std::uint32_t>(
                std::ranges::count_if(networks, [](const Network* network) { return network->active(); }));
            status.guests = static_cast<std::uint32_t>(guests.size());
            status.running_guests = static_cast<std::uint32_t>(
                std::ranges::count_if(guests, [](const Domain* guest) { return guest->active(); }));
            status.ports = static_cast<std::uint32_t>(s.ports.names().size());
            status.netsvc_pid = s.netsvc.attached() ? s.netsvc.pid() : 0;
            for (const Network* const network : networks) {
                status.leases += static_cast<std::uint32_t>(s.netsvc.leases(network->shown().uuid).size());
            }
            status.problems = s.problems;
            return status;
        });
    h.add<proto::daemon_reload>([&s](Call&, const proto::daemon_reload::Args&) -> Result<proto::daemon_reload_ret> {
        s.reload();
        return proto::daemon_reload_ret{s.problems};
    });
}

}  // namespace

void add_connect_handlers(rpc::Handlers& handlers, Services& services) {
    add_connection(handlers);
    add_own(handlers, services);
}

}  // namespace bascule::daemon
