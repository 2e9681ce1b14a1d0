// SPDX-License-Identifier: GPL-2.0-or-later
// The words of the document for our enumerations, for reading and writing alike.
#pragma once

#include "base/enum_names.h"
#include "vmm/spec.h"

namespace bascule::vmm {

inline constexpr EnumNames<Accelerator, 2> kAccelerators{{{{"kvm", Accelerator::kvm}, {"qemu", Accelerator::tcg}}}};
inline constexpr EnumNames<CpuMode, 3> kCpuModes{{{{"host-passthrough", CpuMode::host_passthrough},
                                                   {"host-model", CpuMode::host_model},
                                                   {"maximum", CpuMode::maximum}}}};
inline constexpr EnumNames<BootDevice, 4> kBootDevices{
    {{{"hd", BootDevice::hd}, {"network", BootDevice::network}, {"cdrom", BootDevice::cdrom}, {"fd", BootDevice::fd}}}};
inline constexpr EnumNames<Clock, 2> kClocks{{{{"utc", Clock::utc}, {"localtime", Clock::localtime}}}};
inline constexpr EnumNames<Lifecycle, 2> kLifecycles{
    {{{"destroy", Lifecycle::destroy}, {"restart", Lifecycle::restart}}}};
inline constexpr EnumNames<Interface::Type, 2> kInterfaceTypes{
    {{{"network", Interface::Type::network}, {"bridge", Interface::Type::bridge}}}};
inline constexpr EnumNames<NicModel, 4> kNicModels{{{{"virtio", NicModel::virtio},
                                                     {"e1000", NicModel::e1000},
                                                     {"e1000e", NicModel::e1000e},
                                                     {"rtl8139", NicModel::rtl8139}}}};
inline constexpr EnumNames<NicBackend, 2> kNicBackends{{{{"qemu", NicBackend::qemu}, {"vhost", NicBackend::vhost}}}};
inline constexpr EnumNames<Channel::Backend, 2> kChannelBackends{
    {{{"unix", Channel::Backend::socket}, {"pty", Channel::Backend::pty}}}};
inline constexpr EnumNames<bool, 2> kLinkStates{{{{"up", true}, {"down", false}}}};

}  // namespace bascule::vmm
