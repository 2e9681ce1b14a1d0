// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/names.h"
#include "base/result.h"
#include "daemon/host.h"

namespace bascule::rpc {
class Session;
}

namespace bascule::daemon {

// Who wants to hear of what. An entry dies with its connection.
class Subscriptions {
public:
    enum class Class { domain, network };

    // Returns the callback id. A second registration of the same session, event and object is refused, as
    // the peer does.
    Result<std::int32_t> add(rpc::Session& session, Class what, std::int32_t event, std::optional<Uuid> object);
    Result<void> remove(rpc::Session& session, Class what, std::int32_t callback);

    void publish(const DomainEvent& event);
    void publish(const NetworkEvent& event);

private:
    struct Entry {
        std::weak_ptr<rpc::Session> session;
        std::int32_t callback = 0;
        Class what = Class::domain;
        std::int32_t event = 0;
        std::optional<Uuid> object;  // none: all of them
    };
    // Calls `send` for each live session that asked, and forgets the dead.
    template <class Send>
    void each(Class what, std::int32_t event, const Uuid& object, Send send);

    std::vector<Entry> entries_;
};

}  // namespace bascule::daemon
