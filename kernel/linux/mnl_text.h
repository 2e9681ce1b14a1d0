// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <libmnl/libmnl.h>

#include <cstring>
#include <string>

namespace bascule::kernel::os {

// The text of an attribute, which the kernel may or may not have ended; empty for null.
inline std::string text_of(const nlattr* attribute) {
    if (attribute == nullptr) {
        return {};
    }
    const char* const text = mnl_attr_get_str(attribute);
    return {text, ::strnlen(text, mnl_attr_get_payload_len(attribute))};
}

}  // namespace bascule::kernel::os
