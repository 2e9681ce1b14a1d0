// SPDX-License-Identifier: GPL-2.0-or-later
// A QEMU made of a script: it answers QMP like a real one, and dies, lies or falls silent where it is told to.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/io.h"
#include "vmm/qmp.h"

namespace bascule::test {

// kernel::Stream over a socket, as kernel/linux has it.
class SocketStream : public kernel::Stream {
public:
    explicit SocketStream(UniqueFd fd) : fd_(std::move(fd)) { ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK); }
    int fd() const override { return fd_.get(); }
    Result<Bytes> read(std::size_t limit) override {
        Bytes out(limit);
        const ssize_t got = ::recv(fd_.get(), out.data(), out.size(), MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            return Bytes();
        }
        if (got <= 0) {
            return fail(Code::unreachable, "the other side has closed the connection");
        }
        out.resize(static_cast<std::size_t>(got));
        return out;
    }
    Result<std::size_t> write(ByteView bytes) override {
        const ssize_t put = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) {
            return std::size_t{0};
        }
        return put < 0 ? Result<std::size_t>(fail(Code::unreachable, "closed")) : static_cast<std::size_t>(put);
    }
    Result<std::size_t> write_with(ByteView bytes, int fd) override {
        iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        const ssize_t put = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) {
            return std::size_t{0};
        }
        return put < 0 ? Result<std::size_t>(fail(Code::unreachable, "closed")) : static_cast<std::size_t>(put);
    }

private:
    UniqueFd fd_;
};

class Peer {
public:
    Peer() {
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
            mine_ = UniqueFd(ends[0]);
            theirs_ = UniqueFd(ends[1]);
        }
    }

    std::unique_ptr<kernel::Stream> stream() { return std::make_unique<SocketStream>(std::move(theirs_)); }

    void say(const std::string& text) {
        if (mine_) {
            (void)!::send(mine_.get(), text.data(), text.size(), MSG_NOSIGNAL);
        }
    }
    void event(const std::string& name, const vmm::qmp::Json& data = vmm::qmp::Json::object()) {
        say(vmm::qmp::Json{{"event", name}, {"data", data}, {"timestamp", {{"seconds", 1}, {"microseconds", 2}}}}
                .dump() +
            "\n");
    }
    void greet() {
        say(R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}})"
            "\r\n");
    }
    void close() { mine_.reset(); }

    // Answers what has come; true when something had.
    bool turn() {
        char buffer[4096];
        const ssize_t got = mine_ ? ::recv(mine_.get(), buffer, sizeof(buffer), MSG_DONTWAIT) : -1;
        if (got <= 0) {
            return false;
        }
        in_.append(buffer, static_cast<std::size_t>(got));
        for (auto end = in_.find('\n'); end != std::string::npos; end = in_.find('\n')) {
            const auto command = vmm::qmp::Json::parse(in_.substr(0, end));
            in_.erase(0, end + 1);
            commands.push_back(command.value("execute", "") +
                               (command.contains("arguments") ? " " + command["arguments"].dump() : ""));
            answer(command.value("execute", ""), command["id"]);
        }
        return true;
    }

    std::vector<std::string> commands;  // as they came: `set_link {"name":"net0","up":false}`
    std::string status = "prelaunch";
    // Instead of the answer to the command of that name.
    std::map<std::string, std::function<void(const vmm::qmp::Json& id)>> instead;

private:
    void answer(const std::string& name, const vmm::qmp::Json& id) {
        if (const auto other = instead.find(name); other != instead.end()) {
            other->second(id);
            return;
        }
        vmm::qmp::Json value = vmm::qmp::Json::object();
        if (name == "query-chardev") {
            value = vmm::qmp::Json::array({{{"label", "charmonitor"}, {"filename", "unix:x"}},
                                           {{"label", "charserial0"}, {"filename", "pty:/dev/pts/17"}}});
        } else if (name == "query-status") {
            value = {{"status", status}, {"running", status == "running"}};
        } else if (name == "cont") {
            status = "running";
            event("RESUME");
        } else if (name == "stop") {
            status = "paused";
            event("STOP");
        }
        say(vmm::qmp::Json{{"return", value}, {"id", id}}.dump() + "\r\n");
    }

    UniqueFd mine_, theirs_;
    std::string in_;
};

}  // namespace bascule::test
