// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/version.h"
#include "dhcp/netsvc/files.h"
#include "dhcp/netsvc/sandbox.h"
#include "dhcp/netsvc/service.h"

namespace {

using namespace bascule;

constexpr int kListener = 3, kFolder = 4, kDaemon = 5;

constexpr std::string_view kHelp =
    "bascule-netsvc serves DHCP and DNS on virtual networks. basculed starts it and hands it, as open descriptors:\n"
    "  3  a listening Unix seqpacket socket, on which daemons connect\n"
    "  4  the folder of the lease files\n"
    "  5  a connection to the daemon that starts it (may be absent)\n"
    "Options: --debug (log more), --help, --version\n";

int socket_option(int fd, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

Result<void> check_descriptors() {
    if (socket_option(kListener, SO_ACCEPTCONN) != 1 || socket_option(kListener, SO_TYPE) != SOCK_SEQPACKET) {
        return fail(Code::invalid_argument,
                    "descriptor 3 is no listening seqpacket socket: basculed starts this program");
    }
    struct stat status{};
    if (::fstat(kFolder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return fail(Code::invalid_argument, "descriptor 4 is no folder: basculed starts this program");
    }
    // Ours from here on; a listening socket that blocks would let a client that changes its mind stop the loop.
    if (::fcntl(kListener, F_SETFL, O_NONBLOCK) != 0) {
        return fail_errno("cannot make the listening socket non-blocking");
    }
    return {};
}

// A log that nobody reads (the pipe of a daemon that hangs) must not stop the service: lines are lost instead. Only
// for pipes: a terminal or the journal's socket is shared with others, who would not expect it.
void never_wait_for_the_log() {
    struct stat status{};
    if (::fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode)) {
        ::fcntl(STDERR_FILENO, F_SETFL, O_WRONLY | O_NONBLOCK);
    }
}

Result<void> serve() {
    never_wait_for_the_log();
    TRY_OK(check_descriptors());
    const UniqueFd folder(kFolder);
    TRY(const UniqueFd lock, netsvc::lock_folder(folder.get()));
    const bool connected =
        socket_option(kDaemon, SO_TYPE) == SOCK_SEQPACKET && socket_option(kDaemon, SO_ACCEPTCONN) == 0;
    TRY(UniqueFd opener, netsvc::start_opener());
    TRY(const auto service, netsvc::Service::make(UniqueFd(kListener), folder.get(), UniqueFd(connected ? kDaemon : -1),
                                                  std::move(opener)));
    log::info("bascule-netsvc {} is ready", kVersion);
    TRY_OK(netsvc::enter_sandbox(folder.get()));
    return service->run();
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option == "--debug") {
            log::set_level(log::Level::debug);
        } else if (option == "--version") {
            std::puts(("bascule-netsvc " + std::string(kVersion)).c_str());
            return 0;
        } else {
            std::fputs(kHelp.data(), option == "--help" ? stdout : stderr);
            return option == "--help" ? 0 : 2;
        }
    }
    if (auto served = serve(); !served) {
        log::error("{}", served.error().message);
    }
    // Without the exit handlers: in the sandbox they have nothing left that they may do.
    ::_exit(1);
}
