// SPDX-License-Identifier: GPL-2.0-or-later
// The programs that share the socket. Apart from rpc/constants.h so that the proto headers, which every handler
// includes, do not drag in a thousand constants.
#pragma once

#include <cstdint>

namespace bascule::rpc::program {

inline constexpr std::uint32_t remote = 0x20008086;
inline constexpr std::uint32_t qemu = 0x20008087;
inline constexpr std::uint32_t lxc = 0x00068000;
inline constexpr std::uint32_t keepalive = 0x6b656570;
inline constexpr std::uint32_t bascule = 0x62617363;  // our own calls

}  // namespace bascule::rpc::program

namespace bascule::rpc {

// A flag of network-define-xml-flags that is ours: the running network becomes what is defined. Far from the bits that
// the peer gives out, from the other end.
inline constexpr std::uint32_t kDefineLive = 0x4000'0000;

}  // namespace bascule::rpc
