// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/secret_xml.h"

#include <array>

#include <fmt/format.h>

#include "base/xml.h"
#include "base/xml_read.h"

namespace bascule::daemon {

namespace {

using Usage = SecretSpec::Usage;
using xml::Fault;

// The word of <usage type=…>, and the element that says for what.
struct UsageWords {
    Usage usage;
    std::string_view type, element;
};
constexpr std::array<UsageWords, 5> kUsages{{{Usage::volume, "volume", "volume"},
                                             {Usage::ceph, "ceph", "name"},
                                             {Usage::iscsi, "iscsi", "target"},
                                             {Usage::tls, "tls", "name"},
                                             {Usage::vtpm, "vtpm", "name"}}};

constexpr EnumNames<Usage, 6> kUsageTypes{{{{"none", Usage::none},
                                            {"volume", Usage::volume},
                                            {"ceph", Usage::ceph},
                                            {"iscsi", Usage::iscsi},
                                            {"tls", Usage::tls},
                                            {"vtpm", Usage::vtpm}}}};
constexpr xml::Value<Uuid> kUuid{"a UUID", [](std::string_view text) {
                                     const auto uuid = Uuid::parse(text);
                                     return uuid && !uuid->is_nil() ? uuid : std::nullopt;
                                 }};
constexpr xml::Value<std::string> kId{"a text that is not empty", [](std::string_view text) {
                                          return text.empty() ? std::nullopt : std::optional(std::string(text));
                                      }};
constexpr xml::Value<std::string> kPath{
    "an absolute path",
    [](std::string_view text) { return text.starts_with('/') ? std::optional(std::string(text)) : std::nullopt; }};

const UsageWords* words_of(Usage usage) {
    for (const UsageWords& words : kUsages) {
        if (words.usage == usage) {
            return &words;
        }
    }
    return nullptr;
}

struct Purpose {
    Usage usage = Usage::none;
    std::string id;
};
Result<Purpose> parse_usage(const xml::Node& node) {
    xml::Reader r(node);
    const auto usage = r.opt("type", kUsageTypes);
    if (!usage && r.ok()) {
        r.report(Fault::Kind::missing, "type", kUsageTypes.choices(), {});
    }
    Purpose out{usage.value_or(Usage::none), {}};
    if (const UsageWords* const words = words_of(out.usage)) {
        const auto id = r.child_text(words->element, out.usage == Usage::volume ? kPath : kId);
        if (!id && r.ok()) {
            r.report(Fault::Kind::missing, {}, fmt::format("an element <{}>", words->element), {});
        }
        out.id = id.value_or("");
    }
    TRY_OK(r.finish());
    return out;
}

}  // namespace

Result<SecretSpec> parse_secret(std::string_view text) {
    TRY(const xml::Node root, xml::parse(text));
    if (root.name != "secret" || !root.ns.empty()) {
        return fail(Code::invalid_xml, fmt::format("unexpected root element <{}>, expecting <secret>", root.name));
    }
    xml::Reader r(root);
    SecretSpec out;
    out.ephemeral = r.get("ephemeral", xml::kYesNo, false);
    out.is_private = r.get("private", xml::kYesNo, false);
    out.uuid = r.child_text("uuid", kUuid).value_or(Uuid());
    out.description = r.child_text("description", xml::kText).value_or("");
    if (auto purpose = r.parse_child("usage", parse_usage)) {
        out.usage = purpose->usage;
        out.usage_id = std::move(purpose->id);
    }
    TRY_OK(r.finish());
    return out;
}

std::string format(const SecretSpec& secret) {
    xml::Writer w;
    w.open("secret", {{"ephemeral", secret.ephemeral ? "yes" : "no"}, {"private", secret.is_private ? "yes" : "no"}});
    w.leaf("uuid", bascule::format(secret.uuid));
    if (!secret.description.empty()) {
        w.leaf("description", secret.description);
    }
    if (const UsageWords* const words = words_of(secret.usage)) {
        w.open("usage", {{"type", std::string(words->type)}});
        w.leaf(words->element, secret.usage_id);
        w.close();
    }
    return w.take();
}

}  // namespace bascule::daemon
