// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest shows and holds, handed to a client: pictures of its screen, a way into its display, its memory as a
// core file.
#include <algorithm>
#include <array>

#include "daemon/handlers.h"
#include "daemon/storage.h"
#include "kernel/linux/disk_files.h"
#include "kernel/linux/process.h"
#include "kernel/linux/sockets.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
namespace os = kernel::os;
using rpc::Call;
using rpc::Responder;

namespace {

// ---- pictures

constexpr std::uint64_t kLargestPicture = std::uint64_t{128} << 20;  // 8K, three bytes a pixel
constexpr unsigned kMostPictures = 8;                                // that clients have not read yet
constexpr std::size_t kPiece = std::size_t{128} << 10;

// One picture on its way to its client.
class Picture : public rpc::StreamHandler {
public:
    Picture(os::MemoryFile file, std::shared_ptr<void> place) : file_(std::move(file)), place_(std::move(place)) {
        end_ = std::min(os::position_of(file_.written), kLargestPicture);
    }
    void attach(rpc::Stream stream) {
        stream_ = std::move(stream);
        next();
    }
    void on_data(rpc::Stream& stream, ByteView) override {
        over_ = true;
        stream.fail({Code::invalid_argument, "this stream is for reading", 0});
    }
    void on_writable(rpc::Stream&) override { next(); }

private:
    void next() {
        while (!over_ && stream_.has_room()) {
            const auto limit = static_cast<std::size_t>(std::min<std::uint64_t>(end_ - at_, kPiece));
            const auto piece = limit > 0 ? os::read_at(file_.file, at_, limit) : Result<Bytes>(Bytes());
            over_ = !piece || piece->empty();
            if (!piece) {
                stream_.fail(piece.error());
            } else if (over_) {
                stream_.end();
            } else {
                at_ += piece->size();
                stream_.send(*piece);
            }
        }
    }

    os::MemoryFile file_;
    std::shared_ptr<void> place_;
    std::uint64_t at_ = 0, end_ = 0;
    rpc::Stream stream_;
    bool over_ = false;
};

// Screens are counted over all outputs of all video devices.
Result<vmm::Guest::VideoHead> find_screen(const vmm::Spec& spec, std::uint32_t screen) {
    if (spec.videos.empty()) {
        return fail(Code::invalid_state, "no screens to take screenshot from");
    }
    std::uint32_t left = screen;
    for (std::size_t i = 0; i < spec.videos.size(); ++i) {
        if (left < spec.videos[i].heads) {
            return vmm::Guest::VideoHead{.device = i, .head = left};
        }
        left -= spec.videos[i].heads;
    }
    return fail(Code::invalid_argument, fmt::format("no such screen: {}", screen));
}

class Pictures {
public:
    explicit Pictures(Services& s) : services_(s) {}

    void take(const proto::domain_screenshot_args& args, Responder<proto::domain_screenshot> responder) {
        auto prepared = prepare(args);
        if (!prepared) {
            return responder.fail(prepared.error());
        }
        const vmm::Guest::VideoHead head = prepared->first;
        // The count outlives us where a guest's answer does.
        std::shared_ptr<void> place(places_.get(), [places = places_](unsigned*) { --*places; });
        ++*places_;
        auto shared = std::make_shared<os::MemoryFile>(std::move(prepared->second));
        services_.guests.operate(
            args.dom.uuid,
            [head, shared](vmm::Guest& guest, vmm::Done done) {
                guest.screenshot(shared->written.duplicate(), head, std::move(done));
            },
            [shared, place, r = std::move(responder)](const Result<Uuid>& taken) mutable {
                if (!taken) {
                    return r.fail(taken.error());
                }
                auto picture = std::make_unique<Picture>(std::move(*shared), std::move(place));
                Picture& it = *picture;
                if (rpc::Stream stream = r.open({.mime = "image/x-portable-pixmap"}, std::move(picture));
                    stream.alive()) {
                    it.attach(std::move(stream));
                }
            });
    }

private:
    Result<std::pair<vmm::Guest::VideoHead, os::MemoryFile>> prepare(const proto::domain_screenshot_args& args) const {
        TRY_OK(check_flags(args.flags, 0, "qemuDomainScreenshot"));
        TRY(const Domain* const domain, services_.guests.running(args.dom.uuid));
        TRY(const vmm::Guest::VideoHead head, find_screen(domain->guest->spec(), args.screen));
        if (*places_ >= kMostPictures) {
            return fail(Code::conflict, fmt::format("{} screenshots wait for their clients to read them", *places_));
        }
        TRY(os::MemoryFile file, os::memory_file("screenshot"));
        return std::pair(head, std::move(file));
    }

    Services& services_;
    std::shared_ptr<unsigned> places_ = std::make_shared<unsigned>(0);
};

// ---- a way into the display

constexpr std::uint32_t kSkipAuth = 1;  // VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH

Result<void> check_graphics(const Services& s, const proto::Domain& dom, std::uint32_t index, std::uint32_t flags,
                            std::string_view function) {
    TRY_OK(check_flags(flags, kSkipAuth, function));
    TRY(const Domain* const domain, s.guests.running(dom.uuid));
    if (index >= domain->guest->spec().graphics.size()) {
        return fail(Code::invalid_state, fmt::format("No graphics backend with index {}", index));
    }
    return {};
}

// QEMU gets one end, and `done` is called when it has taken it.
void add_client(Services& s, const Uuid& uuid, UniqueFd end, std::uint32_t flags, Guests::Done done) {
    s.guests.operate(
        uuid,
        [end = std::make_shared<UniqueFd>(std::move(end)), flags](vmm::Guest& guest, vmm::Done next) {
            guest.add_display_client(std::move(*end), (flags & kSkipAuth) != 0, std::move(next));
        },
        std::move(done));
}

void add_graphics(rpc::Handlers& h, Services& s) {
    h.add<proto::domain_open_graphics>([&s](Call& call, const proto::domain_open_graphics_args& args,
                                            Responder<proto::domain_open_graphics> responder) {
        auto checked = check_graphics(s, args.dom, args.idx, args.flags, "qemuDomainOpenGraphics");
        if (checked && (call.fds.size() != 1 || !os::is_stream_socket(call.fds[0]))) {
            checked = fail(Code::invalid_argument, "a display's client comes with one descriptor, which is a socket");
        }
        if (!checked) {
            return responder.fail(checked.error());
        }
        add_client(s, args.dom.uuid, std::move(call.fds[0]), args.flags, answering(std::move(responder)));
    });
    h.add<proto::domain_open_graphics_fd>([&s](Call&, const proto::domain_open_graphics_fd_args& args,
                                               Responder<proto::domain_open_graphics_fd> responder) {
        const auto checked = check_graphics(s, args.dom, args.idx, args.flags, "qemuDomainOpenGraphicsFD");
        auto ends = checked ? os::stream_pair() : std::unexpected(checked.error());
        if (!ends) {
            return responder.fail(ends.error());
        }
        auto ours = std::make_shared<UniqueFd>(std::move(ends->first));
        add_client(s, args.dom.uuid, std::move(ends->second), args.flags,
                   [ours, r = std::move(responder)](const Result<Uuid>& done) mutable {
                       if (!done) {
                           return r.fail(done.error());
                       }
                       std::vector<UniqueFd> fds;
                       fds.push_back(std::move(*ours));
                       r.ok({}, std::move(fds));
                   });
    });
}

// ---- its memory

constexpr std::uint32_t kCrash = 1, kLive = 2, kReset = 8, kMemoryOnly = 16;  // virDomainCoreDumpFlags
constexpr std::array<std::string_view, 4> kFormats{"elf", "kdump-zlib", "kdump-lzo", "kdump-snappy"};

struct CoreFile {
    std::string folder, name;
    std::string_view format;
};

Result<CoreFile> check_dump(const Services& s, const proto::Domain& dom, const std::string& path, std::uint32_t format,
                            std::uint32_t flags) {
    TRY_OK(check_flags(flags, kCrash | kLive | kReset | kMemoryOnly, "qemuDomainCoreDumpWithFormat"));
    if ((flags & kCrash) != 0 && (flags & (kLive | kReset)) != 0) {
        return fail(Code::invalid_argument, "--crash ends the guest: it goes with neither --live nor --reset");
    }
    if (format >= kFormats.size()) {
        return fail(Code::unsupported, fmt::format("unknown format {} of core files (0: ELF, 1 to 3: kdump)", format));
    }
    TRY_OK(s.guests.running(dom.uuid));
    const auto slash = path.rfind('/');
    const std::string name = slash == std::string::npos ? "" : path.substr(slash + 1);
    if (!path.starts_with('/') || name.empty() || name == "." || name == ".." || path.contains('\0')) {
        return fail(Code::invalid_argument, fmt::format("'{}': a core file needs an absolute path", path));
    }
    return CoreFile{.folder = slash == 0 ? "/" : path.substr(0, slash), .name = name, .format = kFormats[format]};
}

// An existing file is never touched: whoever may dump a guest need not be allowed to overwrite the host's files.
void dump(Services& s, Storage& storage, const proto::Domain& dom, const std::string& path, std::uint32_t format,
          std::uint32_t flags, Guests::Done done) {
    const auto checked = check_dump(s, dom, path, format, flags);
    if (!checked) {
        return done(std::unexpected(checked.error()));
    }
    kernel::run_on(
        storage.files(), [core = *checked] { return os::make_file(core.folder, core.name); },
        [&s, &storage, core = *checked, uuid = dom.uuid, flags, done = std::move(done)](Result<UniqueFd> file) mutable {
            if (!file) {
                return done(std::unexpected(file.error()));
            }
            auto shared = std::make_shared<UniqueFd>(std::move(*file));
            s.guests.operate(
                uuid,
                [shared, core](vmm::Guest& guest, vmm::Done next) {
                    guest.dump(std::move(*shared), core.format, std::move(next));
                },
                [&s, &storage, core, uuid, flags, done = std::move(done)](const Result<Uuid>& dumped) mutable {
                    if (!dumped) {
                        kernel::run_on(
                            storage.files(), [core] { return os::remove_entry(core.folder, core.name, false); },
                            [dumped, done = std::move(done)](const Result<void>&) mutable { done(dumped); });
                    } else if ((flags & kCrash) != 0) {
                        s.guests.destroy(uuid, false, std::move(done));
                    } else if ((flags & kReset) != 0) {
                        s.guests.reset(uuid, std::move(done));
                    } else {
                        done(uuid);
                    }
                });
        });
}

}  // namespace

void add_domain_display_handlers(rpc::Handlers& handlers, Services& services, Storage& storage) {
    handlers.add<proto::domain_screenshot>(
        [pictures = std::make_unique<Pictures>(services)](Call&, const proto::domain_screenshot_args& args,
                                                          Responder<proto::domain_screenshot> responder) {
            pictures->take(args, std::move(responder));
        });
    add_graphics(handlers, services);
    handlers.add<proto::domain_core_dump>([&services, &storage](Call&, const proto::domain_core_dump_args& args,
                                                                Responder<proto::domain_core_dump> responder) {
        dump(services, storage, args.dom, args.to, 0, args.flags, answering(std::move(responder)));
    });
    handlers.add<proto::domain_core_dump_with_format>(
        [&services, &storage](Call&, const proto::domain_core_dump_with_format_args& args,
                              Responder<proto::domain_core_dump_with_format> responder) {
            dump(services, storage, args.dom, args.to, args.dumpformat, args.flags, answering(std::move(responder)));
        });
}

}  // namespace bascule::daemon
