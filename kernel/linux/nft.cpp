// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/fd.h"
#include "kernel/linux/clock.h"
#include "kernel/linux/nft_elements.h"
#include "kernel/linux/nft_listing.h"
#include "kernel/linux/nft_model.h"

namespace bascule::kernel::os {

namespace {

int take_generation(const nlmsghdr* header, void* out) {
    nlattr* attribute = nullptr;
    for (attribute = static_cast<nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
         mnl_attr_ok(attribute, static_cast<int>(static_cast<const char*>(mnl_nlmsg_get_payload_tail(header)) -
                                                 reinterpret_cast<const char*>(attribute)));
         attribute = mnl_attr_next(attribute)) {
        if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && mnl_attr_validate(attribute, MNL_TYPE_U32) == 0) {
            *static_cast<std::optional<std::uint32_t>*>(out) = ntohl(mnl_attr_get_u32(attribute));
        }
    }
    return MNL_CB_OK;
}

// What a refused rule's comment says, which names filter and rule: of the first line of the script that the words are
// about ("line:12:5-9: Error: …"). Empty: it has none.
std::string rule_of(std::string_view script, std::string_view words) {
    constexpr std::string_view kLine = "line:", kComment = " comment \"";
    unsigned line = 0;
    if (words.starts_with(kLine)) {
        std::from_chars(words.data() + kLine.size(), words.data() + words.size(), line);
    }
    for (; line > 1 && !script.empty(); --line) {
        const auto end = script.find('\n');
        script = end == std::string_view::npos ? std::string_view() : script.substr(end + 1);
    }
    const std::string_view text = script.substr(0, script.find('\n'));
    const auto begin = text.find(kComment);
    if (line != 1 || !text.starts_with("add rule ") || begin == std::string_view::npos) {
        return {};
    }
    const std::string_view comment = text.substr(begin + kComment.size());
    return std::string(comment.substr(0, comment.find('"')));
}

std::string trimmed(std::string text) {
    constexpr std::size_t kLongEnough = 2000;
    if (text.size() > kLongEnough) {
        text.resize(kLongEnough);
    }
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

}  // namespace

void Nft::FreeContext::operator()(nft_ctx* context) const { nft_ctx_free(context); }
void Nft::FreeSocket::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Result<std::unique_ptr<Nft>> Nft::open(Generations* generations) {
    std::unique_ptr<Nft> out(new Nft);
    out->generations_ = generations;
    out->context_.reset(nft_ctx_new(NFT_CTX_DEFAULT));
    out->socket_.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
    if (!out->context_ || !out->socket_ || mnl_socket_bind(out->socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail_errno("nftables: opening a netlink socket");
    }
    nft_ctx_buffer_output(out->context_.get());
    nft_ctx_buffer_error(out->context_.get());
    return out;
}

Result<std::uint32_t> Nft::generation() {
    std::array<char, 8192> buffer{};
    nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = ++sequence_;
    auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    family->nfgen_family = AF_UNSPEC;
    family->version = NFNETLINK_V0;
    if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) {
        return fail_errno("nftables: asking for the generation");
    }
    std::optional<std::uint32_t> id;
    const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (size < 0 || mnl_cb_run(buffer.data(), static_cast<std::size_t>(size), sequence_,
                               mnl_socket_get_portid(socket_.get()), take_generation, &id) < 0) {
        return fail_errno(
            "nftables: asking for the generation; the kernel needs CONFIG_NF_TABLES and we CAP_NET_ADMIN");
    }
    if (!id) {
        return fail(Code::malformed, "nftables: the kernel's answer has no generation");
    }
    return *id;
}

Result<std::string> Nft::list(const std::string& what) {
    nft_ctx* context = context_.get();
    const unsigned before = nft_ctx_output_get_flags(context);
    nft_ctx_output_set_flags(context, before | NFT_CTX_OUTPUT_JSON);
    const int status = nft_run_cmd_from_buffer(context, what.c_str());
    nft_ctx_output_set_flags(context, before);
    const std::string errors = nft_ctx_get_error_buffer(context);
    std::string output = nft_ctx_get_output_buffer(context);
    if (status != 0) {
        return fail(Code::system, fmt::format("nft {}: {}", what, trimmed(errors)));
    }
    return output;
}

Result<Ruleset> Nft::observe(const Scope& scope) {
    TRY_OK(refresh());
    return in_scope(rules_, scope, boot_now());
}

Result<void> Nft::refresh() {
    constexpr int kAttempts = 20;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        TRY(const std::uint32_t before, generation());
        if (known_ == before) {
            return {};
        }
        Result<void> read = read_tables();
        TRY(const std::uint32_t after, generation());
        if (read && before == after) {
            known_ = after;
            return {};
        }
        if (!read && before == after) {
            return read;
        }
        // Somebody changed something while we read.
    }
    return fail(Code::timeout, fmt::format("nftables: the rules changed during each of {} readings; "
                                           "another program is changing them all the time",
                                           kAttempts));
}

Result<void> Nft::read_tables() {
    ++listings_;
    known_.reset();
    TRY(const std::string tables, list("list tables"));
    TRY(const std::set<Family> ours, parse_tables(tables));
    Ruleset rules;
    for (const Family family : ours) {
        TRY(const std::string text, list(fmt::format("list table {} bascule", name_of(family))));
        TRY(Table table, parse_listing(text, boot_now()));
        keep_texts(family, table);
        if (!table.empty()) {
            rules.emplace(family, std::move(table));
        }
    }
    rules_ = std::move(rules);
    return {};
}

void Nft::keep_texts(Family family, Table& table) const {
    const auto before = rules_.find(family);
    if (before == rules_.end()) {
        return;
    }
    for (auto& [name, chain] : table.chains) {
        const auto made = before->second.chains.find(name);
        if (made != before->second.chains.end() && made->second.rules.size() == chain.rules.size()) {
            chain.rules = made->second.rules;
        }
    }
}

Nft::Prepared Nft::prepare(const RuleBatch& batch, Time now) const {
    Prepared out{.batch = batch, .revived = {.add = {}, .types = batch.types, .remove = {}}};
    for (auto& [family, remove] : out.batch.remove) {
        const auto found = rules_.find(family);
        if (found == rules_.end()) {
            continue;
        }
        const auto add = batch.add.find(family);
        if (leaves_empty(found->second, add == batch.add.end() ? nullptr : &add->second, remove)) {
            remove = {};
            remove.whole_table = true;
            continue;
        }
        // A timed element may expire between observation and transaction, and removing an absent one fails. Those of
        // sets are added first, which is nothing when they are there; for maps that takes the value, known here.
        for (const auto& [set, keys] : remove.elements) {
            const auto elements = found->second.elements.find(set);
            for (const std::string& key : keys) {
                if (elements == found->second.elements.end()) {
                    break;
                }
                const auto old = elements->second.find(key);
                if (old != elements->second.end() && old->second.expires && !old->second.data.empty()) {
                    Element& again = out.revived.add[family].elements[set][key];
                    again = old->second;
                    again.expires = now + std::chrono::minutes(1);
                }
            }
        }
    }
    return out;
}

// Whether it was done. What the kernel refuses changes nothing, and libnftables, asked next, has words for it.
bool Nft::change_elements(const Prepared& prepared, Time now) {
    const auto encoded = encode_elements(prepared.batch, prepared.revived, now, *known_, sequence_ + 1);
    if (!encoded) {
        return false;
    }
    sequence_ = encoded->last_sequence;
    if (mnl_socket_sendto(socket_.get(), encoded->bytes.data(), encoded->bytes.size()) < 0) {
        return false;
    }
    std::array<char, 8192> buffer{};
    const auto done = [&] {
        for (;;) {
            const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
            int left = static_cast<int>(size);
            for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(header, left);
                 header = mnl_nlmsg_next(header, &left)) {
                const auto* const error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
                if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr)) ||
                    header->nlmsg_seq < encoded->first_sequence) {
                    continue;
                }
                if (error->error != 0 || header->nlmsg_seq == encoded->last_sequence) {
                    return error->error == 0;
                }
            }
            if (size < 0 && errno != EINTR) {
                return false;
            }
        }
    }();
    // Each message may have had an error of its own.
    while (!done && ::recv(mnl_socket_get_fd(socket_.get()), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) {
    }
    return done;
}

// libnftables shows the right column but always the first line of a script that comes as a string. Read as a
// file it gets the line right, so the failed script is checked once more that way, changing nothing.
Error Nft::explain(const std::string& script, std::string first_words) {
    Error error{Code::system, "nftables: " + trimmed(std::move(first_words)), 0};
    const UniqueFd file(::memfd_create("rules", MFD_CLOEXEC));
    if (!file || ::write(file.get(), script.data(), script.size()) != static_cast<ssize_t>(script.size())) {
        return error;
    }
    const std::string path = fmt::format("/proc/self/fd/{}", file.get());
    nft_ctx* context = context_.get();
    nft_ctx_set_dry_run(context, true);
    const int status = nft_run_cmd_from_filename(context, path.c_str());
    nft_ctx_set_dry_run(context, false);
    nft_ctx_get_output_buffer(context);
    std::string words = nft_ctx_get_error_buffer(context);
    if (status == 0 || words.empty()) {
        return error;
    }
    for (std::size_t at = words.find(path); at != std::string::npos; at = words.find(path, at)) {
        words.replace(at, path.size(), "line");
    }
    const std::string rule = rule_of(script, words);
    error.message =
        "nftables: " + (rule.empty() ? rule : fmt::format("filter rule {}: ", rule)) + trimmed(std::move(words));
    return error;
}

Result<void> Nft::run(const RuleBatch& batch) {
    if (batch.empty()) {
        return {};
    }
    TRY_OK(refresh());
    const Time now = boot_now();
    const Prepared prepared = prepare(batch, now);
    const std::uint32_t before = *known_;
    if (!change_elements(prepared, now)) {
        ++scripts_;
        const std::string script =
            (prepared.revived.empty() ? std::string() : render(prepared.revived, now)) + render(prepared.batch, now);
        if (nft_run_cmd_from_buffer(context_.get(), script.c_str()) != 0) {
            nft_ctx_get_output_buffer(context_.get());
            return std::unexpected(explain(script, nft_ctx_get_error_buffer(context_.get())));
        }
        nft_ctx_get_output_buffer(context_.get());
    }
    apply_to(rules_, batch);
    known_.reset();
    TRY(const std::uint32_t after, generation());
    // One transaction is one generation, 0 is left out; a batch that changed nothing is none. Anything else: somebody
    // was in between, and the next observation reads.
    const std::uint32_t next = before + 1 == 0 ? 1 : before + 1;
    if (after == next || after == before) {
        known_ = after;
        if (generations_ != nullptr && after == next) {
            generations_->note_own(after);
        }
    }
    return {};
}

}  // namespace bascule::kernel::os
