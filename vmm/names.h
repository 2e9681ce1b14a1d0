// SPDX-License-Identifier: GPL-2.0-or-later
// The words of the document for our enumerations, for reading and writing alike.
#pragma once

#include "base/enum_names.h"
#include "vmm/spec.h"

namespace bascule::vmm {

inline constexpr EnumNames<Accelerator, 2> kAccelerators{{{{"kvm", Accelerator::kvm}, {"qemu", Accelerator::tcg}}}};
inline constexpr EnumNames<CpuMode, 4> kCpuModes{{{{"host-passthrough", CpuMode::host_passthrough},
                                                   {"host-model", CpuMode::host_model},
                                                   {"maximum", CpuMode::maximum},
                                                   {"custom", CpuMode::custom}}}};
inline constexpr EnumNames<BootDevice, 4> kBootDevices{
    {{{"hd", BootDevice::hd}, {"network", BootDevice::network}, {"cdrom", BootDevice::cdrom}, {"fd", BootDevice::fd}}}};
inline constexpr EnumNames<Clock::Offset, 2> kClocks{
    {{{"utc", Clock::Offset::utc}, {"localtime", Clock::Offset::localtime}}}};
inline constexpr EnumNames<Lifecycle, 2> kLifecycles{
    {{{"destroy", Lifecycle::destroy}, {"restart", Lifecycle::restart}}}};
inline constexpr EnumNames<Interface::Type, 8> kInterfaceTypes{{{{"network", Interface::Type::network},
                                                                 {"bridge", Interface::Type::bridge},
                                                                 {"ethernet", Interface::Type::ethernet},
                                                                 {"user", Interface::Type::user},
                                                                 {"mcast", Interface::Type::mcast},
                                                                 {"server", Interface::Type::server},
                                                                 {"client", Interface::Type::client},
                                                                 {"udp", Interface::Type::udp}}}};
inline constexpr EnumNames<NicModel, 10> kNicModels{{{{"virtio", NicModel::virtio},
                                                      {"virtio-transitional", NicModel::virtio_transitional},
                                                      {"virtio-non-transitional", NicModel::virtio_non_transitional},
                                                      {"e1000", NicModel::e1000},
                                                      {"e1000e", NicModel::e1000e},
                                                      {"rtl8139", NicModel::rtl8139},
                                                      {"igb", NicModel::igb},
                                                      {"vmxnet3", NicModel::vmxnet3},
                                                      {"ne2k_pci", NicModel::ne2k_pci},
                                                      {"pcnet", NicModel::pcnet}}}};
inline constexpr EnumNames<NicTransmit, 2> kNicTransmits{
    {{{"iothread", NicTransmit::iothread}, {"timer", NicTransmit::timer}}}};
inline constexpr EnumNames<NicBackend, 2> kNicBackends{{{{"qemu", NicBackend::qemu}, {"vhost", NicBackend::vhost}}}};
inline constexpr EnumNames<Channel::Backend, 2> kChannelBackends{
    {{{"unix", Channel::Backend::socket}, {"pty", Channel::Backend::pty}}}};
inline constexpr EnumNames<Lifecycle, 3> kCrashLifecycles{
    {{{"destroy", Lifecycle::destroy}, {"restart", Lifecycle::restart}, {"preserve", Lifecycle::preserve}}}};
inline constexpr EnumNames<Controller::Type, 6> kControllerTypes{
    {{{"usb", Controller::Type::usb},
      {"pci", Controller::Type::pci},
      {"ide", Controller::Type::ide},
      {"sata", Controller::Type::sata},
      {"scsi", Controller::Type::scsi},
      {"virtio-serial", Controller::Type::virtio_serial}}}};
inline constexpr EnumNames<Input::Type, 3> kInputTypes{
    {{{"tablet", Input::Type::tablet}, {"mouse", Input::Type::mouse}, {"keyboard", Input::Type::keyboard}}}};
inline constexpr EnumNames<Input::Bus, 3> kInputBuses{
    {{{"ps2", Input::Bus::ps2}, {"usb", Input::Bus::usb}, {"virtio", Input::Bus::virtio}}}};
inline constexpr EnumNames<Video::Model, 4> kVideoModels{{{{"vga", Video::Model::vga},
                                                           {"cirrus", Video::Model::cirrus},
                                                           {"bochs", Video::Model::bochs},
                                                           {"virtio", Video::Model::virtio}}}};
inline constexpr EnumNames<Graphics::Listen, 3> kListens{{{{"address", Graphics::Listen::address},
                                                           {"network", Graphics::Listen::network},
                                                           {"socket", Graphics::Listen::socket}}}};
inline constexpr EnumNames<Graphics::Share, 3> kShares{{{{"allow-exclusive", Graphics::Share::allow_exclusive},
                                                         {"force-shared", Graphics::Share::force_shared},
                                                         {"ignore", Graphics::Share::ignore}}}};
inline constexpr EnumNames<Sound::Model, 3> kSoundModels{
    {{{"ich6", Sound::Model::ich6}, {"ich9", Sound::Model::ich9}, {"ac97", Sound::Model::ac97}}}};
inline constexpr EnumNames<Watchdog::Model, 3> kWatchdogModels{
    {{{"i6300esb", Watchdog::Model::i6300esb}, {"ib700", Watchdog::Model::ib700}, {"itco", Watchdog::Model::itco}}}};
inline constexpr EnumNames<Watchdog::Action, 6> kWatchdogActions{{{{"reset", Watchdog::Action::reset},
                                                                   {"shutdown", Watchdog::Action::shutdown},
                                                                   {"poweroff", Watchdog::Action::poweroff},
                                                                   {"pause", Watchdog::Action::pause},
                                                                   {"none", Watchdog::Action::none},
                                                                   {"inject-nmi", Watchdog::Action::inject_nmi}}}};
inline constexpr EnumNames<Disk::Type, 2> kDiskTypes{{{{"file", Disk::Type::file}, {"block", Disk::Type::block}}}};
inline constexpr EnumNames<Disk::Device, 2> kDiskDevices{
    {{{"disk", Disk::Device::disk}, {"cdrom", Disk::Device::cdrom}}}};
inline constexpr EnumNames<Disk::Bus, 5> kDiskBuses{{{{"virtio", Disk::Bus::virtio},
                                                      {"ide", Disk::Bus::ide},
                                                      {"sata", Disk::Bus::sata},
                                                      {"scsi", Disk::Bus::scsi},
                                                      {"usb", Disk::Bus::usb}}}};
inline constexpr EnumNames<Disk::Format, 2> kDiskFormats{
    {{{"raw", Disk::Format::raw}, {"qcow2", Disk::Format::qcow2}}}};
inline constexpr EnumNames<bool, 2> kLinkStates{{{{"up", true}, {"down", false}}}};

// What <cpu check=> is when it does not say; it is kept only where it says something else.
constexpr std::string_view usual_check(CpuMode mode) {
    return mode == CpuMode::host_model || mode == CpuMode::custom ? "partial" : "none";
}

}  // namespace bascule::vmm
