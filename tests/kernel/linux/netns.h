// SPDX-License-Identifier: GPL-2.0-or-later
// Tests that change a network do it in one of their own: every test of such a fixture starts in a fresh network
// namespace with nothing but a loopback device, and the whole process in a mount namespace.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/result.h"
#include "kernel/linux/linux_kernel.h"

namespace bascule::kernel::os {

// Empty when the calling process now has a namespace of its own, else what is missing.
inline std::string enter_namespaces() {
    if (::geteuid() != 0) {
        return "needs root for network namespaces";
    }
    static const bool mounts =
        ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (!mounts || ::unshare(CLONE_NEWNET) != 0) {
        return "needs network and mount namespaces: " + errno_text(errno);
    }
    // /sys shows the devices of the namespace in which it was mounted.
    ::umount2("/sys", MNT_DETACH);
    ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
    return {};
}

inline std::unique_ptr<Kernel> needed_kernel() {
    auto kernel = make_linux_kernel();
    if (!kernel) {
        ADD_FAILURE() << kernel.error().message;
        return nullptr;
    }
    return *std::move(kernel);
}

// Runs a program of the host (ip, nft) and returns what it printed; a failure is the test's.
inline std::string sh(const std::string& command) {
    FILE* pipe = ::popen(("exec 2>&1\n" + command).c_str(), "re");
    std::string out;
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; pipe != nullptr && (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
        out.append(buffer.data(), n);
    }
    const int status = pipe == nullptr ? -1 : ::pclose(pipe);
    EXPECT_EQ(status, 0) << command << ": " << out;
    return out;
}

class Netns : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string missing = enter_namespaces(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
    }
};

// Waits for something that the kernel does in its own time.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        ::usleep(5000);
    }
    return true;
}

template <class T>
testing::AssertionResult ok(const Result<T>& result) {
    return result ? testing::AssertionSuccess() : testing::AssertionFailure() << result.error().message;
}

}  // namespace bascule::kernel::os
