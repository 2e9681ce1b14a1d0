// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of daemon/
//
// basculed puts the folders below it together and lets clients use them. One thread, one loop:
//
//   server ──▶ rpc::Session ──▶ handlers_* ──▶ networks · filters · guests ──▶ ports, netsvc ──▶ ledger, kernel
//
// * A use case (Networks, Filters, Guests) owns the objects of its kind: definitions on the disk (Store), what runs,
// and
//   the wishes in the ledger. Each operation either ends with the kernel as asked, or with everything as it was.
// * What runs is written below /run/bascule the moment it does (networks/, bindings/, guests/), and read back by
//   the next daemon: a restart is load, attach, reconcile.
// * Handlers only translate.
//
// Start, in this order, because nothing that runs may notice: definitions and live state are loaded and every wish is
// put into the ledger; bascule-netsvc is attached (or started) and says which leases there are, since they are part of
// the wishes of filtered ports; then the one full reconcile, whose plan is empty after a restart; then what starts with
// the host; then clients are let in, whose connections have waited in the socket's backlog.
//
// A client sees: the socket is there, or nobody serves. SIGHUP reads the definitions again. SIGTERM and SIGINT end the
// daemon and leave guests, networks and the network service running.
#pragma once

#include "base/result.h"
#include "daemon/config.h"

namespace bascule::daemon {

// Runs until a signal says to end.
Result<void> run(const CommandLine& line);

}  // namespace bascule::daemon
