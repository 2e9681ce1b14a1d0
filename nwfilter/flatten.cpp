// SPDX-License-Identifier: GPL-2.0-or-later
#include "nwfilter/flatten.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace bascule::nwfilter {

namespace {

// References to references multiply; the stock filters give 30 rules.
constexpr std::size_t kMaxRules = 4096;
constexpr std::size_t kMaxReferences = 4096;
// An nft comment holds 127 bytes.
constexpr std::size_t kMaxOriginName = 100;

std::string joined(const std::vector<std::string>& path, const std::string& last) {
    std::string out;
    for (const std::string& name : path) {
        out += name + " -> ";
    }
    return out + last;
}

std::unexpected<Error> loop(const std::vector<std::string>& path, const std::string& name) {
    const auto start = std::ranges::find(path, name);
    return fail(Code::invalid_argument, fmt::format("filter {}: references form a loop: {}", name,
                                                    joined(std::vector<std::string>(start, path.end()), name)));
}

class Flattener {
public:
    explicit Flattener(const Lookup& lookup) : lookup_(lookup) {}

    Result<void> add(const std::string& name, Parameters scope) {
        if (std::ranges::find(path_, name) != path_.end()) {
            return loop(path_, name);
        }
        const Filter* const filter = lookup_(name);
        if (filter == nullptr) {
            return fail(Code::no_nwfilter,
                        path_.empty() ? fmt::format("filter {} is not defined", name)
                                      : fmt::format("filter {} is not defined ({})", name, joined(path_, name)));
        }
        if (++references_ > kMaxReferences) {
            return fail(Code::unsupported_config,
                        fmt::format("filter {}: more than {} references in one tree", name, kMaxReferences));
        }
        flat_.filters.insert(name);
        path_.push_back(name);
        TRY_OK(add_entries(*filter, std::move(scope)));
        path_.pop_back();
        return {};
    }

    Flat take() { return std::move(flat_); }

private:
    Result<void> add_entries(const Filter& filter, Parameters scope) {
        const std::size_t at = flat_.scopes.size();
        flat_.scopes.push_back(std::move(scope));
        unsigned number = 0;
        for (const auto& entry : filter.entries) {
            if (const auto* const rule = std::get_if<Rule>(&entry)) {
                flat_.rules.push_back({rule, &filter, ++number, at});
                if (flat_.rules.size() > kMaxRules) {
                    return fail(Code::unsupported_config,
                                fmt::format("filter {}: more than {} rules in one tree", filter.name, kMaxRules));
                }
                continue;
            }
            const auto& reference = std::get<Reference>(entry);
            Parameters inner = flat_.scopes[at];
            inner.insert(reference.parameters.begin(), reference.parameters.end());  // keeps what is there
            TRY_OK(add(reference.filter, std::move(inner)));
        }
        return {};
    }

    const Lookup& lookup_;
    Flat flat_;
    std::vector<std::string> path_;
    std::size_t references_ = 0;
};

// A filter that is being defined may not be what the look-up knows by that name.
Result<void> collect(const Filter& filter, const Lookup& lookup, std::vector<std::string>& path,
                     std::set<std::string>& seen) {
    seen.insert(filter.name);
    path.push_back(filter.name);
    for (const auto& entry : filter.entries) {
        const auto* const reference = std::get_if<Reference>(&entry);
        if (reference == nullptr) {
            continue;
        }
        if (std::ranges::find(path, reference->filter) != path.end()) {
            return loop(path, reference->filter);
        }
        const Filter* const next = lookup(reference->filter);
        if (next != nullptr && !seen.contains(reference->filter)) {
            TRY_OK(collect(*next, lookup, path, seen));
        }
    }
    path.pop_back();
    return {};
}

}  // namespace

std::string FlatRule::origin() const {
    // A comment is nft text between double quotes, without a way to escape them.
    std::string name = filter->name.substr(0, kMaxOriginName);
    std::ranges::replace_if(name, [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; }, '?');
    return fmt::format("{}/rule {}", name, number);
}

Result<Flat> flatten(const std::string& filter, const Lookup& lookup) {
    Flattener flattener(lookup);
    TRY_OK(flattener.add(filter, {}));
    return flattener.take();
}

Result<std::set<std::string>> reach(const Filter& filter, const Lookup& lookup) {
    std::vector<std::string> path;
    std::set<std::string> seen;
    TRY_OK(collect(filter, lookup, path, seen));
    return seen;
}

std::optional<RuleOrigin> origin_of(std::string_view comment) {
    constexpr std::string_view kRule = "/rule ";
    const auto at = comment.rfind(kRule);
    if (at == std::string_view::npos || at == 0) {
        return std::nullopt;
    }
    const std::string_view digits = comment.substr(at + kRule.size());
    RuleOrigin origin{std::string(comment.substr(0, at)), 0};
    const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), origin.rule);
    const bool whole = ec == std::errc() && stop == digits.data() + digits.size();
    return whole ? std::optional(origin) : std::nullopt;
}

}  // namespace bascule::nwfilter
