// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/image.h"

#include <gtest/gtest.h>

namespace bascule::storage {
namespace {

// The header of a qcow2 image, version 3, with its backing file's name at 512.
Bytes qcow2(std::string_view backing, std::string_view backing_format, std::uint64_t incompatible = 0) {
    ByteWriter w;
    w.text("QFI\xfb");
    w.u32(3);
    w.u64(backing.empty() ? 0 : 512);
    w.u32(static_cast<std::uint32_t>(backing.size()));
    w.u32(16);
    w.u64(std::uint64_t{5} << 30);
    w.u32(0);
    w.fill(72 - w.size());
    w.u64(incompatible);
    w.u64(1);
    w.u64(0);
    w.u32(4);
    w.u32(104);
    if (!backing_format.empty()) {
        w.u32(0xE2792ACA);
        w.u32(static_cast<std::uint32_t>(backing_format.size()));
        w.text(backing_format);
        w.fill((8 - backing_format.size() % 8) % 8);
    }
    w.u32(0);
    w.u32(0);
    w.fill(512 - w.size());
    w.text(backing);
    w.fill(4096 - w.size());
    return w.take();
}

TEST(ImageHeader, SaysWhatAQcow2Holds) {
    const Image image = describe(qcow2("base.raw", "raw"));
    EXPECT_EQ(image.format, Format::qcow2);
    EXPECT_EQ(image.capacity, std::uint64_t{5} << 30);
    EXPECT_EQ(image.details, (FormatDetails{"1.1", 65536, true, false}));
    EXPECT_EQ(image.backing, "base.raw");
    EXPECT_EQ(image.backing_format, Format::raw);
    EXPECT_FALSE(image.external_data);
    EXPECT_TRUE(describe(qcow2("", "", 4)).external_data);
    EXPECT_FALSE(describe(qcow2("", "")).backing);
}

TEST(ImageHeader, IsNotAskedOfWhatWasMadeAsRaw) {
    EXPECT_EQ(describe(qcow2("/etc/shadow", "raw"), Format::raw), Image());
    EXPECT_EQ(describe(qcow2("/etc/shadow", "raw"), Format::vdi), Image());
    EXPECT_EQ(describe(Bytes(4096), Format::qcow2), Image());
}

TEST(ImageHeader, ThatIsCutShortOrWrongIsNone) {
    const Bytes whole = qcow2("base", "raw");
    for (std::size_t size = 0; size < 104; ++size) {
        EXPECT_EQ(describe(ByteView(whole).first(size)).format, Format::raw) << size;
    }
    Bytes wrong = whole;
    wrong[23] = std::byte{60};  // cluster bits
    EXPECT_EQ(describe(wrong).format, Format::raw);
    EXPECT_EQ(describe(qcow2("bad\nname", "")).backing, "");
    EXPECT_EQ(describe(ByteView(whole).first(514)).backing, "");
    EXPECT_EQ(describe({}), Image());
}

TEST(ImageHeader, KnowsOtherFormatsByTheirMarks) {
    const auto with = [](std::size_t at, std::string_view mark) {
        Bytes out(40000);
        std::ranges::copy(as_bytes(mark), out.begin() + static_cast<std::ptrdiff_t>(at));
        return out;
    };
    EXPECT_EQ(describe(with(0, "KDMV")).format, Format::vmdk);
    EXPECT_EQ(describe(with(0, "conectix")).format, Format::vpc);
    EXPECT_EQ(describe(with(0, std::string_view("QED\0", 4))).format, Format::qed);
    EXPECT_EQ(describe(with(64, "\x7f\x10\xda\xbe")).format, Format::vdi);
    EXPECT_EQ(describe(with(0x8001, "CD001")).format, Format::iso);
    EXPECT_EQ(describe(with(0, "LUKS\xba\xbe")).format, Format::luks);
    EXPECT_TRUE(describe(with(0, "LUKS\xba\xbe")).encrypted);
    EXPECT_EQ(head_wanted(as_bytes("QFI\xfb")), kMostHead);
}

TEST(BackingFiles, AreLocalOrNone) {
    EXPECT_EQ(resolve_backing("/p/x", "base"), "/p/base");
    EXPECT_EQ(resolve_backing("/p/x", "/q/base"), "/q/base");
    EXPECT_EQ(resolve_backing("/p/x", "/q/a:b"), "/q/a:b");
    for (const char* none : {"", "json:{}", "nbd:host:10809", "../../etc/shadow", "./x", "fat:/etc"}) {
        EXPECT_EQ(resolve_backing("/p/x", none), std::nullopt) << none;
    }
}

}  // namespace
}  // namespace bascule::storage
