// SPDX-License-Identifier: GPL-2.0-or-later
// The peer's own definitions of guests, where they are at hand: how many of them we take, and that each of the others
// is refused with a line. $BASCULE_PEER or ../shared/peer/libvirt beside the project.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/golden.h"
#include "tests/vmm/support.h"
#include "vmm/compile.h"
#include "vmm/xml.h"

namespace bascule::vmm {
namespace {

namespace fs = std::filesystem;

fs::path peer_folder() {
    const char* const env = std::getenv("BASCULE_PEER");
    return env != nullptr ? fs::path(env) : fs::path(TEST_SOURCE_DIR).parent_path() / "shared/peer/libvirt";
}

// The text without its elements of that name.
std::string without(std::string text, const std::string& element) {
    const std::string open = "<" + element + " ", close = "</" + element + ">";
    for (auto at = text.find(open); at != std::string::npos; at = text.find(open, at)) {
        const auto end = text.find(close, at);
        if (end == std::string::npos) {
            break;
        }
        text.erase(at, end + close.size() - at);
    }
    return text;
}

// Most of these are about network interfaces of many kinds; what is around those is looked at by itself.
TEST(VmmPeerData, DefinitionsAreTakenOrRefusedWithALine) {
    const fs::path folder = peer_folder() / "qemuxmlconfdata";
    if (!fs::exists(folder)) {
        GTEST_SKIP() << "needs the peer's data (" << folder.string() << ")";
    }
    std::size_t taken = 0, taken_whole = 0, seen = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().extension() != ".xml") {
            continue;
        }
        ++seen;
        const std::string whole = test::read_file(entry.path());
        const auto as_is = parse(whole);
        taken_whole += as_is ? 1 : 0;
        if (!as_is) {
            RecordProperty("whole-" + entry.path().stem().string(), as_is.error().message);
        }
        auto spec = parse(without(without(whole, "interface"), "hostdev"));
        if (!spec) {
            EXPECT_TRUE(spec.error().message.starts_with("line ")) << entry.path() << spec.error().message;
            RecordProperty(entry.path().stem().string(), spec.error().message);
            continue;
        }
        const auto completed = complete(*spec, test::counted());
        ASSERT_TRUE(completed) << entry.path() << completed.error().message;
        const std::string text = format(*spec, std::nullopt, true);
        const auto again = parse(text);
        ASSERT_TRUE(again) << entry.path() << again.error().message;
        EXPECT_EQ(*again, *spec) << entry.path();
        EXPECT_TRUE(compile(*spec, test::plans(*spec))) << entry.path();
        ++taken;
    }
    // What was taken once stays taken.
    constexpr std::size_t kAtLeast = 68;
    EXPECT_GE(taken, kAtLeast) << "of " << seen << ", " << taken_whole << " of them whole";
    constexpr std::size_t kWholeAtLeast = 36;
    EXPECT_GE(taken_whole, kWholeAtLeast) << "of " << seen;
    RecordProperty("taken", static_cast<int>(taken));
}

// Each interface of those definitions by itself: what stands around it may be another part's business.
TEST(VmmPeerData, InterfacesAreTakenOrRefusedWithALine) {
    const fs::path folder = peer_folder() / "qemuxmlconfdata";
    if (!fs::exists(folder)) {
        GTEST_SKIP() << "needs the peer's data (" << folder.string() << ")";
    }
    std::size_t taken = 0, seen = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string whole = entry.path().extension() == ".xml" ? test::read_file(entry.path()) : std::string();
        constexpr std::string_view kOpen = "<interface ", kClose = "</interface>";
        for (auto at = whole.find(kOpen); at != std::string::npos; at = whole.find(kOpen, at + 1)) {
            const std::string element = whole.substr(at, whole.find(kClose, at) + kClose.size() - at);
            const auto spec = parse(
                "<domain type='qemu'><name>one</name><memory>65536</memory><os><type arch='x86_64'>hvm</type>"
                "</os><devices>" +
                element + "</devices></domain>");
            ++seen;
            taken += spec ? 1 : 0;
            if (!spec) {
                EXPECT_TRUE(spec.error().message.starts_with("line ")) << entry.path() << spec.error().message;
                RecordProperty(entry.path().stem().string() + std::to_string(seen), spec.error().message);
                continue;
            }
            const std::string text = format(*spec, std::nullopt, true);
            const auto again = parse(text);
            ASSERT_TRUE(again) << entry.path() << again.error().message;
            EXPECT_EQ(again->interfaces, spec->interfaces) << entry.path() << text;
        }
    }
    constexpr std::size_t kAtLeast = 80;
    EXPECT_GE(taken, kAtLeast) << "of " << seen;
}

}  // namespace
}  // namespace bascule::vmm
