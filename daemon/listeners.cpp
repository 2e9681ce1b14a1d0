// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/listeners.h"

#include <array>
#include <string_view>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/facts.h"
#include "kernel/linux/sockets.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

// Of libvirt's daemons: clients look for the one that is made for the driver first, then for the one that has all.
constexpr std::array<std::string_view, 8> kPeers{"libvirt",      "virtqemud",      "virtnetworkd", "virtnwfilterd",
                                                 "virtnodedevd", "virtinterfaced", "virtstoraged", "virtsecretd"};

struct Place {
    std::string path;
    std::string_view peer;  // whose it is otherwise; empty: ours
    bool read_only;
};

std::vector<Place> local_places(const kernel::FileTree& files, bool compat) {
    std::vector<Place> out;
    for (const bool read_only : {false, true}) {
        const std::string_view end = read_only ? "-sock-ro" : "-sock";
        out.push_back({files.real(fmt::format("/run/bascule/libvirt{}", end)), "", read_only});
        for (const std::string_view peer : kPeers) {
            if (compat) {
                out.push_back({files.real(fmt::format("/run/libvirt/{}{}", peer, end)), peer, read_only});
            }
        }
    }
    return out;
}

Result<void> check_free(const Place& place) {
    if (!os::answers(place.path)) {
        return {};
    }
    if (place.peer.empty()) {
        return fail(Code::conflict, fmt::format("{}: another daemon serves there; stop it first", place.path));
    }
    const std::string unit = place.peer == "libvirt" ? "libvirtd" : std::string(place.peer);
    return fail(Code::conflict,
                fmt::format("{0}: {1} serves there: stop it (systemctl disable --now {1}.socket {1}-ro.socket "
                            "{1}-admin.socket {1}.service), or set compat_sockets = 0",
                            place.path, unit));
}

Result<void> open_local(const kernel::FileTree& files, const Config& config, std::vector<Listener>& out) {
    std::optional<std::uint32_t> group;
    if (!config.unix_sock_group.empty()) {
        TRY(group, os::group_id(config.unix_sock_group));
    }
    const auto places = local_places(files, config.compat_sockets);
    for (const Place& place : places) {
        TRY_OK(check_free(place));
    }
    for (const Place& place : places) {
        TRY(UniqueFd fd, os::listen_clients(place.path, place.read_only ? config.unix_sock_ro_perms : rw_perms(config),
                                            group, config.max_queued_clients));
        out.push_back({.fd = std::move(fd),
                       .place = place.path,
                       .transport = Transport::local,
                       .read_only = place.read_only,
                       .auth = place.read_only ? config.auth_unix_ro : config.auth_unix_rw});
    }
    return {};
}

// One address that the host has is enough: a host may lack a family.
Result<void> open_remote(const Config& config, Transport transport, std::vector<Listener>& out) {
    const std::uint16_t port = transport == Transport::tls ? config.tls_port : config.tcp_port;
    const std::vector<Ip> all{*parse_ip("0.0.0.0"), *parse_ip("::")};
    std::optional<Error> problem;
    bool any = false;
    for (const Ip& address : config.listen_addr.empty() ? all : config.listen_addr) {
        auto fd = os::listen_tcp(address, port, config.max_queued_clients);
        if (!fd) {
            problem = fd.error();
            continue;
        }
        any = true;
        out.push_back(
            {.fd = std::move(*fd), .place = fmt::format("{} port {}", format(address), port), .transport = transport});
    }
    if (!any && problem) {
        return std::unexpected(*std::move(problem));
    }
    return {};
}

Result<void> open_all(const kernel::FileTree& files, const Config& config, std::vector<Listener>& out) {
    TRY_OK(open_local(files, config, out));
    if (config.listen_tls) {
        TRY_OK(open_remote(config, Transport::tls, out));
    }
    if (config.listen_tcp) {
        TRY_OK(open_remote(config, Transport::tcp, out));
    }
    return {};
}

}  // namespace

Result<std::vector<Listener>> open_listeners(const kernel::FileTree& files, const Config& config) {
    std::vector<Listener> out;
    if (auto opened = open_all(files, config, out); !opened) {
        close_listeners(out);
        return std::unexpected(std::move(opened).error());
    }
    return out;
}

void close_listeners(std::vector<Listener>& listeners) {
    for (const Listener& listener : listeners) {
        if (listener.transport == Transport::local) {
            os::remove_socket(listener.place);
        }
    }
    listeners.clear();
}

}  // namespace bascule::daemon
