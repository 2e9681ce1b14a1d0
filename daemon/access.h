// SPDX-License-Identifier: GPL-2.0-or-later
// access_drivers = [ "polkit" ]: who may do what to which object.
//
// Every call is put to polkit before its handler runs, as org.libvirt.api.OBJECT.PERMISSION (daemon/access_table.h)
// with the peer's details: domain_name, domain_uuid, network_name and so on. They are what the daemon knows of the
// object that the call will act on, never what the client says of it: objects are resolved as handlers do, by UUID. Of
// a document that defines something new only name and UUID are read (daemon/access_peek.h). Lists show what the caller
// has getattr for, counts count that, and events of other objects do not reach him.
//
// Root is exempt, as he is to polkit itself. Clients from other hosts are no processes that polkit could know, so all
// is denied to them. A procedure without a rule is denied, too.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/names.h"
#include "daemon/access_table.h"
#include "kernel/authority.h"
#include "rpc/handlers.h"
#include "rpc/session.h"

namespace bascule::daemon {

// What there is, for the names in questions.
struct Directory {
    struct Named {
        std::string name;
        Uuid uuid;
    };
    struct Kind {
        std::function<std::optional<Named>(const Uuid&)> by_uuid = [](const Uuid&) { return std::nullopt; };
        std::function<std::optional<Named>(const std::string&)> by_name = [](const std::string&) {
            return std::nullopt;
        };
    };
    Kind domains{}, networks{}, filters{}, pools{};
    std::function<std::optional<Named>(int)> domain_by_id = [](int) { return std::nullopt; };
    struct Volume {
        Named pool;
        std::string name, key;
    };
    // By its pool and name; by its path or key, among what active pools have; an active pool by its folder; a secret by
    // what it is for (virSecretUsageType).
    std::function<std::optional<Volume>(const Named& pool, const std::string& name)> volume =
        [](const Named&, const std::string&) { return std::nullopt; };
    std::function<std::optional<Volume>(const std::string&)> volume_at = [](const std::string&) {
        return std::nullopt;
    };
    std::function<std::optional<Named>(const std::string&)> pool_at = [](const std::string&) { return std::nullopt; };
    std::function<std::optional<Uuid>(int usage, const std::string& id)> secret_for = [](int, const std::string&) {
        return std::nullopt;
    };
    // The filter that the binding of a port refers to.
    std::function<std::optional<std::string>(const std::string&)> filter_of_port = [](const std::string&) {
        return std::nullopt;
    };
};

using Details = std::vector<std::pair<std::string, std::string>>;
Details details_of(ObjectClass object, const Directory::Named& named);
Details details_of(const Directory::Volume& volume);

class Access {
public:
    Access(kernel::Authority& authority, Directory directory);

    // From now on every call is checked and every list filtered. After all handlers were added; `handlers` is used as
    // long as there are sessions.
    void install(rpc::Handlers& handlers);

    // Hands an event on if the client may know of its object; in the order in which they came.
    using Deliver = std::move_only_function<void(rpc::Session&)>;
    void gate(rpc::Session& session, ObjectClass object, const Directory::Named& named, Deliver deliver);

private:
    using Verdict = rpc::Handlers::Verdict;
    using Answers = std::move_only_function<void(const std::vector<bool>&)>;

    void check(rpc::Call& call, const rpc::Subject& subject, Verdict verdict);
    // nullopt: there is no such object, which the handler says best.
    Result<std::optional<Details>> identify(ObjectClass object, const rpc::Call& call,
                                            const rpc::Subject& subject) const;
    Result<std::optional<Details>> of_document(ObjectClass object, const rpc::Subject& subject) const;
    std::optional<Directory::Named> resolve(const Directory::Kind& kind, const rpc::Subject& subject) const;
    std::optional<Details> identify_volume(const rpc::Call& call, const rpc::Subject& subject) const;
    std::optional<Details> identify_pool(const rpc::Call& call, const rpc::Subject& subject) const;
    const Directory::Kind* kind_of(ObjectClass object) const;
    void ask_all(std::vector<kernel::Question> questions, Verdict verdict);
    void ask_each(std::vector<kernel::Question> questions, Answers answers);
    void flush(std::uint64_t session);
    static kernel::Question question(const rpc::Peer& peer, ObjectClass object, std::string_view permission,
                                     Details details);

    // daemon/access_lists.cpp
    void wrap_lists(rpc::Handlers& handlers);
    template <class P, class T>
    void wrap_all(rpc::Handlers& handlers, std::vector<T> P::Ret::* list, std::string_view permission = "getattr");
    template <class P, class T>
    void wrap_old(rpc::Handlers& handlers, std::int32_t P::Args::* most, std::vector<T> P::Ret::* list,
                  ObjectClass object);
    template <class Count, class P, class T>
    static void wrap_count(rpc::Handlers& handlers, std::int32_t P::Args::* most, std::vector<T> P::Ret::* list);
    template <class List, class Count, class T>
    void wrap_pair(rpc::Handlers& handlers, std::int32_t List::Args::* most, std::vector<T> List::Ret::* list,
                   ObjectClass object);
    template <class P, class T, class Inner, class Then>
    void visible(rpc::Call& call, const typename P::Args& args, Inner inner, std::vector<T> P::Ret::* list,
                 ObjectClass object, Then then);
    template <class T>
    auto item_of(const T& one) const;
    std::optional<Details> details_of_item(ObjectClass object, const std::string& name,
                                           const std::optional<Directory::Named>& pool) const;
    std::optional<Details> details_of_item(ObjectClass object, std::int32_t id,
                                           const std::optional<Directory::Named>& pool) const;

    kernel::Authority& authority_;
    const Directory directory_;
    struct Waiting {
        std::weak_ptr<rpc::Session> session;
        std::deque<std::shared_ptr<std::pair<std::optional<bool>, Deliver>>> events;
    };
    std::map<std::uint64_t, Waiting> waiting_;  // by session
};

}  // namespace bascule::daemon
