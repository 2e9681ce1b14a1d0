// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>

#include <memory>

#include <fmt/format.h>

namespace bascule::xml {

namespace {

constexpr std::size_t kMaxBytes = 4U << 20;
constexpr int kMaxDepth = 64;

struct FreeDoc {
    void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
};
struct FreeContext {
    void operator()(xmlParserCtxt* context) const { xmlFreeParserCtxt(context); }
};
struct FreeBuffer {
    void operator()(xmlBuffer* buffer) const { xmlBufferFree(buffer); }
};

std::string text_of(const xmlChar* text) {
    return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto first = text.find_first_not_of(kSpace);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

void silent(void* /*context*/, const char* /*format*/, ...) {}

std::string dump(xmlDoc* doc, xmlNode* node) {
    const std::unique_ptr<xmlBuffer, FreeBuffer> buffer(xmlBufferCreate());
    xmlNodeDump(buffer.get(), doc, node, 0, 0);
    return text_of(xmlBufferContent(buffer.get()));
}

// Namespaces declared further up are needed when the element stands alone.
std::string dump_alone(xmlDoc* doc, xmlNode* node) {
    xmlNode* const copy = xmlCopyNode(node, 1);
    if (copy == nullptr) {
        return {};
    }
    xmlReconciliateNs(doc, copy);
    std::string out = dump(doc, copy);
    xmlFreeNode(copy);
    return out;
}

Result<Node> convert(xmlDoc* doc, xmlNode* from, int depth) {
    Node node;
    node.name = text_of(from->name);
    node.line = static_cast<int>(xmlGetLineNo(from));
    if (from->ns != nullptr) {
        node.ns = text_of(from->ns->href);
        node.prefix = text_of(from->ns->prefix);
    }
    if (depth > kMaxDepth) {
        return fail(Code::invalid_xml,
                    fmt::format("line {}: <{}>: more than {} levels of elements", node.line, node.name, kMaxDepth));
    }
    for (const xmlAttr* attr = from->properties; attr != nullptr; attr = attr->next) {
        std::string name = text_of(attr->name);
        if (attr->ns != nullptr) {
            name.insert(0, text_of(attr->ns->prefix) + ":");
        }
        const std::unique_ptr<xmlChar, decltype(xmlFree)> value(xmlNodeListGetString(doc, attr->children, 1), xmlFree);
        node.attrs.emplace_back(std::move(name), text_of(value.get()));
    }
    std::string text;
    for (xmlNode* child = from->children; child != nullptr; child = child->next) {
        if (child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) {
            text += text_of(child->content);
        } else if (child->type == XML_ELEMENT_NODE) {
            TRY(Node sub, convert(doc, child, depth + 1));
            if (node.name == "metadata") {
                sub.raw = dump_alone(doc, child);
            }
            node.children.push_back(std::move(sub));
        }
    }
    node.text = trimmed(text);
    return node;
}

}  // namespace

const std::string* Node::attr(std::string_view wanted) const {
    for (const auto& [key, value] : attrs) {
        if (key == wanted) {
            return &value;
        }
    }
    return nullptr;
}

const Node* Node::child(std::string_view wanted) const {
    for (const Node& node : children) {
        if (node.name == wanted && node.ns.empty()) {
            return &node;
        }
    }
    return nullptr;
}

Result<Node> parse(std::string_view text) {
    if (text.size() > kMaxBytes) {
        return fail(Code::xml_syntax, fmt::format("the document has {} bytes, more than {}", text.size(), kMaxBytes));
    }
    static const bool initialised = [] {
        xmlInitParser();
        return true;
    }();
    (void)initialised;
    xmlSetGenericErrorFunc(nullptr, silent);
    const std::unique_ptr<xmlParserCtxt, FreeContext> context(xmlNewParserCtxt());
    if (!context) {
        return fail(Code::internal, "out of memory in the XML parser");
    }
    const std::unique_ptr<xmlDoc, FreeDoc> doc(
        xmlCtxtReadMemory(context.get(), text.data(), static_cast<int>(text.size()), nullptr, nullptr,
                          XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES));
    if (!doc) {
        const xmlError* const error = xmlCtxtGetLastError(context.get());
        if (error == nullptr) {
            return fail(Code::xml_syntax, "the document is empty");
        }
        std::string message = error->message == nullptr ? "not well-formed" : error->message;
        return fail(Code::xml_syntax, fmt::format("line {}: {}", error->line, trimmed(message)));
    }
    if (doc->intSubset != nullptr || doc->extSubset != nullptr) {
        return fail(Code::xml_syntax, "a DOCTYPE is not allowed here");
    }
    return convert(doc.get(), xmlDocGetRootElement(doc.get()), 1);
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '\'': out += "&apos;"; break;
            case '"': out += "&quot;"; break;
            case '\r': out += "&#13;"; break;  // bare, it would be read back as a line feed (XML 1.0, 2.11)
            default: out += c;
        }
    }
    return out;
}

void Writer::begin(std::string_view name, const Attrs& attrs) {
    out_.append(open_.size() * 2, ' ');
    out_ += '<';
    out_ += name;
    for (const auto& [key, value] : attrs) {
        out_ += fmt::format(" {}='{}'", key, escape(value));
    }
}

void Writer::open(std::string_view name, const Attrs& attrs) {
    begin(name, attrs);
    out_ += ">\n";
    open_.emplace_back(name);
}

void Writer::close() {
    const std::string name = std::move(open_.back());
    open_.pop_back();
    out_.append(open_.size() * 2, ' ');
    out_ += "</" + name + ">\n";
}

void Writer::empty(std::string_view name, const Attrs& attrs) {
    begin(name, attrs);
    out_ += "/>\n";
}

void Writer::leaf(std::string_view name, std::string_view text, const Attrs& attrs) {
    begin(name, attrs);
    out_ += fmt::format(">{}</{}>\n", escape(text), name);
}

void Writer::raw(std::string_view xml) {
    out_.append(open_.size() * 2, ' ');
    out_ += trimmed(xml);
    out_ += '\n';
}

std::string Writer::take() {
    while (!open_.empty()) {
        close();
    }
    return std::move(out_);
}

}  // namespace bascule::xml
