// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/secrets.h"

#include <cstring>

#include <fmt/format.h>

namespace bascule::daemon {

namespace {

constexpr const char* kFolder = "/etc/bascule/secrets";
constexpr std::size_t kMostDocument = 65536, kMostValue = 65536;
constexpr std::string_view kDocument = ".xml", kValue = ".value";

std::string path_of(const Uuid& uuid, std::string_view suffix) {
    return fmt::format("{}/{}{}", kFolder, bascule::format(uuid), suffix);
}

}  // namespace

void SecretValue::forget(Bytes& bytes) {
    if (!bytes.empty()) {
        ::explicit_bzero(bytes.data(), bytes.size());
    }
}
void SecretValue::forget(std::string& text) { ::explicit_bzero(text.data(), text.size()); }

SecretValue& SecretValue::operator=(SecretValue&& other) noexcept {
    if (this != &other) {
        forget(bytes_);
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

// ---- from the disk ------------------------------------------------------------------------------

Result<void> Secrets::read_file(const std::string& name) {
    TRY(const std::string text, files_.read(std::string(kFolder) + "/" + name, kMostDocument));
    TRY(SecretSpec spec, parse_secret(text));
    if (bascule::format(spec.uuid) + std::string(kDocument) != name) {
        return fail(Code::invalid_xml, fmt::format("the secret's uuid is {}, but the file's name says otherwise",
                                                   bascule::format(spec.uuid)));
    }
    TRY_OK(check_usage(spec));
    Secret& secret = secrets_[spec.uuid];
    secret.has_value = files_.exists(path_of(spec.uuid, kValue));
    secret.spec = std::move(spec);
    return {};
}

std::vector<std::string> Secrets::load() {
    std::vector<std::string> problems;
    const auto names = files_.list(kFolder);
    if (!names) {
        return {names.error().message};
    }
    for (const std::string& name : *names) {
        if (!name.ends_with(kDocument)) {
            continue;
        }
        if (auto done = read_file(name); !done) {
            const std::string path = files_.real(std::string(kFolder) + "/" + name);
            problems.push_back(located(path, std::move(done).error()).message);
        }
    }
    return problems;
}

// ---- looking up ---------------------------------------------------------------------------------

Result<const Secret*> Secrets::by_uuid(const Uuid& uuid) const {
    const auto it = secrets_.find(uuid);
    if (it == secrets_.end()) {
        return fail(Code::no_secret, fmt::format("no secret with matching uuid '{}'", bascule::format(uuid)));
    }
    return &it->second;
}

Result<const Secret*> Secrets::by_usage(SecretSpec::Usage usage, const std::string& id) const {
    for (const auto& [uuid, secret] : secrets_) {
        if (usage != SecretSpec::Usage::none && secret.spec.usage == usage && secret.spec.usage_id == id) {
            return &secret;
        }
    }
    return fail(Code::no_secret, fmt::format("no secret with matching usage '{}'", id));
}

std::vector<const Secret*> Secrets::all() const {
    std::vector<const Secret*> out;
    for (const auto& [uuid, secret] : secrets_) {
        out.push_back(&secret);
    }
    return out;
}

// ---- the use cases ------------------------------------------------------------------------------

// A use has one secret, and a secret one use.
Result<void> Secrets::check_usage(const SecretSpec& spec) const {
    const auto same = by_usage(spec.usage, spec.usage_id);
    if (same && (*same)->spec.uuid != spec.uuid) {
        return fail(Code::internal, fmt::format("secret with UUID {} is already defined for use with {}",
                                                bascule::format((*same)->spec.uuid), spec.usage_id));
    }
    return {};
}

Result<const Secret*> Secrets::define(std::string_view xml) {
    TRY(SecretSpec spec, parse_secret(xml));
    if (spec.uuid.is_nil()) {
        const auto same = by_usage(spec.usage, spec.usage_id);
        spec.uuid = same ? (*same)->spec.uuid : Uuid::random();
    }
    TRY_OK(check_usage(spec));
    const auto known = secrets_.find(spec.uuid);
    if (known != secrets_.end()) {
        const SecretSpec& former = known->second.spec;
        if (former.usage != spec.usage || former.usage_id != spec.usage_id) {
            return fail(Code::internal, fmt::format("a secret with UUID {} is already defined for use with {}",
                                                    bascule::format(spec.uuid), former.usage_id));
        }
        if (former.is_private && !spec.is_private) {
            return fail(Code::read_only, "cannot change private flag on existing secret");
        }
        if (former.ephemeral != spec.ephemeral && known->second.has_value) {
            return fail(Code::invalid_state,
                        "whether a secret is ephemeral cannot change while it has a value: undefine it first");
        }
    }
    if (!spec.ephemeral) {
        TRY_OK(files_.write(path_of(spec.uuid, kDocument), format(spec), 0600));
    } else {
        TRY_OK(files_.remove(path_of(spec.uuid, kDocument)));  // of a former definition
    }
    Secret& secret = secrets_[spec.uuid];
    secret.spec = std::move(spec);
    tell_({.spec = secret.spec, .event = kDefined});
    return &secret;
}

Result<void> Secrets::undefine(const Uuid& uuid) {
    TRY(const Secret* const found, by_uuid(uuid));
    const SecretSpec spec = found->spec;
    TRY_OK(files_.remove(path_of(uuid, kValue)));
    TRY_OK(files_.remove(path_of(uuid, kDocument)));
    secrets_.erase(uuid);
    tell_({.spec = spec, .event = kUndefined});
    return {};
}

Result<void> Secrets::set_value(const Uuid& uuid, ByteView value) {
    TRY(const Secret* const found, by_uuid(uuid));
    Secret& secret = secrets_.at(found->spec.uuid);
    if (secret.spec.ephemeral) {
        secret.value = SecretValue(value);
    } else {
        TRY_OK(files_.write(path_of(uuid, kValue), as_text(value), 0600));
    }
    secret.has_value = true;
    tell_({.spec = secret.spec, .value_changed = true});
    return {};
}

Result<SecretValue> Secrets::value(const Uuid& uuid) const {
    TRY(const Secret* const secret, by_uuid(uuid));
    if (!secret->has_value) {
        return fail(Code::no_secret, fmt::format("secret '{}' does not have a value", bascule::format(uuid)));
    }
    if (secret->spec.ephemeral) {
        return SecretValue(secret->value.bytes());
    }
    TRY(std::string text, files_.read(path_of(uuid, kValue), kMostValue));
    SecretValue out(as_bytes(text));
    SecretValue::forget(text);
    return out;
}

Result<SecretValue> Secrets::value_for_client(const Uuid& uuid) const {
    TRY(const Secret* const secret, by_uuid(uuid));
    if (secret->spec.is_private) {
        return fail(Code::invalid_secret, "secret is private");
    }
    return value(uuid);
}

}  // namespace bascule::daemon
