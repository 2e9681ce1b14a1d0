// SPDX-License-Identifier: GPL-2.0-or-later
// Theory of operation
//
// vhost/ decides how a guest's NIC and its host end exchange packets. The data paths themselves are the
// kernel's (vhost-net, macvtap) and DPDK's (vhost-user): no virtqueue is touched here. choose() is a pure
// function from what was asked and what the host has to a data path; opening the descriptors is the caller's.
//
//   asked \ host                vhost-net there      not there
//   nothing said, virtio        vhost                plain
//   nothing said, other model   plain                plain
//   name='qemu'                 plain                plain
//   name='vhost', virtio        vhost                error: says what to load
//   name='vhost', other model   error                error
//
// Example: <model type='virtio'/> with no <driver> on a host without /dev/vhost-net runs through QEMU, slower
// but right; with <driver name='vhost'/> it does not start, since the user asked for the fast path by name.
// macvtap, vDPA and vhost-user are further rows of the same decision.
#pragma once

#include <string_view>

#include "base/result.h"

namespace bascule::vhost {

enum class Asked { nothing, qemu, vhost };  // <driver name=>

struct Nic {
    Asked asked = Asked::nothing;
    bool virtio = true;  // the model speaks virtio: only that can be served by vhost
};

struct Host {
    bool vhost_net = false;  // /dev/vhost-net can be opened
};

enum class DataPath {
    plain,  // QEMU reads and writes the tap
    vhost,  // the kernel does, QEMU only sets it up
};
std::string_view name(DataPath path);

Result<DataPath> choose(const Nic& nic, const Host& host);

}  // namespace bascule::vhost
