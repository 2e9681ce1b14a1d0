// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/kernel/conformance.h"
#include "tests/support/fake_kernel.h"

namespace bascule::test {
namespace {

class FakeHost : public Host {
public:
    Kernel& kernel() override { return kernel_; }
    std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::time_point(); }
    void add_foreign(const std::string& link, bool bridge) override { kernel_.add_foreign(link, bridge); }
    void set_master(const std::string& link, const std::string& bridge) override {
        kernel_.state.links.at(link_name(link)).master = link_name(bridge);
    }
    void flush_rules() override { kernel_.flush_rules(); }
    void flush_chain(Family family, const std::string& chain) override {
        kernel_.state.rules.at(family).chains.at(chain).rules.clear();
    }
    bool has_table(Family family) override { return kernel_.state.rules.contains(family); }

private:
    FakeKernel kernel_;
};

std::unique_ptr<Host> make_fake_host() { return std::make_unique<FakeHost>(); }

INSTANTIATE_TEST_SUITE_P(Fake, Conformance, testing::Values(make_fake_host));

}  // namespace
}  // namespace bascule::test
