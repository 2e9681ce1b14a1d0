// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/agent.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace bascule::vmm::agent {

using qmp::Json;

namespace {

constexpr char kSentinel = '\xff';
constexpr std::size_t kMostName = 255;

std::string line_of(std::string_view name, const Json& arguments) {
    Json object = {{"execute", std::string(name)}};
    if (!arguments.is_null()) {
        object["arguments"] = arguments;
    }
    return object.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

// "fe80::1%7", as guests with Windows write it, too.
Result<IpInterface> address_from(const Json& object) {
    const std::string text = qmp::text_of(object, "ip-address");
    const auto address = parse_ip(std::string_view(text).substr(0, text.find('%')));
    const auto prefix = object.is_object() ? object.find("prefix") : object.end();
    if (!address) {
        return fail(Code::malformed, fmt::format("'{}' is no address", qmp::printable(text, 80)));
    }
    if (prefix == object.end()) {
        return IpInterface{*address, address->bits()};
    }
    if (!prefix->is_number_unsigned() || prefix->get<std::uint64_t>() > address->bits()) {
        return fail(Code::malformed, fmt::format("{} has no prefix length", format(*address)));
    }
    return IpInterface{*address, prefix->get<unsigned>()};
}

}  // namespace

Exchange::Exchange(std::uint32_t id, std::string_view command, const Json& arguments)
    : id_(id), name_(command), command_(line_of(command, arguments)) {}

std::string Exchange::opening() const { return kSentinel + line_of("guest-sync-delimited", {{"id", id_}}); }

Result<Exchange::Next> Exchange::feed(ByteView bytes) {
    taken_ += bytes.size();
    if (taken_ > kMaxBytes) {
        return fail(Code::malformed, fmt::format("the guest's agent sent more than {} bytes", kMaxBytes));
    }
    Next next;
    for (std::string_view rest = as_text(bytes); !rest.empty() && !next.answer;) {
        if (phase_ == Phase::noise) {
            const auto sentinel = rest.find(kSentinel);
            if (sentinel == std::string_view::npos) {
                break;
            }
            rest.remove_prefix(sentinel + 1);
            phase_ = Phase::syncing;
            continue;
        }
        const auto end = rest.find('\n');
        std::string_view part = rest.substr(0, end);
        // Whatever is before the last of them is the beginning of an answer to somebody else.
        if (const auto sentinel = part.rfind(kSentinel);
            phase_ == Phase::syncing && sentinel != std::string_view::npos) {
            part.remove_prefix(sentinel + 1);
            line_.clear();
        }
        line_ += part;
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (line_.size() > qmp::kMaxLine) {
            return fail(Code::malformed,
                        fmt::format("the guest's agent sent a line of more than {} bytes", qmp::kMaxLine));
        }
        if (end != std::string_view::npos) {
            TRY(Next step, take_line(std::exchange(line_, {})));
            next.send += step.send;
            next.answer = std::move(step.answer);
        }
    }
    return next;
}

Result<Exchange::Next> Exchange::take_line(const std::string& line) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
        return Next{};
    }
    const auto object = qmp::parse_object(line);
    const auto value = object ? object->find("return") : Json::const_iterator();
    const bool returned = object && value != object->end();
    if (phase_ == Phase::syncing) {
        const bool ours = returned && value->is_number_unsigned() && value->get<std::uint64_t>() == id_;
        phase_ = ours ? Phase::asked : Phase::noise;
        return Next{.send = ours ? command_ : std::string()};
    }
    if (!object) {
        return fail(Code::malformed, "the guest's agent does not speak its protocol: " + object.error().message);
    }
    if (returned) {
        return Next{.send = {}, .answer = *value};
    }
    const auto error = object->find("error");
    if (error == object->end()) {
        return fail(Code::malformed, "the guest's agent answers neither with a value nor with an error");
    }
    const std::string kind = qmp::text_of(*error, "class");
    return fail(kind == "CommandNotFound" || kind == "CommandDisabled" ? Code::unsupported : Code::internal,
                fmt::format("unable to execute QEMU agent command '{}': {}", qmp::printable(name_, 100),
                            qmp::printable(qmp::text_of(*error, "desc"))));
}

Result<std::vector<Interface>> interfaces_from(const Json& answer) {
    if (!answer.is_array()) {
        return fail(Code::malformed, "the guest's agent lists no interfaces");
    }
    std::vector<Interface> out;
    for (const Json& object : answer) {
        std::string name = qmp::printable(qmp::text_of(object, "name"), kMostName);
        if (name.empty()) {
            return fail(Code::malformed, "the guest's agent names an interface without a name");
        }
        name.resize(std::min(name.size(), name.find(':')));  // "eth0:1" is another address of eth0
        auto same = std::ranges::find(out, name, &Interface::name);
        if (same == out.end()) {
            if (out.size() == kMostInterfaces) {
                continue;
            }
            same = out.insert(out.end(), {.name = name, .mac = parse_mac(qmp::text_of(object, "hardware-address"))});
        }
        const auto list = object.find("ip-addresses");
        if (list == object.end()) {
            continue;
        }
        if (!list->is_array()) {
            return fail(Code::malformed, fmt::format("interface {}: no list of addresses", name));
        }
        for (const Json& one : *list) {
            auto address = address_from(one);
            if (!address) {
                return std::unexpected(std::move(address).error().in("interface " + name));
            }
            if (same->addresses.size() < kMostAddresses) {
                same->addresses.push_back(*address);
            }
        }
    }
    return out;
}

}  // namespace bascule::vmm::agent
