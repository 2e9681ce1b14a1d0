// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/facts.h"

#include <fcntl.h>
#include <grp.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "kernel/linux/host.h"
#include "kernel/linux/rtnl.h"

namespace bascule::kernel::os {

namespace {

struct CloseSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

using OnMessage = std::function<void(const nlmsghdr*)>;

int call(const nlmsghdr* message, void* on_message) {
    (*static_cast<OnMessage*>(on_message))(message);
    return MNL_CB_OK;
}

// Sends one request and hands every message of the answer to `on`. `prepare` completes the request.
Result<void> ask(std::uint16_t type, std::uint16_t flags, const std::function<void(nlmsghdr*)>& prepare, OnMessage on) {
    const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("netlink socket");
    }
    std::vector<char> buffer(32768);
    nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = type;
    request->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    request->nlmsg_seq = 1;
    prepare(request);
    if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
        return fail_errno("netlink request");
    }
    for (;;) {
        const ssize_t got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        if (got < 0) {
            return fail_errno("netlink answer");
        }
        const int state =
            mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), 1, mnl_socket_get_portid(socket.get()), call, &on);
        if (state < 0) {
            return fail_errno("netlink answer");
        }
        if (state == MNL_CB_STOP || (flags & NLM_F_DUMP) == 0) {
            return {};
        }
    }
}

// The attribute of that type, or null.
const nlattr* find(const nlmsghdr* message, std::size_t header, std::uint16_t type) {
    for (const nlattr* attr = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header));
         mnl_attr_ok(attr, static_cast<int>(static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)) -
                                            reinterpret_cast<const char*>(attr)));
         attr = mnl_attr_next(attr)) {
        if (mnl_attr_get_type(attr) == type) {
            return attr;
        }
    }
    return nullptr;
}

using LinkNames = std::map<std::uint32_t, std::string>;  // by index, as far as asked for

std::optional<RouteTo> to_route(const nlmsghdr* message, LinkNames& names) {
    const auto* const header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    const bool v4 = header->rtm_family == AF_INET;
    if (header->rtm_table != RT_TABLE_MAIN || header->rtm_type != RTN_UNICAST ||
        (!v4 && header->rtm_family != AF_INET6)) {
        return std::nullopt;
    }
    Ip address = v4 ? Ip() : Ip::v6({});
    if (const nlattr* const to = find(message, sizeof *header, RTA_DST)) {
        if (mnl_attr_get_payload_len(to) != (v4 ? 4 : 16)) {
            return std::nullopt;
        }
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), mnl_attr_get_payload(to), v4 ? 4 : 16);
        address = v4 ? Ip::v4({octets[0], octets[1], octets[2], octets[3]}) : Ip::v6(octets);
    }
    RouteTo route{Prefix::of(address, header->rtm_dst_len), {}};
    if (const nlattr* const out = find(message, sizeof *header, RTA_OIF)) {
        const auto [named, fresh] = names.try_emplace(mnl_attr_get_u32(out));
        std::array<char, IF_NAMESIZE> name{};
        if (fresh && ::if_indextoname(named->first, name.data()) != nullptr) {
            named->second = name.data();
        }
        route.device = named->second;
    }
    return route;
}

std::optional<Neighbour> to_neighbour(const nlmsghdr* message) {
    const auto* const header = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(message));
    const bool v4 = header->ndm_family == AF_INET;
    const nlattr* const to = find(message, sizeof *header, NDA_DST);
    const nlattr* const link = find(message, sizeof *header, NDA_LLADDR);
    constexpr unsigned kNobody = NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP;
    std::array<char, IF_NAMESIZE> name{};
    if ((!v4 && header->ndm_family != AF_INET6) || (header->ndm_state & kNobody) != 0 || to == nullptr ||
        link == nullptr || mnl_attr_get_payload_len(to) != (v4 ? 4 : 16) || mnl_attr_get_payload_len(link) != 6 ||
        ::if_indextoname(static_cast<unsigned>(header->ndm_ifindex), name.data()) == nullptr) {
        return std::nullopt;
    }
    auto device = IfName::parse(name.data());
    if (!device) {
        return std::nullopt;
    }
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), mnl_attr_get_payload(to), v4 ? 4 : 16);
    MacAddr mac;
    std::memcpy(mac.octets.data(), mnl_attr_get_payload(link), mac.octets.size());
    const Ip address = v4 ? Ip::v4({octets[0], octets[1], octets[2], octets[3]}) : Ip::v6(octets);
    std::optional<std::chrono::seconds> age;
    if (const nlattr* const info = find(message, sizeof *header, NDA_CACHEINFO);
        info != nullptr && mnl_attr_get_payload_len(info) >= sizeof(nda_cacheinfo)) {
        nda_cacheinfo ages{};
        std::memcpy(&ages, mnl_attr_get_payload(info), sizeof ages);
        age = std::chrono::seconds(ages.ndm_confirmed / static_cast<unsigned long>(::sysconf(_SC_CLK_TCK)));
    }
    return Neighbour{std::move(*device), address, mac, age};
}

}  // namespace

Result<std::vector<Neighbour>> neighbours() {
    std::vector<Neighbour> out;
    for (const auto family : {AF_INET, AF_INET6}) {
        TRY_OK(ask(
            RTM_GETNEIGH, NLM_F_DUMP,
            [&](nlmsghdr* request) {
                auto* const header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
                header->ndm_family = static_cast<unsigned char>(family);
            },
            [&](const nlmsghdr* message) {
                if (auto neighbour = to_neighbour(message)) {
                    out.push_back(std::move(*neighbour));
                }
            }));
    }
    return out;
}

Result<std::set<IfName>> link_names() {
    std::set<IfName> names;
    TRY_OK(ask(
        RTM_GETLINK, NLM_F_DUMP, [](nlmsghdr* request) { mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)); },
        [&](const nlmsghdr* message) {
            if (const nlattr* const name = find(message, sizeof(ifinfomsg), IFLA_IFNAME)) {
                if (auto parsed = IfName::parse(mnl_attr_get_str(name))) {
                    names.insert(std::move(*parsed));
                }
            }
        }));
    return names;
}

bool link_exists(const IfName& name) { return ::if_nametoindex(name.str().c_str()) != 0; }

Result<std::vector<RouteTo>> route_destinations() {
    std::vector<RouteTo> routes;
    LinkNames names;
    for (const auto family : {AF_INET, AF_INET6}) {
        TRY_OK(ask(
            RTM_GETROUTE, NLM_F_DUMP,
            [&](nlmsghdr* request) {
                auto* const header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
                header->rtm_family = static_cast<unsigned char>(family);
            },
            [&](const nlmsghdr* message) {
                if (auto route = to_route(message, names)) {
                    routes.push_back(std::move(*route));
                }
            }));
    }
    return routes;
}

Result<LinkCounters> link_counters(const IfName& name) {
    std::optional<LinkCounters> counters;
    auto asked = ask(
        RTM_GETLINK, 0,
        [&](nlmsghdr* request) {
            mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
            mnl_attr_put_strz(request, IFLA_IFNAME, name.str().c_str());
        },
        [&](const nlmsghdr* message) {
            const nlattr* const attr = find(message, sizeof(ifinfomsg), IFLA_STATS64);
            if (attr == nullptr) {
                return;
            }
            rtnl_link_stats64 stats{};
            std::memcpy(&stats, mnl_attr_get_payload(attr),
                        std::min<std::size_t>(sizeof stats, mnl_attr_get_payload_len(attr)));
            counters = LinkCounters{stats.rx_bytes, stats.rx_packets, stats.rx_errors, stats.rx_dropped,
                                    stats.tx_bytes, stats.tx_packets, stats.tx_errors, stats.tx_dropped};
        });
    if (!asked) {
        return std::unexpected(std::move(asked.error()).in("device " + name.str()));
    }
    if (!counters) {
        return fail(Code::internal, "device " + name.str() + ": the kernel shows no counters");
    }
    return *counters;
}

namespace {

// The attribute of that type inside another, or null.
const nlattr* find_inside(const nlattr* outer, std::uint16_t type) {
    const auto* const end = static_cast<const char*>(mnl_attr_get_payload(outer)) + mnl_attr_get_payload_len(outer);
    for (const auto* attr = static_cast<const nlattr*>(mnl_attr_get_payload(outer));
         mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr))); attr = mnl_attr_next(attr)) {
        if (mnl_attr_get_type(attr) == type) {
            return attr;
        }
    }
    return nullptr;
}

template <class T>
std::optional<T> value_of(const nlattr* attr) {
    if (attr == nullptr || mnl_attr_get_payload_len(attr) < sizeof(T)) {
        return std::nullopt;
    }
    T value{};
    std::memcpy(&value, mnl_attr_get_payload(attr), sizeof value);
    return value;
}

// The kernel ends its texts; a length without an end would be no text.
std::string text_of(const nlattr* attr) {
    return attr != nullptr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(attr)
                                                                                : std::string();
}

std::string name_of_link(const nlattr* index) {
    std::array<char, IF_NAMESIZE> name{};
    const auto number = value_of<std::uint32_t>(index);
    return number && ::if_indextoname(*number, name.data()) != nullptr ? name.data() : std::string();
}

// What its kind knows besides.
void read_link_info(const nlattr* info, HostLink& link) {
    const nlattr* const kind = find_inside(info, IFLA_INFO_KIND);
    const nlattr* const data = find_inside(info, IFLA_INFO_DATA);
    link.kind = text_of(kind);
    if (data == nullptr) {
        return;
    }
    if (link.kind == "bridge") {
        if (const auto stp = value_of<std::uint32_t>(find_inside(data, IFLA_BR_STP_STATE))) {
            link.stp = *stp != 0;
        }
        link.delay_centis = value_of<std::uint32_t>(find_inside(data, IFLA_BR_FORWARD_DELAY));
    } else if (link.kind == "vlan") {
        link.vlan = value_of<std::uint16_t>(find_inside(data, IFLA_VLAN_ID));
    } else if (link.kind == "bond") {
        link.bond = parse_bond(data);
    }
}

std::optional<std::pair<int, HostLink>> to_link(const nlmsghdr* message) {
    const auto* const header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
    const auto name = IfName::parse(text_of(find(message, sizeof *header, IFLA_IFNAME)));
    if (!name) {
        return std::nullopt;
    }
    HostLink link{.name = *name};
    link.up = (header->ifi_flags & IFF_UP) != 0;
    link.carrier = (header->ifi_flags & IFF_RUNNING) != 0;
    link.mtu = value_of<std::uint32_t>(find(message, sizeof *header, IFLA_MTU)).value_or(0);
    if (const auto octets = value_of<std::array<std::uint8_t, 6>>(find(message, sizeof *header, IFLA_ADDRESS))) {
        link.mac = MacAddr{*octets};
    }
    link.master = name_of_link(find(message, sizeof *header, IFLA_MASTER));
    if (const nlattr* const info = find(message, sizeof *header, IFLA_LINKINFO)) {
        read_link_info(info, link);
    }
    if (link.kind == "vlan") {
        link.parent = name_of_link(find(message, sizeof *header, IFLA_LINK));
    }
    return std::pair(header->ifi_index, std::move(link));
}

void add_address(const nlmsghdr* message, std::map<int, HostLink>& links) {
    const auto* const header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
    const auto link = links.find(static_cast<int>(header->ifa_index));
    // Of a point-to-point link IFA_LOCAL is ours and IFA_ADDRESS the other end's (linux/if_addr.h).
    const nlattr* const local = find(message, sizeof *header, IFA_LOCAL);
    const nlattr* const attr = local != nullptr ? local : find(message, sizeof *header, IFA_ADDRESS);
    if (link == links.end()) {
        return;
    }
    if (header->ifa_family == AF_INET) {
        if (const auto octets = value_of<std::array<std::uint8_t, 4>>(attr)) {
            link->second.addresses.push_back({Ip::v4(*octets), header->ifa_prefixlen});
        }
    } else if (header->ifa_family == AF_INET6) {
        if (const auto octets = value_of<std::array<std::uint8_t, 16>>(attr)) {
            link->second.addresses.push_back({Ip::v6(*octets), header->ifa_prefixlen});
        }
    }
}

}  // namespace

Result<std::vector<HostLink>> host_links() {
    std::map<int, HostLink> links;
    TRY_OK(ask(
        RTM_GETLINK, NLM_F_DUMP, [](nlmsghdr* request) { mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)); },
        [&](const nlmsghdr* message) {
            if (auto link = to_link(message)) {
                links.insert(std::move(*link));
            }
        }));
    TRY_OK(ask(
        RTM_GETADDR, NLM_F_DUMP, [](nlmsghdr* request) { mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)); },
        [&](const nlmsghdr* message) { add_address(message, links); }));
    std::vector<HostLink> out;
    for (auto& [index, link] : links) {
        out.push_back(std::move(link));
    }
    std::ranges::sort(out, {}, &HostLink::name);
    return out;
}

std::uint64_t process_time_ns(int pid) {
    const std::string text = read_text(fmt::format("/proc/{}/stat", pid));
    // The command's name may hold anything, ')' included: the fields follow the last one (proc(5)).
    const auto end = text.rfind(')');
    if (end == std::string::npos) {
        return 0;
    }
    std::istringstream fields(text.substr(end + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) {
        fields >> skipped;
    }
    std::uint64_t user = 0, system = 0;
    fields >> user >> system;
    const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return (user + system) * (1'000'000'000U / ticks);
}

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("localhost");
}

Uuid host_uuid() {
    for (const char* const path : {"/sys/class/dmi/id/product_uuid", "/etc/machine-id"}) {
        std::string text = read_text(path, 64);
        while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') {
            text.pop_back();
        }
        if (const auto uuid = Uuid::parse(text); uuid && !uuid->is_nil()) {
            return *uuid;
        }
    }
    return {};
}

std::string read_text(const std::string& path, std::size_t limit) {
    return read_whole(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), limit);
}

std::string read_whole(const UniqueFd& fd, std::size_t limit) {
    std::string text;
    std::array<char, 16384> chunk{};
    while (fd && text.size() < limit) {
        const ssize_t got = ::pread(fd.get(), chunk.data(), std::min(chunk.size(), limit - text.size()),
                                    static_cast<off_t>(text.size()));
        if (got <= 0) {
            break;
        }
        text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return text;
}

Result<UniqueFd> input_file(std::string_view text) {
    UniqueFd fd(::memfd_create("bascule", MFD_CLOEXEC));
    if (!fd) {
        return fail_errno("memfd_create");
    }
    for (std::size_t at = 0; at < text.size();) {
        // Where the program begins to read is not moved by this.
        const ssize_t put = ::pwrite(fd.get(), text.data() + at, text.size() - at, static_cast<off_t>(at));
        if (put < 0 && errno != EINTR) {
            return fail_errno("a program's input");
        }
        at += put > 0 ? static_cast<std::size_t>(put) : 0;
    }
    return fd;
}

bool kvm_usable() { return static_cast<bool>(UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC))); }

std::vector<Ip> name_servers(std::string_view resolv_conf) {
    std::vector<Ip> servers;
    std::istringstream lines{std::string(resolv_conf)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string keyword, address;
        if (words >> keyword >> address && keyword == "nameserver") {
            if (const auto ip = parse_ip(address.substr(0, address.find('%')))) {
                servers.push_back(*ip);
            }
        }
    }
    return servers;
}

Result<UniqueFd> open_terminal(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) {
        return fail_errno("console " + path);
    }
    return fd;
}

Result<Bytes> read_some(const UniqueFd& fd, std::size_t limit) {
    Bytes bytes(limit);
    const ssize_t got = ::read(fd.get(), bytes.data(), bytes.size());
    if (got < 0) {
        return fail_errno("read");
    }
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

Result<std::size_t> write_some(const UniqueFd& fd, ByteView bytes) {
    // A socket whose other end is gone is an error and no signal, which would end the daemon.
    ssize_t put = bytes.empty() ? 0 : ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == ENOTSOCK) {
        put = ::write(fd.get(), bytes.data(), bytes.size());
    }
    if (put < 0) {
        return fail_errno("write");
    }
    return static_cast<std::size_t>(put);
}

namespace {

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

}  // namespace

Result<Account> account(const std::string& user) {
    const File file(std::fopen("/etc/passwd", "re"));
    while (const passwd* const entry = file ? ::fgetpwent(file.get()) : nullptr) {
        if (user == entry->pw_name) {
            return Account{entry->pw_uid, entry->pw_gid};
        }
    }
    return fail(Code::invalid_argument, fmt::format("there is no user '{}' in /etc/passwd", user));
}

Result<std::uint32_t> group_id(const std::string& name) {
    const File file(std::fopen("/etc/group", "re"));
    while (const group* const entry = file ? ::fgetgrent(file.get()) : nullptr) {
        if (name == entry->gr_name) {
            return entry->gr_gid;
        }
    }
    return fail(Code::invalid_argument, fmt::format("there is no group '{}' in /etc/group", name));
}

bool path_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace bascule::kernel::os
