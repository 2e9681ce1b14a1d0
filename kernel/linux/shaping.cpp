// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/shaping.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace bascule::kernel::os {

namespace {

constexpr std::uint32_t kHandle = 0xba5c0000, kIngress = 0xffff0000;
constexpr std::uint32_t kPreference = 0xba5c;
constexpr std::uint32_t kAll = 1, kRest = 2, kFirstGuarantee = 3;
constexpr std::uint64_t kBig = 0xffffffffU;
// The most that a packet of a guest may be before the kernel cuts it up (GSO), with room.
constexpr std::uint32_t kLargestPacket = 1U << 20;

void needed(int error) {
    if (error < 0) {
        std::abort();  // libnl fails only for want of memory
    }
}

tcmsg header(int index, std::uint32_t parent, std::uint32_t handle, std::uint32_t info = 0) {
    tcmsg out{};
    out.tcm_family = AF_UNSPEC;
    out.tcm_ifindex = index;
    out.tcm_parent = parent;
    out.tcm_handle = handle;
    out.tcm_info = info;
    return out;
}

NlMsg message(int type, int flags, const tcmsg& head, const char* kind = nullptr) {
    NlMsg msg(nlmsg_alloc_simple(type, flags));
    if (!msg) {
        std::abort();
    }
    needed(nlmsg_append(msg.get(), const_cast<tcmsg*>(&head), sizeof(head), NLMSG_ALIGNTO));
    if (kind != nullptr) {
        needed(nla_put_string(msg.get(), TCA_KIND, kind));
    }
    return msg;
}

std::uint32_t filter_info() { return TC_H_MAKE(kPreference << 16, htons(ETH_P_ALL)); }

// Bytes at a rate as the kernel counts them: in time, 64 ns a tick (PSCHED_SHIFT).
std::uint32_t ticks(std::uint64_t bytes, std::uint64_t rate) {
    const double time = rate == 0 ? 0 : static_cast<double>(bytes) * 1e9 / static_cast<double>(rate) / 64;
    return static_cast<std::uint32_t>(std::min(time, 4294967295.0));
}
std::uint64_t bytes_of(std::uint32_t burst_ticks, std::uint64_t rate) {
    return static_cast<std::uint64_t>(static_cast<double>(burst_ticks) * 64 * static_cast<double>(rate) / 1e9 + 0.5);
}

tc_ratespec ratespec(std::uint64_t rate) {
    tc_ratespec out{};
    // With a link layer named the kernel needs no table of times; where it insists on one (police), cell_log must say
    // how it would be read.
    out.linklayer = TC_LINKLAYER_ETHERNET;
    out.cell_log = 3;
    out.cell_align = -1;
    out.rate = static_cast<std::uint32_t>(std::min(rate, kBig));
    return out;
}

NlMsg htb_qdisc(int index, std::uint32_t default_class) {
    NlMsg msg = message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, header(index, TC_H_ROOT, kHandle), "htb");
    nlattr* const options = nla_nest_start(msg.get(), TCA_OPTIONS);
    tc_htb_glob glob{};
    glob.version = 3;
    glob.rate2quantum = 10;
    glob.defcls = default_class;
    needed(nla_put(msg.get(), TCA_HTB_INIT, sizeof(glob), &glob));
    nla_nest_end(msg.get(), options);
    return msg;
}

NlMsg htb_class(int index, std::uint32_t parent, std::uint32_t minor, std::uint64_t rate, std::uint64_t ceil,
                std::uint64_t burst) {
    const std::uint32_t above = parent == 0 ? kHandle : (kHandle | parent);
    NlMsg msg = message(RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_REPLACE, header(index, above, kHandle | minor), "htb");
    nlattr* const options = nla_nest_start(msg.get(), TCA_OPTIONS);
    tc_htb_opt opt{};
    opt.rate = ratespec(rate);
    opt.ceil = ratespec(ceil);
    opt.buffer = ticks(burst, rate);
    // What may go at once at the ceiling: without a peak the burst that is promised anyway, else a twentieth of a
    // second of it. With less a busy host, whose timers are late, never reaches it: what it could have sent is lost.
    opt.cbuffer = ticks(ceil == rate ? burst : std::min(burst, ceil / 20) + 1600, ceil);
    opt.quantum = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rate / 10, 1514, 200'000));
    needed(nla_put(msg.get(), TCA_HTB_PARMS, sizeof(opt), &opt));
    if (rate > kBig) {
        needed(nla_put_u64(msg.get(), TCA_HTB_RATE64, rate));
    }
    if (ceil > kBig) {
        needed(nla_put_u64(msg.get(), TCA_HTB_CEIL64, ceil));
    }
    nla_nest_end(msg.get(), options);
    return msg;
}

// A queue that is fair to the flows of one class. A kernel without it has one queue for them all.
Result<void> put_fair_queue(Netlink& netlink, int index, std::uint32_t minor, std::string_view what) {
    TRY(const Answer answer,
        netlink.talk(message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, header(index, kHandle | minor, 0), "sfq")));
    return answer.failed_with(ENOENT) ? Result<void>() : check(answer, what);
}

// Frames to that station: the destination is 14 bytes before the network header.
NlMsg station_filter(int index, const MacAddr& station, std::uint32_t minor) {
    NlMsg msg = message(RTM_NEWTFILTER, NLM_F_CREATE, header(index, kHandle, 0, filter_info()), "u32");
    nlattr* const options = nla_nest_start(msg.get(), TCA_OPTIONS);
    needed(nla_put_u32(msg.get(), TCA_U32_CLASSID, kHandle | minor));
    tc_u32_sel head;
    std::memset(&head, 0, sizeof(head));  // braces would name the array at its end, which has no size
    head.flags = TC_U32_TERMINAL;
    head.nkeys = 2;
    tc_u32_key keys[2] = {};
    const std::uint8_t first[4] = {0, 0, station.octets[0], station.octets[1]};
    std::memcpy(&keys[0].val, first, sizeof(first));
    keys[0].mask = htonl(0x0000ffff);
    keys[0].off = -16;
    std::memcpy(&keys[1].val, &station.octets[2], 4);
    keys[1].mask = 0xffffffff;
    keys[1].off = -12;
    std::uint8_t select[sizeof(head) + sizeof(keys)];
    std::memcpy(select, &head, sizeof(head));
    std::memcpy(select + sizeof(head), keys, sizeof(keys));
    needed(nla_put(msg.get(), TCA_U32_SEL, sizeof(select), select));
    nla_nest_end(msg.get(), options);
    return msg;
}

// The options of a police action.
void put_police(const NlMsg& msg, const Shaping::In& in, std::uint32_t number) {
    needed(nla_put_string(msg.get(), TCA_ACT_KIND, "police"));
    nlattr* const police = nla_nest_start(msg.get(), TCA_ACT_OPTIONS);
    tc_police parms{};
    parms.index = number;
    parms.action = TC_ACT_SHOT;
    parms.rate = ratespec(in.rate);
    parms.burst = ticks(in.burst, in.rate);
    parms.mtu = in.peak == 0 ? kLargestPacket : static_cast<std::uint32_t>(std::min<std::uint64_t>(at_once(in), kBig));
    parms.peakrate = in.peak == 0 ? tc_ratespec{} : ratespec(in.peak);
    needed(nla_put(msg.get(), TCA_POLICE_TBF, sizeof(parms), &parms));
    const std::uint8_t table[1024] = {};  // wanted (qdisc_get_rtab), not read
    needed(nla_put(msg.get(), TCA_POLICE_RATE, sizeof(table), table));
    if (in.rate > kBig) {
        needed(nla_put_u64(msg.get(), TCA_POLICE_RATE64, in.rate));
    }
    if (in.peak != 0) {
        needed(nla_put(msg.get(), TCA_POLICE_PEAKRATE, sizeof(table), table));
    }
    if (in.peak > kBig) {
        needed(nla_put_u64(msg.get(), TCA_POLICE_PEAKRATE64, in.peak));
    }
    nla_nest_end(msg.get(), police);
}

NlMsg police_filter(int index, const Shaping::In& in) {
    NlMsg msg = message(RTM_NEWTFILTER, NLM_F_CREATE, header(index, kIngress, 0, filter_info()), "u32");
    nlattr* const options = nla_nest_start(msg.get(), TCA_OPTIONS);
    tc_u32_sel head;
    std::memset(&head, 0, sizeof(head));  // braces would name the array at its end, which has no size
    head.flags = TC_U32_TERMINAL;
    head.nkeys = 1;
    const tc_u32_key anything{};
    std::uint8_t select[sizeof(head) + sizeof(anything)];
    std::memcpy(select, &head, sizeof(head));
    std::memcpy(select + sizeof(head), &anything, sizeof(anything));
    needed(nla_put(msg.get(), TCA_U32_SEL, sizeof(select), select));
    nlattr* const actions = nla_nest_start(msg.get(), TCA_U32_ACT);
    nlattr* const action = nla_nest_start(msg.get(), 1);
    put_police(msg, in, 0);
    nla_nest_end(msg.get(), action);
    nla_nest_end(msg.get(), actions);
    nla_nest_end(msg.get(), options);
    return msg;
}

// All filters of ours at that parent.
NlMsg no_filters(int index, std::uint32_t parent) {
    return message(RTM_DELTFILTER, 0, header(index, parent, 0, TC_H_MAKE(kPreference << 16, 0)));
}

// ---- reading back

const tcmsg& head_of(const NlMsg& msg) { return *static_cast<const tcmsg*>(nlmsg_data(nlmsg_hdr(msg.get()))); }

nlattr* attribute(const NlMsg& msg, int type) { return nlmsg_find_attr(nlmsg_hdr(msg.get()), sizeof(tcmsg), type); }

nlattr* inside(nlattr* nest, int type) {
    return nest == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(nest)), nla_len(nest), type);
}

bool is_kind(const NlMsg& msg, std::string_view kind) {
    const nlattr* const found = attribute(msg, TCA_KIND);
    return found != nullptr && nla_get_string(const_cast<nlattr*>(found)) == kind;
}

template <class T>
std::optional<T> value(const nlattr* attr) {
    if (attr == nullptr || static_cast<std::size_t>(nla_len(attr)) < sizeof(T)) {
        return std::nullopt;
    }
    T out;
    std::memcpy(&out, nla_data(const_cast<nlattr*>(attr)), sizeof(T));
    return out;
}

struct ClassSeen {
    std::uint64_t rate = 0, ceil = 0, burst = 0;
};

std::optional<ClassSeen> parse_class(const NlMsg& msg) {
    nlattr* const options = attribute(msg, TCA_OPTIONS);
    const auto opt = value<tc_htb_opt>(inside(options, TCA_HTB_PARMS));
    if (!opt || !is_kind(msg, "htb")) {
        return std::nullopt;
    }
    ClassSeen out;
    out.rate = value<std::uint64_t>(inside(options, TCA_HTB_RATE64)).value_or(opt->rate.rate);
    out.ceil = value<std::uint64_t>(inside(options, TCA_HTB_CEIL64)).value_or(opt->ceil.rate);
    out.burst = bytes_of(opt->buffer, out.rate);
    return out;
}

std::optional<Shaping::In> parse_police(const NlMsg& msg) {
    nlattr* const actions = inside(attribute(msg, TCA_OPTIONS), TCA_U32_ACT);
    nlattr* const police = inside(inside(actions, 1), TCA_ACT_OPTIONS);
    const auto parms = value<tc_police>(inside(police, TCA_POLICE_TBF));
    if (!parms || TC_H_MAJ(head_of(msg).tcm_info) >> 16 != kPreference) {
        return std::nullopt;
    }
    Shaping::In in;
    in.rate = value<std::uint64_t>(inside(police, TCA_POLICE_RATE64)).value_or(parms->rate.rate);
    in.burst = bytes_of(parms->burst, in.rate);
    in.peak = value<std::uint64_t>(inside(police, TCA_POLICE_PEAKRATE64)).value_or(parms->peakrate.rate);
    return in;
}

// tc_u32_sel without its keys: flags, shift, number of keys …
struct HeadOfSelect {
    std::uint8_t octets[sizeof(tc_u32_sel)];
};

struct StationSeen {
    MacAddr station;
    std::uint32_t minor = 0;
};

std::optional<StationSeen> parse_station(const NlMsg& msg) {
    nlattr* const options = attribute(msg, TCA_OPTIONS);
    const auto id = value<std::uint32_t>(inside(options, TCA_U32_CLASSID));
    struct Keys {
        tc_u32_key keys[2];
    };
    nlattr* const select = inside(options, TCA_U32_SEL);
    const auto head = value<HeadOfSelect>(select);
    if (!id || !head || head->octets[2] != 2 || nla_len(select) < int(sizeof(HeadOfSelect) + sizeof(Keys))) {
        return std::nullopt;
    }
    Keys seen;
    std::memcpy(&seen, static_cast<const std::uint8_t*>(nla_data(select)) + sizeof(HeadOfSelect), sizeof(seen));
    StationSeen out;
    out.minor = TC_H_MIN(*id);
    std::uint8_t first[4];
    std::memcpy(first, &seen.keys[0].val, sizeof(first));
    out.station.octets[0] = first[2];
    out.station.octets[1] = first[3];
    std::memcpy(&out.station.octets[2], &seen.keys[1].val, 4);
    return out;
}

// What hangs at a place: TC_H_ROOT or TC_H_INGRESS. None: nothing, or what the kernel put there.
Result<std::optional<NlMsg>> qdisc_at(Netlink& netlink, int index, std::uint32_t parent) {
    // The kernel answers like a notification: to who asked only when that asks for an echo.
    TRY(Answer answer, netlink.talk(message(RTM_GETQDISC, NLM_F_ECHO, header(index, parent, 0))));
    if (answer.failed_with(ENOENT) || answer.failed_with(ENODEV)) {
        return std::optional<NlMsg>();
    }
    TRY_OK(check(answer, "looking at a link's queue"));
    return answer.objects.empty() ? std::optional<NlMsg>() : std::optional(std::move(answer.objects.front()));
}

Result<std::vector<NlMsg>> dump(Netlink& netlink, int type, const tcmsg& head) {
    TRY(Answer answer, netlink.talk(message(type, NLM_F_DUMP, head)));
    if (answer.failed_with(ENODEV) || answer.failed_with(EINVAL)) {
        return std::vector<NlMsg>();
    }
    TRY_OK(check(answer, "listing a link's classes and filters"));
    return std::move(answer.objects);
}

struct OutSeen {
    std::map<std::uint32_t, ClassSeen> classes;  // by minor number
    std::vector<StationSeen> stations;
};

Result<OutSeen> read_out(Netlink& netlink, int index) {
    OutSeen out;
    TRY(const auto classes, dump(netlink, RTM_GETTCLASS, header(index, 0, 0)));
    for (const NlMsg& msg : classes) {
        const auto seen = parse_class(msg);
        if (seen && TC_H_MAJ(head_of(msg).tcm_handle) == kHandle) {
            out.classes.emplace(TC_H_MIN(head_of(msg).tcm_handle), *seen);
        }
    }
    if (out.classes.contains(kRest)) {
        TRY(const auto filters, dump(netlink, RTM_GETTFILTER, header(index, kHandle, 0)));
        for (const NlMsg& msg : filters) {
            if (auto seen = parse_station(msg)) {
                out.stations.push_back(*seen);
            }
        }
    }
    return out;
}

Result<std::optional<Shaping::In>> read_in(Netlink& netlink, int index) {
    TRY(const auto ingress, qdisc_at(netlink, index, TC_H_INGRESS));
    if (!ingress) {
        return std::optional<Shaping::In>();
    }
    TRY(const auto filters, dump(netlink, RTM_GETTFILTER, header(index, kIngress, 0)));
    for (const NlMsg& msg : filters) {
        if (const auto in = parse_police(msg)) {
            return in;
        }
    }
    return std::optional<Shaping::In>();
}

bool is_ours(const std::optional<NlMsg>& root) { return root && head_of(*root).tcm_handle == kHandle; }

Result<void> put_out(Netlink& netlink, int index, const Shaping& shaping, const Floors& floors, std::string_view what) {
    TRY(const auto root, qdisc_at(netlink, index, TC_H_ROOT));
    if (root && !is_ours(root) && head_of(*root).tcm_handle != 0) {
        return fail(
            Code::conflict,
            fmt::format("{}: it has a queueing discipline already, which somebody chose (tc qdisc show); remove "
                        "it or leave <bandwidth> out",
                        what));
    }
    const Shaping::Out& out = *shaping.out;
    std::uint64_t given = 0;
    for (const auto& [key, floor] : floors) {
        given += floor;
    }
    OutSeen seen;
    if (is_ours(root)) {
        TRY(seen, read_out(netlink, index));
    }
    if (is_ours(root) && seen.classes.contains(kRest) != shaping.shared) {
        TRY_OK(netlink.command(message(RTM_DELQDISC, 0, header(index, TC_H_ROOT, kHandle)), what));
        seen = {};
    }
    if (seen.classes.empty()) {
        TRY_OK(netlink.command(htb_qdisc(index, shaping.shared ? kRest : kAll), what));
    }
    TRY_OK(netlink.command(htb_class(index, 0, kAll, out.rate, out.ceil, out.burst), what));
    if (!shaping.shared) {
        return seen.classes.empty() ? put_fair_queue(netlink, index, kAll, what) : Result<void>();
    }
    const std::uint64_t rest = out.rate > given ? out.rate - given : 1000;
    TRY_OK(netlink.command(htb_class(index, kAll, kRest, rest, out.ceil, out.burst), what));
    if (seen.classes.empty()) {
        TRY_OK(put_fair_queue(netlink, index, kRest, what));
    } else if (!seen.stations.empty()) {
        TRY_OK(netlink.command(no_filters(index, kHandle), what));
    }
    std::uint32_t minor = kFirstGuarantee;
    for (const auto& [key, floor] : floors) {
        TRY_OK(netlink.command(htb_class(index, kAll, minor, floor, out.ceil, floor / 10 + 1600), what));
        if (!seen.classes.contains(minor)) {
            TRY_OK(put_fair_queue(netlink, index, minor, what));
        }
        TRY_OK(netlink.command(station_filter(index, key.station, minor), what));
        ++minor;
    }
    for (const auto& [number, unused] : seen.classes) {
        if (number >= minor) {
            TRY_OK(netlink.command(message(RTM_DELTCLASS, 0, header(index, kHandle | kAll, kHandle | number)), what));
        }
    }
    return {};
}

Result<void> drop_out(Netlink& netlink, int index, std::string_view what) {
    TRY(const auto root, qdisc_at(netlink, index, TC_H_ROOT));
    return is_ours(root) ? netlink.command(message(RTM_DELQDISC, 0, header(index, TC_H_ROOT, kHandle)), what)
                         : Result<void>();
}

Result<void> drop_in(Netlink& netlink, int index, std::string_view what) {
    TRY(const auto in, read_in(netlink, index));
    return in ? netlink.command(no_filters(index, kIngress), what) : Result<void>();
}

Result<void> put_in(Netlink& netlink, int index, const Shaping::In& in, std::string_view what) {
    TRY(const auto ingress, qdisc_at(netlink, index, TC_H_INGRESS));
    if (!ingress) {
        TRY_OK(netlink.command(
            message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, header(index, TC_H_INGRESS, kIngress), "ingress"), what));
    }
    TRY_OK(drop_in(netlink, index, what));
    return netlink.command(police_filter(index, in), what);
}

}  // namespace

Result<std::optional<ShapingSeen>> read_shaping(Netlink& netlink, int index) {
    ShapingSeen seen_here;
    Shaping& out = seen_here.shaping;
    TRY(const auto root, qdisc_at(netlink, index, TC_H_ROOT));
    if (is_ours(root)) {
        TRY(const OutSeen seen, read_out(netlink, index));
        if (const auto all = seen.classes.find(kAll); all != seen.classes.end()) {
            out.out = Shaping::Out{all->second.rate, all->second.ceil, all->second.burst};
        }
        out.shared = seen.classes.contains(kRest);
        for (const StationSeen& one : seen.stations) {
            if (const auto its = seen.classes.find(one.minor); its != seen.classes.end()) {
                seen_here.floors.emplace(one.station, its->second.rate);
            }
        }
    }
    TRY(out.in, read_in(netlink, index));
    return out.out || out.in ? std::optional(std::move(seen_here)) : std::nullopt;
}

Result<std::set<int>> shaped_links(Netlink& netlink) {
    TRY(const auto all, dump(netlink, RTM_GETQDISC, header(0, 0, 0)));
    std::set<int> out;
    for (const NlMsg& msg : all) {
        if (head_of(msg).tcm_handle == kHandle || is_kind(msg, "ingress")) {
            out.insert(head_of(msg).tcm_ifindex);
        }
    }
    return out;
}

Result<void> put_shaping(Netlink& netlink, int index, const Shaping& shaping, const Floors& floors,
                         std::string_view what) {
    TRY_OK(shaping.out ? put_out(netlink, index, shaping, floors, what) : drop_out(netlink, index, what));
    return shaping.in ? put_in(netlink, index, *shaping.in, what) : drop_in(netlink, index, what);
}

Result<void> drop_shaping(Netlink& netlink, int index, std::string_view what) {
    TRY_OK(drop_out(netlink, index, what));
    return drop_in(netlink, index, what);
}

bool can_police(Netlink& netlink) {
    // The kernel says so only when it is asked for one: made, and taken away again.
    constexpr std::uint32_t kNumber = 0xba5c;
    const auto about = [](int type, auto put) {
        NlMsg msg(nlmsg_alloc_simple(type, type == RTM_NEWACTION ? NLM_F_CREATE | NLM_F_REPLACE : 0));
        if (!msg) {
            std::abort();
        }
        tcamsg head{};
        needed(nlmsg_append(msg.get(), &head, sizeof(head), NLMSG_ALIGNTO));
        nlattr* const table = nla_nest_start(msg.get(), TCA_ACT_TAB);
        nlattr* const one = nla_nest_start(msg.get(), 1);
        put(msg);
        nla_nest_end(msg.get(), one);
        nla_nest_end(msg.get(), table);
        return msg;
    };
    const auto made = netlink.talk(
        about(RTM_NEWACTION, [](const NlMsg& msg) { put_police(msg, Shaping::In{1'000'000, 100'000}, kNumber); }));
    if (!made || made->error != 0) {
        return false;
    }
    [[maybe_unused]] const auto gone = netlink.talk(about(RTM_DELACTION, [](const NlMsg& msg) {
        needed(nla_put_string(msg.get(), TCA_ACT_KIND, "police"));
        needed(nla_put_u32(msg.get(), TCA_ACT_INDEX, kNumber));
    }));
    return true;
}

bool can_police() {
    auto netlink = Netlink::open();
    return netlink && can_police(*netlink);
}

}  // namespace bascule::kernel::os
