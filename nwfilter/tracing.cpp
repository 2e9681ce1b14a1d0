// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/tracing.h"

#include <algorithm>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

// In front of connection tracking and all usual priorities.
constexpr int kFirst = -500;
constexpr std::string_view kMark = "limit rate 10/second burst 20 packets meta nftrace set 1";
constexpr std::string_view kStem = "nwf_trace";

void mark_at(kernel::Table& table, std::string_view hook, std::vector<std::string> which) {
    for (std::string& rule : which) {
        rule += fmt::format(" {}", kMark);
    }
    table.add_chain(kStem, {kernel::Hook{"filter", std::string(hook), kFirst, {}, "accept"}, std::move(which)});
}

// Our chains are named by their content; people need only the first part. Of all such names in a text.
std::string without_hashes(std::string_view text) {
    constexpr std::size_t kHash = 17;
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    std::string out;
    while (!text.empty()) {
        const bool hash = text.size() >= kHash && text.front() == '_' &&
                          std::ranges::all_of(text.substr(1, kHash - 1), is_digit) &&
                          (text.size() == kHash || text[kHash] == ' ');
        if (!hash) {
            out += text.front();
        }
        text.remove_prefix(hash ? kHash : 1);
    }
    return out;
}

// What the rule's comment says: "no-mac-spoofing/rule 2".
std::string comment_of(std::string_view rule) {
    constexpr std::string_view kComment = "comment \"";
    const auto begin = rule.rfind(kComment);
    if (begin == std::string_view::npos) {
        return {};
    }
    const std::string_view text = rule.substr(begin + kComment.size());
    return std::string(text.substr(0, text.find('"')));
}

}  // namespace

kernel::Ruleset tracing(const Port& port, const std::vector<Ip>& addresses) {
    const std::string name = port.ifname.str();
    kernel::Ruleset out;
    kernel::Table& bridge = out[kernel::Family::bridge];
    const std::string mac = format(port.mac);
    mark_at(bridge, "prerouting",
            {fmt::format("iifname \"{}\"", name), fmt::format("iifname != \"{}\" ether daddr {}", name, mac)});
    for (const char* const hook : {"forward", "output"}) {
        mark_at(bridge, hook, {fmt::format("oifname \"{}\" ether daddr != {}", name, mac)});
    }
    std::vector<std::string> to;
    for (const Ip& address : addresses) {
        to.push_back(fmt::format("{} daddr {}", address.is_v4() ? "ip" : "ip6", format(address)));
    }
    if (!to.empty()) {
        for (const char* const hook : {"forward", "output"}) {
            mark_at(out[kernel::Family::inet], hook, to);
        }
    } else {
        mark_at(bridge, "output", {fmt::format("oifname \"{}\" ether daddr {}", name, mac)});
    }
    return out;
}

std::optional<Told> told(const kernel::TraceStep& step, std::string_view rule) {
    const bool ours = step.table == "bascule";
    if (!step.rule && step.verdict == "continue") {
        return std::nullopt;  // a chain's end, behind which goes on what comes next
    }
    std::string verdict = step.verdict;
    if (ours) {
        // The steps behind a drop only count it.
        if (step.chain.starts_with("nwf_drop_") || step.chain.starts_with("nwf_reject_") ||
            step.chain.starts_with(kStem)) {
            return std::nullopt;
        }
        if (verdict.starts_with("goto nwf_drop_")) {
            verdict = "drop";
        } else if (verdict.starts_with("goto nwf_reject_")) {
            verdict = "reject";
        } else {
            verdict = without_hashes(verdict);
        }
    }
    const std::string comment = ours ? comment_of(rule) : std::string();
    std::string what = !comment.empty() ? comment
                       : !step.rule     ? "policy"
                       : rule.empty()   ? fmt::format("rule {}", *step.rule)
                       : ours           ? without_hashes(rule)
                                        : std::string(rule);
    std::ranges::replace(what, '\t', ' ');
    return Told{
        .where = fmt::format("{} {} {}", step.family, step.table, ours ? without_hashes(step.chain) : step.chain),
        .rule = std::move(what),
        .verdict = std::move(verdict)};
}

}  // namespace bascule::nwfilter
