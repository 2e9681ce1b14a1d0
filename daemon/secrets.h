// SPDX-License-Identifier: GPL-2.0-or-later
// Passwords and keys that guests' devices need: what for is in a document, the value beside it, in a file that only
// root reads. An ephemeral secret is in memory only; a private one's value is given to no client. Memory that held a
// value is overwritten before it is let go.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "daemon/host.h"
#include "daemon/secret_xml.h"
#include "daemon/store.h"

namespace bascule::daemon {

class SecretValue {
public:
    SecretValue() = default;
    explicit SecretValue(ByteView bytes) : bytes_(bytes.begin(), bytes.end()) {}
    SecretValue(SecretValue&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    SecretValue& operator=(SecretValue&& other) noexcept;
    ~SecretValue() { forget(bytes_); }

    ByteView bytes() const { return bytes_; }
    // Overwrites what it holds, in a way that the compiler keeps.
    static void forget(Bytes& bytes);
    static void forget(std::string& text);

private:
    Bytes bytes_;
};

struct Secret {
    SecretSpec spec;
    bool has_value = false;
    SecretValue value{};  // of an ephemeral one; others are read when somebody asks
};

struct SecretEvent {
    SecretSpec spec;
    bool value_changed = false;  // else `event` of its life
    int event = 0;               // virSecretEventLifecycleType
};

class Secrets {
public:
    static constexpr int kDefined = 0, kUndefined = 1;
    using Tell = std::function<void(const SecretEvent&)>;

    Secrets(Host& host, Tell tell) : files_(host.files), tell_(std::move(tell)) {}

    std::vector<std::string> load();  // problems

    Result<const Secret*> define(std::string_view xml);
    Result<void> undefine(const Uuid& uuid);
    Result<void> set_value(const Uuid& uuid, ByteView value);
    // What a client may have: not a private one's.
    Result<SecretValue> value_for_client(const Uuid& uuid) const;
    // What a guest's device needs.
    Result<SecretValue> value(const Uuid& uuid) const;

    Result<const Secret*> by_uuid(const Uuid& uuid) const;
    Result<const Secret*> by_usage(SecretSpec::Usage usage, const std::string& id) const;
    std::vector<const Secret*> all() const;

private:
    Result<void> read_file(const std::string& name);
    Result<void> check_usage(const SecretSpec& spec) const;

    kernel::FileTree& files_;
    Tell tell_;
    std::map<Uuid, Secret> secrets_;
};

}  // namespace bascule::daemon
