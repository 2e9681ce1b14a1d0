// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/nft_counters.h"

#include <nftables/libnftables.h>

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace bascule::kernel::os {

namespace {

using Json = nlohmann::json;

struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

std::unexpected<Error> odd(std::string_view what) {
    return fail(Code::malformed, fmt::format("nft's listing of counters: {}", what));
}

const Json* member(const Json& object, const char* name) {
    const auto found = object.is_object() ? object.find(name) : object.end();
    return object.is_object() && found != object.end() ? &*found : nullptr;
}

std::uint64_t number(const Json& object, const char* name) {
    const Json* const value = member(object, name);
    return value != nullptr && value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
}

// {"elem": {"val": {"concat": ["vnet0", 5]}, "counter": {"packets": 3, "bytes": 84}}}
Result<Counted> read_counter(const Json& item) {
    const Json* const inside = member(item, "elem");
    const Json* const value = inside == nullptr ? nullptr : member(*inside, "val");
    const Json* const fields = value == nullptr ? nullptr : member(*value, "concat");
    const Json* const counter = inside == nullptr ? nullptr : member(*inside, "counter");
    if (fields == nullptr || !fields->is_array() || counter == nullptr) {
        return odd("an element without its key or counter");
    }
    Counted out{.key = {}, .packets = number(*counter, "packets"), .bytes = number(*counter, "bytes")};
    for (const Json& field : *fields) {
        if (field.is_string()) {
            out.key.push_back(field.get<std::string>());
        } else if (field.is_number_unsigned()) {
            out.key.push_back(fmt::format("{}", field.get<std::uint64_t>()));
        } else {
            return odd("a key of an unknown kind");
        }
    }
    return out;
}

}  // namespace

Result<std::vector<Counted>> parse_counters(std::string_view json) {
    const Json all = Json::parse(json, nullptr, false);
    const Json* const objects = member(all, "nftables");
    if (objects == nullptr || !objects->is_array()) {
        return odd("no array \"nftables\"");
    }
    std::vector<Counted> out;
    for (const Json& object : *objects) {
        const Json* const set = member(object, "set");
        const Json* const items = set == nullptr ? nullptr : member(*set, "elem");
        if (items == nullptr || !items->is_array()) {
            continue;
        }
        for (const Json& item : *items) {
            TRY(Counted counted, read_counter(item));
            out.push_back(std::move(counted));
        }
    }
    return out;
}

Result<std::vector<Counted>> counters_of(std::string_view set) {
    const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!context) {
        return fail(Code::system, "nftables: opening libnftables");
    }
    nft_ctx_buffer_output(context.get());
    nft_ctx_buffer_error(context.get());
    nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON);
    const std::string command = fmt::format("list set bridge bascule {}", set);
    if (nft_run_cmd_from_buffer(context.get(), command.c_str()) == 0) {
        return parse_counters(nft_ctx_get_output_buffer(context.get()));
    }
    const std::string words = nft_ctx_get_error_buffer(context.get());
    if (words.contains("No such file or directory")) {
        return std::vector<Counted>{};
    }
    return fail(Code::system, fmt::format("nft {}: {}", command, words.substr(0, words.find('\n'))));
}

}  // namespace bascule::kernel::os
