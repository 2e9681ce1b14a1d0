// SPDX-License-Identifier: GPL-2.0-or-later
// XML documents as plain values, and text from them. xml.cpp is the only user of libxml2: no DTDs, no
// entities, no network, at most 64 levels and 4 MiB.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace bascule::xml {

struct Node {
    std::string name;    // local name
    std::string ns;      // namespace URI, empty for none
    std::string prefix;  // as written, empty for none
    int line = 0;
    std::vector<std::pair<std::string, std::string>> attrs;  // in document order
    std::string text;                                        // own character data, trimmed
    std::vector<Node> children;                              // elements only
    std::string raw;  // the element as text; kept only for children of <metadata>

    const std::string* attr(std::string_view wanted) const;
    const Node* child(std::string_view wanted) const;  // the first with no namespace
};

// The root element. Code::xml_syntax with "line N: …" when it is not well-formed.
Result<Node> parse(std::string_view text);

// Builds indented text, attributes in single quotes as libvirt writes them.
//   Writer w; w.open("network"); w.leaf("name", "default"); w.empty("bridge", {{"name", "virbr0"}});
//   w.close(); w.take()
class Writer {
public:
    using Attrs = std::vector<std::pair<std::string_view, std::string>>;

    void open(std::string_view name, const Attrs& attrs = {});
    void close();
    void empty(std::string_view name, const Attrs& attrs = {});                        // <name …/>
    void leaf(std::string_view name, std::string_view text, const Attrs& attrs = {});  // <name>text</name>
    void raw(std::string_view xml);  // well-formed text, indented as it came
    std::string take();

private:
    void begin(std::string_view name, const Attrs& attrs);

    std::string out_;
    std::vector<std::string> open_;
};

std::string escape(std::string_view text);

}  // namespace bascule::xml
