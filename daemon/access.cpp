// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/access.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "daemon/access_peek.h"

namespace bascule::daemon {

namespace proto = rpc::proto;

namespace {

constexpr std::string_view kDriver = "QEMU";
constexpr std::size_t kAtOnce = 16;         // questions of one list that polkit has at a time
constexpr std::size_t kMostEvents = 10000;  // of one client that wait for polkit

// The peer's words; what nobody decided says why.
Error denied(const Error& said) {
    std::string text = fmt::format("'{}' denied access", kDriver);
    if (said.code == Code::unreachable) {
        text += ": " + said.message;
    }
    return {Code::denied, std::move(text), 0};
}

bool is_lookup(const rpc::Call& call) { return call.procedure.name.contains("-lookup-"); }

Details with_uuid(ObjectClass object, const std::string& name, const std::optional<Uuid>& uuid) {
    const bool pool = object == ObjectClass::storage_pool || object == ObjectClass::storage_vol;
    const std::string prefix = pool                                  ? "pool"
                               : object == ObjectClass::network_port ? "network"
                                                                     : std::string(name_of(object));
    Details out;
    out.emplace_back(prefix + "_name", name);
    if (uuid) {
        out.emplace_back(prefix + "_uuid", format(*uuid));
    }
    return out;
}

}  // namespace

Details details_of(ObjectClass object, const Directory::Named& named) {
    switch (object) {
        case ObjectClass::connect: return {};
        case ObjectClass::interface: return {{"interface_name", named.name}};
        case ObjectClass::node_device: return {{"node_device_name", named.name}};
        case ObjectClass::nwfilter_binding: return {{"nwfilter_binding_portdev", named.name}};
        case ObjectClass::secret: return {{"secret_uuid", format(named.uuid)}};
        default: return with_uuid(object, named.name, named.uuid);
    }
}

Details details_of(const Directory::Volume& volume) {
    Details out = details_of(ObjectClass::storage_vol, volume.pool);
    out.emplace_back("vol_name", volume.name);
    if (!volume.key.empty()) {
        out.emplace_back("vol_key", volume.key);
    }
    return out;
}

Access::Access(kernel::Authority& authority, Directory directory)
    : authority_(authority), directory_(std::move(directory)) {}

void Access::install(rpc::Handlers& handlers) {
    handlers.set_check([this](rpc::Call& call, const rpc::Subject& subject, Verdict verdict) {
        check(call, subject, std::move(verdict));
    });
    wrap_lists(handlers);
}

kernel::Question Access::question(const rpc::Peer& peer, ObjectClass object, std::string_view permission,
                                  Details details) {
    details.emplace(details.begin(), "connect_driver", kDriver);
    return {.action = fmt::format("org.libvirt.api.{}.{}", name_of(object), permission),
            .details = std::move(details),
            .who = {.pid = peer.pid, .start_time = peer.process_start, .uid = peer.uid}};
}

void Access::check(rpc::Call& call, const rpc::Subject& subject, Verdict verdict) {
    const rpc::Peer& peer = call.session.peer();
    if (peer.uid == 0) {
        return verdict({});
    }
    if (peer.pid == 0) {
        return verdict(std::unexpected(denied(
            {Code::unreachable, "access_drivers = [ \"polkit\" ] knows users of this host only; come by ssh", 0})));
    }
    const std::vector<AccessRule>* const rules = access_rules(call.procedure);
    if (rules == nullptr) {
        return verdict(std::unexpected(
            denied({Code::unreachable, fmt::format("there is no rule for {}", call.procedure.name), 0})));
    }
    std::vector<kernel::Question> questions;
    for (const AccessRule& rule : *rules) {
        if (!rule.applies(subject.flags)) {
            continue;
        }
        auto details = identify(rule.object, call, subject);
        if (!details) {
            return verdict(std::unexpected(std::move(details).error()));
        }
        if (!*details) {
            return verdict({});
        }
        questions.push_back(question(peer, rule.object, rule.permission, **std::move(details)));
    }
    ask_all(std::move(questions), std::move(verdict));
}

// One after the other, up to the first no.
void Access::ask_all(std::vector<kernel::Question> questions, Verdict verdict) {
    if (questions.empty()) {
        return verdict({});
    }
    const kernel::Question first = std::move(questions.front());
    questions.erase(questions.begin());
    authority_.ask(first, [this, rest = std::move(questions), verdict = std::move(verdict)](Result<void> said) mutable {
        if (!said) {
            return verdict(std::unexpected(denied(said.error())));
        }
        ask_all(std::move(rest), std::move(verdict));
    });
}

// All of them, some at a time.
void Access::ask_each(std::vector<kernel::Question> questions, Answers answers) {
    struct Batch : std::enable_shared_from_this<Batch> {
        kernel::Authority& authority;
        std::vector<kernel::Question> questions;
        std::vector<bool> said;
        Answers answers;
        std::size_t next = 0, open = 0;

        explicit Batch(kernel::Authority& a) : authority(a) {}
        void go_on() {
            while (next < questions.size() && open < kAtOnce) {
                const std::size_t i = next++;
                ++open;
                authority.ask(questions[i], [self = shared_from_this(), i](const Result<void>& result) {
                    self->said[i] = result.has_value();
                    --self->open;
                    self->go_on();
                });
            }
            if (next == questions.size() && open == 0 && answers) {
                std::exchange(answers, nullptr)(said);
            }
        }
    };
    const auto batch = std::make_shared<Batch>(authority_);
    batch->said.resize(questions.size());
    batch->questions = std::move(questions);
    batch->answers = std::move(answers);
    batch->go_on();
}

// ---- which object it is

const Directory::Kind* Access::kind_of(ObjectClass object) const {
    switch (object) {
        case ObjectClass::domain: return &directory_.domains;
        case ObjectClass::network:
        case ObjectClass::network_port: return &directory_.networks;
        case ObjectClass::nwfilter: return &directory_.filters;
        case ObjectClass::storage_pool:
        case ObjectClass::storage_vol: return &directory_.pools;
        default: return nullptr;
    }
}

// As handlers do: an object travels with its UUID, which decides; the name beside it may be anything.
std::optional<Directory::Named> Access::resolve(const Directory::Kind& kind, const rpc::Subject& subject) const {
    const auto uuid = std::visit(
        [](const auto& object) -> std::optional<Uuid> {
            if constexpr (requires { Uuid{object.uuid}; }) {
                return object.uuid;
            } else {
                return std::nullopt;
            }
        },
        subject.object);
    if (uuid || subject.uuid) {
        return kind.by_uuid(uuid ? *uuid : *subject.uuid);
    }
    if (!subject.text.empty()) {
        return kind.by_name(subject.text);
    }
    return subject.number ? directory_.domain_by_id(*subject.number) : std::nullopt;
}

Result<std::optional<Details>> Access::of_document(ObjectClass object, const rpc::Subject& subject) const {
    TRY(const Peeked peeked, peek_xml(subject.text));
    if (object == ObjectClass::nwfilter_binding) {
        Details out{{"nwfilter_binding_portdev", peeked.portdev.value_or("")}};
        if (peeked.filter) {
            out.emplace_back("nwfilter_binding_filter", *peeked.filter);
        }
        return std::optional(std::move(out));
    }
    const std::string name = peeked.name.value_or("");
    std::optional<Uuid> uuid = peeked.uuid ? Uuid::parse(*peeked.uuid) : std::nullopt;
    if (object == ObjectClass::interface || object == ObjectClass::node_device) {
        return std::optional(details_of(object, {name, {}}));
    }
    if (object == ObjectClass::secret) {
        return std::optional(uuid ? details_of(object, {{}, *uuid}) : Details());
    }
    // A document without a UUID means the object that has this name, if there is one.
    if (const auto* const kind = kind_of(object); kind != nullptr && !uuid) {
        if (const auto known = kind->by_name(name)) {
            uuid = known->uuid;
        }
    }
    return std::optional(with_uuid(object, name, uuid));
}

std::optional<Details> Access::identify_volume(const rpc::Call& call, const rpc::Subject& subject) const {
    std::optional<Directory::Named> pool;
    std::string name;
    if (const auto* const volume = std::get_if<proto::StorageVol>(&subject.object)) {
        pool = directory_.pools.by_name(volume->pool);
        name = volume->name;
    } else if (std::holds_alternative<proto::StoragePool>(subject.object)) {
        pool = resolve(directory_.pools, subject);
        name = subject.text;  // of a lookup; a document's is put in its place
        if (!is_lookup(call)) {
            const auto peeked = peek_xml(subject.text);
            name = peeked ? peeked->name.value_or("") : std::string();
        }
    } else {
        const auto known = directory_.volume_at(subject.text);
        return known ? details_of(*known) : Details{{"vol_key", subject.text}};  // a file in no pool
    }
    if (!pool) {
        return std::nullopt;
    }
    return details_of(directory_.volume(*pool, name).value_or(Directory::Volume{*pool, name, {}}));
}

std::optional<Details> Access::identify_pool(const rpc::Call& call, const rpc::Subject& subject) const {
    std::optional<Directory::Named> pool;
    if (const auto* const volume = std::get_if<proto::StorageVol>(&subject.object)) {
        pool = directory_.pools.by_name(volume->pool);
    } else if (call.procedure.name == "storage-pool-lookup-by-target-path") {
        pool = directory_.pool_at(subject.text);
    } else {
        pool = resolve(directory_.pools, subject);
    }
    return pool ? std::optional(details_of(ObjectClass::storage_pool, *pool)) : std::nullopt;
}

Result<std::optional<Details>> Access::identify(ObjectClass object, const rpc::Call& call,
                                                const rpc::Subject& subject) const {
    const bool travels = subject.object.index() != 0;
    const bool document = !is_lookup(call) && subject.text.find_first_not_of(" \t\r\n") != std::string::npos &&
                          subject.text[subject.text.find_first_not_of(" \t\r\n")] == '<';
    switch (object) {
        case ObjectClass::connect: return std::optional(Details());
        case ObjectClass::interface:
            if (const auto* const nic = std::get_if<proto::Interface>(&subject.object)) {
                return std::optional(details_of(object, {nic->name, {}}));
            }
            if (call.procedure.name == "interface-lookup-by-mac-string") {
                return std::optional(Details{{"interface_macaddr", subject.text}});
            }
            break;
        case ObjectClass::nwfilter_binding:
            if (!document) {
                const auto* const binding = std::get_if<proto::NwfilterBinding>(&subject.object);
                const std::string port = binding != nullptr ? binding->portdev : subject.text;
                Details out = details_of(object, {port, {}});
                if (const auto filter = directory_.filter_of_port(port)) {
                    out.emplace_back("nwfilter_binding_filter", *filter);
                }
                return std::optional(std::move(out));
            }
            break;
        case ObjectClass::secret:
            if (const auto* const secret = std::get_if<proto::Secret>(&subject.object)) {
                return std::optional(details_of(object, {{}, secret->uuid}));
            }
            if (is_lookup(call)) {
                const auto uuid =
                    subject.uuid ? subject.uuid : directory_.secret_for(subject.number.value_or(0), subject.text);
                return uuid ? std::optional(details_of(object, {{}, *uuid})) : std::nullopt;
            }
            break;
        case ObjectClass::storage_vol: return identify_volume(call, subject);
        case ObjectClass::storage_pool:
            if (!document) {
                return identify_pool(call, subject);
            }
            break;
        case ObjectClass::network_port: {
            const auto network = resolve(directory_.networks, {.object = subject.object});
            if (!network) {
                return std::optional<Details>();
            }
            Details out = details_of(object, *network);
            if (subject.uuid) {
                out.emplace_back("network_port_uuid", format(*subject.uuid));
            }
            return std::optional(std::move(out));
        }
        default: break;
    }
    if (!travels && document) {
        return of_document(object, subject);
    }
    if (object == ObjectClass::node_device || object == ObjectClass::interface) {
        return std::optional(details_of(object, {subject.text, {}}));
    }
    const auto* const kind = kind_of(object);
    if (!travels && !is_lookup(call)) {
        return std::optional(Details());  // it is in a file that nobody has read yet
    }
    const auto known = kind != nullptr ? resolve(*kind, subject) : std::nullopt;
    return known ? std::optional(details_of(object, *known)) : std::nullopt;
}

// ---- events

void Access::gate(rpc::Session& session, ObjectClass object, const Directory::Named& named, Deliver deliver) {
    const rpc::Peer& peer = session.peer();
    if (peer.uid == 0) {
        return deliver(session);
    }
    if (peer.pid == 0) {
        return;
    }
    std::erase_if(waiting_, [](const auto& entry) { return entry.second.session.expired(); });
    Waiting& waiting = waiting_[session.id()];
    if (waiting.events.size() >= kMostEvents) {
        return;
    }
    waiting.session = session.weak_from_this();
    auto slot = std::make_shared<std::pair<std::optional<bool>, Deliver>>(std::nullopt, std::move(deliver));
    waiting.events.push_back(slot);
    authority_.ask(question(peer, object, "getattr", details_of(object, named)),
                   [this, slot, id = session.id()](const Result<void>& said) {
                       slot->first = said.has_value();
                       flush(id);
                   });
}

// Hands on what is decided, up to the first that is not.
void Access::flush(std::uint64_t id) {
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) {
        return;
    }
    auto& events = found->second.events;
    const auto session = found->second.session.lock();
    while (!events.empty() && events.front()->first) {
        const auto slot = events.front();
        events.pop_front();
        if (*slot->first && session) {
            slot->second(*session);
        }
    }
    if (events.empty()) {
        waiting_.erase(id);
    }
}

}  // namespace bascule::daemon
