// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/host.h"
#include "daemon/subscriptions.h"
#include "vmm/spec.h"

namespace bascule::daemon {

// What libvirt's clients hear of some of QEMU's own events: a watchdog that barked, a disk that failed, a tray that
// moved, a client of the display, its clock, its sleep, broken memory. Events of other names, and such whose data is
// not what QEMU's are, are nobody's.
void publish_qemu_event(Subscriptions& subscriptions, const vmm::Spec& spec, const DomainNews& news);

}  // namespace bascule::daemon
