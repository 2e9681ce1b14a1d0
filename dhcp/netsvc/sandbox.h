// SPDX-License-Identifier: GPL-2.0-or-later
// What bascule-netsvc gives up before it reads the first byte of a guest. Who started it has already changed the
// user; the rest is done here, so that it holds however the program was started:
//
//   limits        no core dump with leases in it, no child process, bounded file size and descriptors
//   capabilities  none, not even in the bounding set
//   no_new_privs  no set-uid program gives anything back
//   Landlock      of all files, only those of the lease folder (where the kernel has it)
//   seccomp       the system calls that the loop makes, and no other: a violation kills the process. The daemon
//                 starts it again on the same sockets
#pragma once

#include "base/result.h"

namespace bascule::netsvc {

// Built with a sanitizer, whose reports need more than the program does.
#if defined(__SANITIZE_ADDRESS__)  // g++
#define BASCULE_SANITIZED true
#elif defined(__has_feature)
#define BASCULE_SANITIZED __has_feature(address_sanitizer)
#else
#define BASCULE_SANITIZED false
#endif
inline constexpr bool kSanitized = BASCULE_SANITIZED;
#undef BASCULE_SANITIZED

// `folder`: the descriptor of the lease folder, the only one that files are opened below.
Result<void> enter_sandbox(int folder, bool room_for_sanitizers = kSanitized);
// Of the process that opens files (files.h): the same, but that it may open what its user may read, and speak to
// nobody but us.
Result<void> enter_opener_sandbox(bool room_for_sanitizers = kSanitized);

}  // namespace bascule::netsvc
