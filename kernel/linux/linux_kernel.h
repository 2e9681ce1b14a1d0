// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation of kernel/linux/
//
// The only code that changes the host, and the real half of the interfaces in kernel/kernel.h and kernel/io.h.
// Everything else talks to those interfaces and is tested on fakes; what is here is tested in network
// namespaces, with the same conformance suite that the fake kernel has to pass.
//
//   linux_kernel   observe and apply: State and Ops on one side, the four below on the other
//     netlink      one rtnetlink socket: messages out, answers in     rtnl   our values <-> messages, pure
//     nft          rule transactions, what our tables hold            nft_listing  nft's JSON -> our values, pure
//                                                                     nft_model    what a transaction changes, pure
//                                                                     nft_elements elements in the kernel's words, pure
//     monitor      what others change, by notification                conntrack    flows cut
//     tap          /dev/net/tun, /dev/vhost-net                       sysctl       /proc/sys
//   loop, clock    sd-event                                           process      start, adopt, signal
//   files          durable files below one root                       sockets      all that is opened to be handed down
//
// Observation costs what the scope names: a link is asked for by name, its addresses by its index, routes by
// our protocol numbers, rules from memory while the ruleset's generation is the one we left. Only
// Scope::everything lists all links and addresses. Nothing is remembered about links: each apply looks at
// the link it is about to change, so a foreign change in between is seen.
//
// What is ours: links whose alias starts with "bascule:", addresses on them, routes with our protocol numbers,
// the three tables called "bascule". Crashing between two steps leaves nothing unowned: a tap becomes persistent only
// after it has its alias, and a bridge without one is taken over when it is down, empty and has the very
// address it should have.
//
// Worked example: PutLink{virbr0, bridge} asks for the link (RTM_GETLINK by name: ENODEV), makes it with all its
// settings in one RTM_NEWLINK, then gives it its alias. Again: one question, nothing to change, nothing sent.
//
// Deliberately not here: what should be (the compilers'), in which order (plan), when again (the daemon).
#pragma once

#include <memory>

#include "base/result.h"
#include "kernel/kernel.h"
#include "kernel/linux/monitor.h"

namespace bascule::kernel::os {

// Works in the network namespace of the calling thread, and on the /proc/sys that it sees.
// `generations`, where given, learns of each of our rule transactions, for make_monitor().
Result<std::unique_ptr<Kernel>> make_linux_kernel(Generations* generations = nullptr);

}  // namespace bascule::kernel::os
