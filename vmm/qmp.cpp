// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/qmp.h"

#include <optional>

#include <fmt/format.h>

namespace bascule::vmm::qmp {

namespace {

// Counted before parsing, so that the parser never meets more.
bool too_deep(std::string_view line) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (in_string) {
            i += c == '\\' ? 1 : 0;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > kMaxDepth) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

std::uint64_t small_number(const Json* value) {
    return value != nullptr && value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
}

// {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, …}, "capabilities": […]}}
Result<Message> greeting(const Json& qmp) {
    const Json* const version = member_of(qmp, "version");
    const Json* const qemu = version == nullptr ? nullptr : member_of(*version, "qemu");
    if (qemu == nullptr || !qemu->is_object()) {
        return fail(Code::malformed, "a greeting without a version");
    }
    return Greeting{fmt::format("{}.{}.{}", small_number(member_of(*qemu, "major")),
                                small_number(member_of(*qemu, "minor")), small_number(member_of(*qemu, "micro")))};
}

Result<Message> event(const Json& object, const Json& name) {
    const Json* const data = member_of(object, "data");
    if (!name.is_string() || (data != nullptr && !data->is_object())) {
        return fail(Code::malformed, "an event without a name or with data that are no object");
    }
    return Event{printable(name.get_ref<const std::string&>(), 100), data == nullptr ? Json::object() : *data};
}

Result<Message> decode(std::string_view line) {
    TRY(const Json object, parse_object(line));
    if (const Json* const qmp = member_of(object, "QMP")) {
        return greeting(*qmp);
    }
    if (const Json* const name = member_of(object, "event")) {
        return event(object, *name);
    }
    const Json* const id = member_of(object, "id");
    const Json* const value = member_of(object, "return");
    const Json* const error = member_of(object, "error");
    if ((value == nullptr) == (error == nullptr)) {
        return fail(Code::malformed, fmt::format("neither greeting, event nor answer: '{}'", printable(line, 80)));
    }
    // An error without an id answers something that QEMU could not even parse: our own fault, and fatal.
    if (id == nullptr || !id->is_number_unsigned()) {
        return fail(Code::malformed, fmt::format("an answer without our id: '{}'", printable(line, 200)));
    }
    if (value != nullptr) {
        return Reply{id->get<std::uint64_t>(), *value};
    }
    return Refusal{id->get<std::uint64_t>(), printable(text_of(*error, "class"), 100),
                   printable(text_of(*error, "desc"))};
}

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

Result<std::vector<Message>> Decoder::feed(ByteView bytes) {
    std::vector<Message> out;
    std::string_view rest = as_text(bytes);
    while (broken_.empty() && !rest.empty()) {
        const auto end = rest.find('\n');
        line_ += rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (line_.size() > kMaxLine) {
            broken_ = fmt::format("QEMU's monitor sent a line of more than {} bytes", kMaxLine);
        } else if (end != std::string_view::npos) {
            if (!blank(line_)) {
                auto message = decode(line_);
                if (message) {
                    out.push_back(std::move(*message));
                } else {
                    broken_ = "QEMU's monitor does not speak QMP: " + message.error().message;
                }
            }
            line_.clear();
        }
    }
    if (!broken_.empty()) {
        line_.clear();
        line_.shrink_to_fit();
        if (out.empty()) {
            return fail(Code::malformed, broken_);
        }
    }
    return out;
}

std::string command(std::uint64_t id, std::string_view name, const Json& arguments) {
    Json object = {{"execute", std::string(name)}, {"id", id}};
    if (!arguments.is_null()) {
        object["arguments"] = arguments;
    }
    return object.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

Result<Json> parse_object(std::string_view line) {
    if (too_deep(line)) {
        return fail(Code::malformed, fmt::format("more than {} levels of JSON", kMaxDepth));
    }
    Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
        return fail(Code::malformed, fmt::format("not a JSON object: '{}'", printable(line, 80)));
    }
    return object;
}

const Json* member_of(const Json& object, std::string_view name) {
    if (!object.is_object()) {
        return nullptr;
    }
    const auto it = object.find(name);
    return it == object.end() ? nullptr : &*it;
}

std::optional<std::uint64_t> unsigned_of(const Json& object, std::string_view name) {
    const Json* const value = member_of(object, name);
    return value != nullptr && value->is_number_unsigned() ? std::optional(value->get<std::uint64_t>()) : std::nullopt;
}

std::string text_of(const Json& object, std::string_view member) {
    const Json* const value = member_of(object, member);
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

bool flag_of(const Json& object, std::string_view member) {
    const Json* const value = member_of(object, member);
    return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::string printable(std::string_view text, std::size_t limit) {
    const bool clipped = text.size() > limit;
    while (clipped && limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) {
        --limit;  // not inside a character
    }
    std::string out;
    for (const char c : text.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte == 0x7f ? ' ' : c;
    }
    return clipped ? out + "…" : out;
}

}  // namespace bascule::vmm::qmp
