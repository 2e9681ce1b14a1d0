// SPDX-License-Identifier: GPL-2.0-or-later
// What the access check reads of a document is what the parser reads of it, or the document is refused.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/xml.h"
#include "daemon/access_peek.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace bascule;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto peeked = daemon::peek_xml(text);
    const auto full = xml::parse(text);
    if (!peeked || !full) {
        return 0;
    }
    const auto same = [&](const char* child, const std::optional<std::string>& seen) {
        const xml::Node* const node = full->child(child);
        if (node != nullptr && (!seen || *seen != node->text)) {
            std::abort();
        }
    };
    if (full->name == "interface") {
        const std::string* const name = full->attr("name");
        if (name != nullptr && peeked->name != *name) {
            std::abort();
        }
    } else {
        same("name", peeked->name);
    }
    same("uuid", peeked->uuid);
    const xml::Node* const port = full->child("portdev");
    const std::string* const name = port != nullptr ? port->attr("name") : nullptr;
    if (name != nullptr && peeked->portdev != *name) {
        std::abort();
    }
    return 0;
}
