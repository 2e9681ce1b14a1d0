// SPDX-License-Identifier: GPL-2.0-or-later
// tests/golden/vmm/NAME.xml against what it becomes: .formatted (completed, inactive), .running (as a client sees
// the running guest), .argv (QEMU's command line); bad-NAME.xml against its .error.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "tests/support/golden.h"
#include "tests/vmm/support.h"
#include "vmm/compile.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> only(bool bad) {
    auto files = test::cases("golden/vmm", ".xml");
    std::erase_if(files, [bad](const fs::path& file) { return file.filename().string().starts_with("bad-") != bad; });
    return files;
}

class VmmGolden : public testing::TestWithParam<fs::path> {
protected:
    void SetUp() override {
        auto spec = parse(test::read_file(GetParam()));
        ASSERT_TRUE(spec) << spec.error().message;
        const auto completed = complete(*spec, test::counted());
        ASSERT_TRUE(completed) << completed.error().message;
        spec_.emplace(std::move(*spec));
    }
    fs::path beside(const char* extension) const { return fs::path(GetParam()).replace_extension(extension); }

    std::optional<Spec> spec_;
};

TEST_P(VmmGolden, FormatsInThePeersOrderAndReadsBackTheSame) {
    const std::string text = format(*spec_, std::nullopt, true);
    test::expect_golden(beside(".formatted"), text);
    const auto again = parse(text);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *spec_);
}

TEST_P(VmmGolden, CompletingItAgainChangesNothing) {
    Spec again = *spec_;
    ASSERT_TRUE(complete(again, test::counted()));
    EXPECT_EQ(again, *spec_);
}

TEST_P(VmmGolden, ARunningGuestsDescriptionCanBeDefinedAgain) {
    Spec running = *spec_;
    test::pretend_running(running);
    const std::string text = format(running, 3, true);
    test::expect_golden(beside(".running"), text);
    const auto again = parse(text);
    ASSERT_TRUE(again) << again.error().message;
    Spec wanted = *spec_;
    for (Interface& nic : wanted.interfaces) {
        // A wish for a name has become the name, which is the same.
        nic.live.reset();
    }
    EXPECT_EQ(*again, wanted);
}

TEST_P(VmmGolden, CompilesToTheCommandLine) {
    const auto launch = compile(*spec_, test::plans(*spec_));
    ASSERT_TRUE(launch) << launch.error().message;
    test::expect_golden(beside(".argv"), test::to_text(*launch));
}

TEST_P(VmmGolden, IsValidForThePeersSchema) {
    constexpr const char* kSchema = "/usr/share/libvirt/schemas/domain.rng";
    if (!fs::exists(kSchema) || std::system("command -v xmllint >/dev/null 2>&1") != 0) {
        GTEST_SKIP() << "needs xmllint and libvirt's schemas";
    }
    Spec running = *spec_;
    test::pretend_running(running);
    for (const std::string& text : {format(*spec_), format(running, 3)}) {
        const fs::path file = fs::path(testing::TempDir()) / fmt::format("vmm-schema-{}.xml", ::getpid());
        std::ofstream(file) << text;
        FILE* const pipe =
            ::popen(fmt::format("xmllint --noout --nonet --relaxng {} {} 2>&1", kSchema, file.string()).c_str(), "r");
        ASSERT_NE(pipe, nullptr);
        std::string said;
        char buffer[4096];
        while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) {
            said += buffer;
        }
        EXPECT_EQ(::pclose(pipe), 0) << said << text;
        fs::remove(file);
    }
}

INSTANTIATE_TEST_SUITE_P(Files, VmmGolden, testing::ValuesIn(only(false)),
                         [](const auto& file) { return test::case_name(file.param); });

class VmmBad : public testing::TestWithParam<fs::path> {};

TEST_P(VmmBad, IsRefusedSayingWhatAndWhere) {
    auto spec = parse(test::read_file(GetParam()));
    auto failed = spec ? complete(*spec, test::counted()) : Result<void>(std::unexpected(spec.error()));
    ASSERT_FALSE(failed) << "accepted";
    test::expect_golden(fs::path(GetParam()).replace_extension(".error"), failed.error().message + "\n");
}

INSTANTIATE_TEST_SUITE_P(Files, VmmBad, testing::ValuesIn(only(true)),
                         [](const auto& file) { return test::case_name(file.param); });

}  // namespace
}  // namespace bascule::vmm
