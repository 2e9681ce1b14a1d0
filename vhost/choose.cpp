// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/choose.h"

namespace bascule::vhost {

std::string_view name(DataPath path) {
    switch (path) {
        case DataPath::plain: return "plain";
        case DataPath::vhost: return "vhost";
    }
    return {};
}

Result<DataPath> choose(const Nic& nic, const Host& host) {
    if (nic.asked == Asked::vhost && !nic.virtio) {
        return fail(Code::unsupported_config,
                    "<driver name='vhost'/> needs <model type='virtio'/>: vhost-net speaks virtio only");
    }
    if (nic.asked == Asked::vhost && !host.vhost_net) {
        return fail(Code::unsupported_config,
                    "<driver name='vhost'/> was asked for, but this host has no /dev/vhost-net: load the kernel "
                    "module vhost_net, or leave <driver> out to let QEMU move the packets");
    }
    const bool wanted = nic.asked != Asked::qemu && nic.virtio;
    return wanted && host.vhost_net ? DataPath::vhost : DataPath::plain;
}

}  // namespace bascule::vhost
