// SPDX-License-Identifier: GPL-2.0-or-later
// The suite that the fake kernel passes, on Linux, each test in a network namespace of its own.
#include "kernel/linux/clock.h"
#include "tests/kernel/conformance.h"
#include "tests/kernel/linux/netns.h"

namespace bascule::test {

namespace {

namespace os = kernel::os;

class LinuxHost : public Host {
public:
    explicit LinuxHost(std::unique_ptr<Kernel> kernel) : kernel_(std::move(kernel)) {}

    Kernel& kernel() override { return *kernel_; }
    std::chrono::steady_clock::time_point now() override { return os::boot_now(); }
    void add_foreign(const std::string& link, bool bridge) override {
        os::sh("ip link add " + link + (bridge ? " type bridge" : " type veth peer name peer-" + link));
    }
    void set_master(const std::string& link, const std::string& bridge) override {
        os::sh("ip link set " + link + " master " + bridge);
    }
    void flush_rules() override { os::sh("nft flush ruleset"); }
    void flush_chain(Family family, const std::string& chain) override {
        os::sh("nft flush chain " + std::string(name_of(family)) + " bascule " + chain);
    }
    bool has_table(Family family) override {
        return os::sh("nft list tables").contains("table " + std::string(name_of(family)) + " bascule\n");
    }

private:
    std::unique_ptr<Kernel> kernel_;
};

std::unique_ptr<Host> make_linux_host() {
    if (!os::enter_namespaces().empty()) {
        return nullptr;
    }
    auto kernel = os::needed_kernel();
    return kernel ? std::make_unique<LinuxHost>(std::move(kernel)) : nullptr;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Linux, Conformance, testing::Values(make_linux_host));

}  // namespace bascule::test
