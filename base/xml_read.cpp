// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/xml_read.h"

#include <fmt/format.h>

#include "base/names.h"

namespace bascule::xml {

namespace {

// The closest of the known names, when it is close enough to be a slip of the finger.
std::string did_you_mean(std::string_view got, const std::set<std::string, std::less<>>& known) {
    const std::string* best = nullptr;
    std::size_t best_distance = got.size() / 3 + 2;
    for (const std::string& name : known) {
        const std::size_t distance = edit_distance(got, name);
        if (distance < best_distance) {
            best = &name;
            best_distance = distance;
        }
    }
    return best == nullptr ? std::string() : *best;
}

}  // namespace

std::string worded(const Fault& f) {
    std::string where = f.attribute.empty() ? fmt::format("line {}: <{}>", f.line, f.element)
                                            : fmt::format("line {}: <{} {}>", f.line, f.element, f.attribute);
    switch (f.kind) {
        case Fault::Kind::missing:
            return f.attribute.empty() ? fmt::format("{}: is missing (expected {})", where, f.expected)
                                       : fmt::format("{}: the attribute is missing (expected {})", where, f.expected);
        case Fault::Kind::malformed: return fmt::format("{}: expected {}, got '{}'", where, f.expected, f.got);
        case Fault::Kind::inconsistent:
            return f.got.empty() ? fmt::format("{}: {}", where, f.expected)
                                 : fmt::format("{}: {}, got '{}'", where, f.expected, f.got);
        case Fault::Kind::unknown_attribute:
        case Fault::Kind::unknown_element: {
            const std::string_view what = f.kind == Fault::Kind::unknown_attribute ? "attribute" : "element";
            return f.expected.empty() ? fmt::format("{}: this {} is not supported", where, what)
                                      : fmt::format("{}: unknown {}, did you mean '{}'?", where, what, f.expected);
        }
        case Fault::Kind::not_supported:
            return f.expected.empty() ? fmt::format("{}: not supported by this version", where)
                                      : fmt::format("{}: not supported by this version ({})", where, f.expected);
        case Fault::Kind::repeated: return fmt::format("{}: may stand here only once", where);
    }
    return where;
}

Error to_error(const Fault& f) {
    const bool unsupported = f.kind == Fault::Kind::not_supported || f.kind == Fault::Kind::unknown_attribute ||
                             f.kind == Fault::Kind::unknown_element;
    return {unsupported ? Code::unsupported_config : Code::invalid_xml, worded(f), 0};
}

const std::string* Reader::raw_attr(std::string_view attr) {
    known_attrs_.emplace(attr);
    return node_.attr(attr);
}

const Node* Reader::child(std::string_view name) {
    const auto found = children(name);
    if (found.size() > 1 && ok()) {
        fault_ = Fault{Fault::Kind::repeated, found[1]->line, found[1]->name, {}, {}, {}};
    }
    return found.empty() ? nullptr : found.front();
}

const Node* Reader::req_child(std::string_view name) {
    const Node* const node = child(name);
    if (node == nullptr && ok()) {
        fault_ = Fault{Fault::Kind::missing, node_.line, node_.name, {}, fmt::format("an element <{}>", name), {}};
    }
    return node;
}

std::vector<const Node*> Reader::children(std::string_view name) {
    known_children_.emplace(name);
    std::vector<const Node*> out;
    for (const Node& node : node_.children) {
        if (node.ns.empty() && node.name == name) {
            out.push_back(&node);
        }
    }
    return out;
}

std::vector<const Node*> Reader::foreign(std::string_view ns, std::string_view name) {
    known_foreign_.insert(fmt::format("{} {}", ns, name));
    std::vector<const Node*> out;
    for (const Node& node : node_.children) {
        if (node.ns == ns && node.name == name) {
            out.push_back(&node);
        }
    }
    return out;
}

void Reader::not_supported_attr(std::string_view attr, std::string_view why) {
    if (raw_attr(attr) != nullptr && ok()) {
        report(Fault::Kind::not_supported, attr, why, {});
    }
}

void Reader::not_supported_child(std::string_view name, std::string_view why) {
    const auto found = children(name);
    if (!found.empty() && ok()) {
        fault_ = Fault{Fault::Kind::not_supported, found[0]->line, found[0]->name, {}, std::string(why), {}};
    }
}

void Reader::report(Fault::Kind kind, std::string_view attr, std::string_view expected, std::string_view got) {
    if (ok()) {
        fault_ = Fault{kind, node_.line, node_.name, std::string(attr), std::string(expected), std::string(got)};
    }
}

void Reader::report_error(Error error) {
    if (ok()) {
        error_ = std::move(error);
    }
}

Result<void> Reader::finish() {
    if (error_) {
        return std::unexpected(*error_);
    }
    if (fault_) {
        return std::unexpected(to_error(*fault_));
    }
    for (const auto& [name, value] : node_.attrs) {
        if (!known_attrs_.contains(name)) {
            return std::unexpected(to_error({Fault::Kind::unknown_attribute, node_.line, node_.name, name,
                                             did_you_mean(name, known_attrs_), value}));
        }
    }
    for (const Node& child : node_.children) {
        if (known_foreign_.contains(fmt::format("{} {}", child.ns, child.name))) {
            continue;
        }
        if (!child.ns.empty()) {
            return std::unexpected(to_error({Fault::Kind::not_supported,
                                             child.line,
                                             child.prefix.empty() ? child.name : child.prefix + ":" + child.name,
                                             {},
                                             "elements of the namespace " + child.ns,
                                             {}}));
        }
        if (!known_children_.contains(child.name)) {
            return std::unexpected(to_error({Fault::Kind::unknown_element,
                                             child.line,
                                             child.name,
                                             {},
                                             did_you_mean(child.name, known_children_),
                                             {}}));
        }
    }
    return {};
}

}  // namespace bascule::xml
