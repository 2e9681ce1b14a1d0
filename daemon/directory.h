// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/access.h"
#include "daemon/filters.h"
#include "daemon/guests.h"
#include "daemon/lease_news.h"
#include "daemon/networks.h"
#include "daemon/secrets.h"
#include "daemon/storage.h"
#include "daemon/subscriptions.h"

namespace bascule::daemon {

// What the access check knows of the daemon's objects, which must outlive it.
Directory make_directory(const Guests& guests, const Networks& networks, const Filters& filters, const Storage& storage,
                         const Secrets& secrets);

// Lets events through only to those who may know of their object. Both must live as long as there are sessions.
void gate_events(Subscriptions& subscriptions, Access& access);

// Whom events of leases are about.
LeaseNews::Lookups lease_lookups(const Networks& networks, const Guests& guests);

}  // namespace bascule::daemon
