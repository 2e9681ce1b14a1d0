// SPDX-License-Identifier: GPL-2.0-or-later
// The syntax of bascule.conf, which is the peer's (libvirt's virconf): `key = "text"`, `key = 'text'`, `key = 7`,
// `key = true`, `key = [ "a", "b" ]` over any number of lines, '#' comments. What keys mean is daemon/config.h's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bascule::daemon {

struct ConfigValue {
    enum class Kind { text, word, list };  // quoted; a number, true or false; a list of quoted texts
    Kind kind = Kind::word;
    std::string text;               // of text and word
    std::vector<std::string> list;  // of list
};

struct ConfigEntry {
    int line = 0;  // of the key
    std::string key;
    ConfigValue value;
};

// Errors read "FILE:LINE: …" or "FILE:LINE: KEY: …".
Result<std::vector<ConfigEntry>> read_entries(std::string_view text, const std::string& file);

}  // namespace bascule::daemon
