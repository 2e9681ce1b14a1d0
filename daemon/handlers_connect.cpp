// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <map>
#include <memory>

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

// What a connection was opened as: the URI's scheme is the driver's name, too.
struct Opened {
    std::string uri, type;
};

// Besides ours those of libvirt's other drivers, which one daemon has all of. An empty name: the client named none, and
// then asks for ours.
Result<Opened> parse_uri(const std::optional<std::string>& name) {
    constexpr std::array<std::string_view, 7> kDrivers{"qemu",      "network", "nwfilter", "nodedev",
                                                       "interface", "storage", "secret"};
    if (!name) {
        return fail(Code::invalid_argument, "the connection's URI is missing");
    }
    const std::string uri = name->empty() ? std::string(kUri) : *name;
    const auto colon = uri.find(':');
    const std::string driver = uri.substr(0, colon);
    if (colon == std::string::npos || std::ranges::find(kDrivers, driver) == kDrivers.end()) {
        return fail(Code::unreachable,
                    fmt::format("no connection driver available for {}",
                                colon == std::string::npos ? "URI '" + uri + "' does not include a driver name" : uri));
    }
    const std::string rest = uri.substr(colon + 1);  // "//HOST/PATH?QUERY"
    const auto slash = rest.starts_with("//") ? rest.find('/', 2) : rest.find('/');
    const std::string path = slash == std::string::npos ? "" : rest.substr(slash, rest.find_first_of("?#") - slash);
    if (path != "/system") {
        return fail(Code::internal, fmt::format("unexpected {0} URI path '{1}', try {0}:///system", driver, path));
    }
    return Opened{uri, driver == "qemu" ? "QEMU" : driver};
}

// By session; those that have gone are forgotten when the next one comes.
class Connections {
public:
    Result<void> open(rpc::Session& session, const std::optional<std::string>& name) {
        TRY(Opened opened, parse_uri(name));
        std::erase_if(open_, [](const auto& entry) { return entry.second.session.expired(); });
        open_.insert_or_assign(session.id(), Entry{session.weak_from_this(), std::move(opened)});
        return {};
    }
    const Opened& of(const rpc::Session& session) const { return open_.at(session.id()).opened; }

private:
    struct Entry {
        std::weak_ptr<rpc::Session> session;
        Opened opened;
    };
    std::map<std::uint64_t, Entry> open_;
};

void add_connection(rpc::Handlers& h) {
    const auto connections = std::make_shared<Connections>();
    h.add<proto::connect_open>([connections](Call& call, const proto::connect_open_args& args) -> Result<void> {
        return connections->open(call.session, args.name);
    });
    h.add<proto::connect_get_uri>(
        [connections](Call& call, const proto::connect_get_uri::Args&) -> Result<proto::connect_get_uri_ret> {
            return proto::connect_get_uri_ret{connections->of(call.session).uri};
        });
    h.add<proto::connect_get_type>(
        [connections](Call& call, const proto::connect_get_type::Args&) -> Result<proto::connect_get_type_ret> {
            return proto::connect_get_type_ret{connections->of(call.session).type};
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
        [](Call& call, const proto::connect_is_secure::Args&) -> Result<proto::connect_is_secure_ret> {
            return proto::connect_is_secure_ret{call.session.peer().secure ? 1 : 0};
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
    h.add<proto::daemon_get_drops>(
        [&s](Call&, const proto::daemon_get_drops::Args&) -> Result<proto::daemon_get_drops_ret> {
            proto::daemon_get_drops_ret ret;
            for (const Network* const network : s.networks.all()) {
                const dhcp::Drops drops = s.netsvc.drops(network->shown().uuid);
                for (std::size_t i = 0; i < drops.size(); ++i) {
                    if (drops[i] > 0) {
                        ret.networks.push_back(network->shown().name.str());
                        ret.reasons.emplace_back(dhcp::kDropNames[i]);
                        ret.counts.push_back(drops[i]);
                    }
                }
            }
            return ret;
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
