// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/names.h"
#include "kernel/io.h"
#include "kernel/kernel.h"
#include "kernel/ledger.h"

namespace bascule::daemon {

// What the use cases of this folder work on: the host behind its interfaces, and who wants what of it. Owned by
// main; outlives everything that refers to it.
struct Host {
    kernel::Kernel& kernel;
    kernel::Ledger& ledger;
    kernel::FileTree& files;
    kernel::Loop& loop;
    kernel::Spawner& spawner;
    kernel::Taps& taps;
};

// What changed, for clients that registered. The numbers are libvirt's (rpc constants), so that nothing needs
// translating on the way; the server subscribes.
struct DomainEvent {
    std::string name;
    Uuid uuid;
    int id = -1;
    int event = 0, detail = 0;
};
// The rest of what happens to a running guest.
struct DomainNews {
    struct Rebooted {};
    struct Resized {
        std::uint64_t memory_kib = 0;
    };
    struct Agent {
        bool connected = false;  // a program in the guest opened or closed the agent's channel
    };
    struct Monitor {
        std::string event, data;  // QEMU's own, as it came
    };
    struct ControlError {};  // QEMU's monitor is lost; the guest runs on
    std::string name;
    Uuid uuid;
    int id = -1;
    std::variant<Rebooted, Resized, Agent, Monitor, ControlError> what;
};
struct NetworkEvent {
    std::string name;
    Uuid uuid;
    int event = 0, detail = 0;
};
struct Events {
    std::function<void(const DomainEvent&)> domain = [](const DomainEvent&) {};
    std::function<void(const DomainNews&)> news = [](const DomainNews&) {};
    std::function<void(const NetworkEvent&)> network = [](const NetworkEvent&) {};
};

// "line 9: <range start>: …" of a parser, as "FILE:9: <range start>: …".
Error located(const std::string& file, Error error);

}  // namespace bascule::daemon
