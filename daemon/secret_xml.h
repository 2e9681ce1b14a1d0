// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/names.h"
#include "base/result.h"

namespace bascule::daemon {

// A <secret>: what there is to know about a value, without the value.
struct SecretSpec {
    // virSecretUsageType
    enum class Usage { none = 0, volume = 1, ceph = 2, iscsi = 3, tls = 4, vtpm = 5 };

    Uuid uuid{};              // nil: none was given
    bool ephemeral = false;   // the value is never on the disk
    bool is_private = false;  // the value is given to nobody but guests' own devices
    std::string description{};
    Usage usage = Usage::none;
    std::string usage_id{};
    bool operator==(const SecretSpec&) const = default;
};

Result<SecretSpec> parse_secret(std::string_view text);
std::string format(const SecretSpec& secret);

}  // namespace bascule::daemon
