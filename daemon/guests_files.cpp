// SPDX-License-Identifier: GPL-2.0-or-later
// What of the host a guest gets to see beside its network: images, sockets, kernel and initrd.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/guests.h"
#include "kernel/linux/disk_files.h"
#include "kernel/linux/files.h"
#include "kernel/linux/process.h"
#include "kernel/linux/stream.h"
#include "storage/image.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::size_t kLongestChain = 64;
constexpr std::size_t kLongestSocket = 107;  // sockaddr_un (unix(7))

// What an image says that it builds on. Whoever wrote "qcow2" into the definition, or into the header above, vouches
// for the format; nothing is guessed from bytes that a guest may have written.
Result<storage::Image> look_into(const UniqueFd& fd, const std::string& path) {
    TRY(Bytes head, os::read_at(fd, 0, storage::kHead));
    const std::size_t wanted = std::min(storage::head_wanted(head), storage::kMostHead);
    if (wanted > head.size()) {
        TRY(head, os::read_at(fd, 0, wanted));
    }
    storage::Image image = storage::describe(head, storage::Format::qcow2);
    if (image.format != storage::Format::qcow2) {
        return fail(Code::invalid_argument, fmt::format("{} is no qcow2 image", path));
    }
    if (image.external_data || image.encrypted) {
        return fail(Code::unsupported_config,
                    fmt::format("{}: an image {} is not supported", path,
                                image.encrypted ? "that is encrypted" : "with its data in another file"));
    }
    return image;
}

struct Beneath {
    std::string path;
    vmm::Disk::Format format;
};

// The next image of a chain; none: this one stands alone.
Result<std::optional<Beneath>> beneath(const UniqueFd& fd, const std::string& path) {
    TRY(const storage::Image image, look_into(fd, path));
    if (!image.backing) {
        return std::nullopt;
    }
    const auto next = storage::resolve_backing(path, *image.backing);
    if (!next) {
        return fail(Code::unsupported_config,
                    fmt::format("{}: its backing file '{}' is no local file", path, *image.backing));
    }
    if (image.backing_format != storage::Format::raw && image.backing_format != storage::Format::qcow2) {
        return fail(Code::unsupported_config,
                    fmt::format("{}: the image does not say that its backing file '{}' is raw or qcow2; "
                                "'qemu-img rebase -u -F FORMAT' writes that down",
                                path, *next));
    }
    return Beneath{*next,
                   image.backing_format == storage::Format::raw ? vmm::Disk::Format::raw : vmm::Disk::Format::qcow2};
}

}  // namespace

// QEMU opens kernel and initrd by path as its own user. Where that user may not, it gets a sealed copy in memory
// as a further descriptor, so that files under a private folder work without changing their owner.
Result<void> Guests::open_files(vmm::Spec& launched, std::vector<UniqueFd>& extra, std::size_t slots) const {
    for (std::string* const path : {&launched.os.kernel, &launched.os.initrd}) {
        if (path->empty() || os::readable_as(*path, deps_.uid, deps_.gid)) {
            continue;
        }
        TRY(UniqueFd copy, os::memory_copy(*path));
        *path = fmt::format("/proc/self/fd/{}", 3 + slots + extra.size());
        extra.push_back(std::move(copy));
    }
    return {};
}

// A listening socket for each channel that has one, at the user's path or below our own folder; 0600: what is on the
// other side may be a guest agent, which obeys whoever writes to it.
Result<std::vector<UniqueFd>> Guests::open_channels(Domain& domain, vmm::Spec& spec) {
    std::vector<UniqueFd> out(spec.channels.size());
    const std::string folder(vmm::kChannelFolder.substr(0, vmm::kChannelFolder.size() - 1));
    TRY_OK(os::make_folder(deps_.host.files.real(folder), 0700, 0, 0));
    for (std::size_t i = 0; i < spec.channels.size(); ++i) {
        vmm::Channel& channel = spec.channels[i];
        channel.live = vmm::ChannelLive{};
        if (channel.backend != vmm::Channel::Backend::socket) {
            continue;
        }
        const std::string path =
            channel.path.empty() ? deps_.host.files.real(channel_file(domain.id, channel.name)) : channel.path;
        for (const auto& [uuid, other] : domains_) {
            if (std::ranges::find(other.sockets, path) != other.sockets.end()) {
                return fail(Code::conflict, fmt::format("{}: its socket {} belongs to a channel of guest '{}'",
                                                        vmm::channel_alias(spec, i), path, other.name));
            }
        }
        auto opened = os::listen_unix(path, 0600);
        if (!opened) {
            return std::unexpected(std::move(opened).error().in(vmm::channel_alias(spec, i)));
        }
        domain.sockets.push_back(path);
        out[i] = std::move(*opened);
        channel.live->path = path;
    }
    return out;
}

// Every image of every disk, outermost first.
Result<Guests::OpenDisks> Guests::open_disks(const vmm::Spec& spec) const {
    OpenDisks out;
    for (const vmm::Disk& disk : spec.disks) {
        auto& layers = out.layers.emplace_back();
        auto& plan = out.plans.emplace_back();
        if (disk.source.empty()) {
            continue;
        }
        Beneath at{disk.source, disk.format};
        for (bool more = true; more;) {
            auto opened = os::open_disk(at.path, layers.empty() && !disk.readonly);
            if (!opened) {
                return std::unexpected(std::move(opened).error().in("disk " + disk.target));
            }
            layers.push_back(std::move(*opened));
            if (layers.size() > 1) {
                TRY(const os::FileFacts facts, os::look_at(at.path, 0, [](ByteView) { return std::size_t{0}; }));
                plan.beneath.push_back({at.format, facts.kind == os::FileFacts::Kind::block});
            }
            more = false;
            if (at.format == vmm::Disk::Format::qcow2) {
                auto next = beneath(layers.back(), at.path);
                if (!next) {
                    return std::unexpected(std::move(next).error().in("disk " + disk.target));
                }
                more = next->has_value();
                at = more ? std::move(**next) : at;
            }
            if (layers.size() > kLongestChain) {
                return fail(Code::unsupported_config,
                            fmt::format("disk {}: more than {} images in a chain", disk.target, kLongestChain));
            }
        }
    }
    return out;
}

// Where a display listens. QEMU opens it: as its own user, who has a folder for sockets that are our choice.
Result<void> Guests::prepare_display(Domain& domain, vmm::Spec& spec) {
    for (vmm::Graphics& display : spec.graphics) {
        display.live = vmm::GraphicsLive{};
        switch (display.listen) {
            case vmm::Graphics::Listen::address:
                display.live->address = display.place.empty() ? "127.0.0.1" : display.place;
                break;
            case vmm::Graphics::Listen::network: {
                TRY(const Network* const network, deps_.networks.by_name(display.place));
                if (!network->active() || network->live->addresses.empty()) {
                    return fail(Code::invalid_state,
                                fmt::format("the display cannot listen on network '{}': it is not active or has no "
                                            "address",
                                            display.place));
                }
                display.live->address = bascule::format(network->live->addresses.front().address.address);
                break;
            }
            case vmm::Graphics::Listen::socket: {
                const std::string folder(vmm::kDisplayFolder.substr(0, vmm::kDisplayFolder.size() - 1));
                TRY_OK(os::make_folder(deps_.host.files.real(folder), 0711, deps_.uid, deps_.gid));
                const std::string path = display.place.empty()
                                             ? deps_.host.files.real(fmt::format("{}/{}-vnc", folder, domain.id))
                                             : display.place;
                if (path.size() > kLongestSocket) {
                    return fail(Code::invalid_argument,
                                fmt::format("the display's socket {} is longer than {} bytes", path, kLongestSocket));
                }
                TRY_OK(os::unlink_socket(path));
                domain.sockets.push_back(path);
                display.live->socket = path;
                break;
            }
        }
    }
    return {};
}

}  // namespace bascule::daemon
