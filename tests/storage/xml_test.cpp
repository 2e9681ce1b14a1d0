// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/xml.h"

#include <gtest/gtest.h>

namespace bascule::storage {
namespace {

constexpr const char* kDir =
    "<pool type='dir'><name>images</name><uuid>35bb2ad9-388a-cdfe-461a-b8907f6e53fe</uuid>"
    "<target><path>/srv//images/</path><permissions><mode>0750</mode><owner>107</owner><group>-1</group>"
    "</permissions></target></pool>";

std::string error_of(std::string_view pool) {
    const auto parsed = parse_pool(pool);
    return parsed ? "accepted" : parsed.error().message;
}
std::string volume_error(std::string_view volume, PoolType pool = PoolType::dir) {
    const auto parsed = parse_volume(volume, pool);
    return parsed ? "accepted" : parsed.error().message;
}

TEST(PoolXml, ReadsAFolder) {
    const auto pool = parse_pool(kDir);
    ASSERT_TRUE(pool) << pool.error().message;
    EXPECT_EQ(pool->name.str(), "images");
    EXPECT_EQ(pool->target, "/srv/images");
    EXPECT_EQ(pool->permissions, (Permissions{.mode = 0750, .owner = 107, .group = std::nullopt}));
}

TEST(PoolXml, FormatsWhatItReadsToTheSame) {
    for (const char* text :
         {kDir,
          "<pool type='logical'><source><name>vg0</name><device path='/dev/sda1'/><device path='/dev/sdb'/>"
          "<format type='lvm2'/></source></pool>",
          "<pool type='logical'><name>vg1</name><target><path>/dev/elsewhere</path></target></pool>"}) {
        auto pool = parse_pool(text);
        ASSERT_TRUE(pool) << pool.error().message;
        pool->uuid = *Uuid::parse("35bb2ad9-388a-cdfe-461a-b8907f6e53fe");
        const auto again = parse_pool(format(*pool, {.capacity = 10, .allocation = 4, .available = 6}));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, *pool);
    }
}

TEST(PoolXml, PrintsAsLibvirtDoes) {
    const auto pool = parse_pool(kDir);
    ASSERT_TRUE(pool);
    EXPECT_EQ(format(*pool, {.capacity = 10, .allocation = 4, .available = 6}, Permissions{0711, 0, 0}),
              "<pool type='dir'>\n"
              "  <name>images</name>\n"
              "  <uuid>35bb2ad9-388a-cdfe-461a-b8907f6e53fe</uuid>\n"
              "  <capacity unit='bytes'>10</capacity>\n"
              "  <allocation unit='bytes'>4</allocation>\n"
              "  <available unit='bytes'>6</available>\n"
              "  <source>\n"
              "  </source>\n"
              "  <target>\n"
              "    <path>/srv/images</path>\n"
              "    <permissions>\n"
              "      <mode>0711</mode>\n"
              "      <owner>0</owner>\n"
              "      <group>0</group>\n"
              "    </permissions>\n"
              "  </target>\n"
              "</pool>\n");
}

TEST(PoolXml, AGroupIsNamedByItsSourceOrItsPool) {
    const auto by_source = parse_pool("<pool type='logical'><source><name>vg0</name></source></pool>");
    ASSERT_TRUE(by_source) << by_source.error().message;
    EXPECT_EQ(by_source->name.str(), "vg0");
    EXPECT_EQ(by_source->target, "/dev/vg0");
    const auto by_name = parse_pool("<pool type='logical'><name>vg1</name></pool>");
    ASSERT_TRUE(by_name) << by_name.error().message;
    EXPECT_EQ(by_name->group, "vg1");
}

TEST(PoolXml, RefusesByName) {
    for (const char* type : {"fs", "netfs", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog",
                             "gluster", "zfs", "vstorage"}) {
        const auto parsed = parse_pool("<pool type='" + std::string(type) + "'><name>p</name></pool>");
        ASSERT_FALSE(parsed);
        EXPECT_EQ(parsed.error().code, Code::unsupported_config);
        EXPECT_NE(parsed.error().message.find("the type '" + std::string(type) + "'"), std::string::npos);
    }
    EXPECT_EQ(error_of("<pool type='heap'><name>p</name></pool>"),
              "line 1: <pool type>: expected 'dir' or 'logical', got 'heap'");
    EXPECT_EQ(error_of("<volume/>"), "unexpected root element <volume>, expecting <pool>");
    EXPECT_EQ(error_of("<pool><name>p</name></pool>"), "line 1: <pool type>: the attribute is missing (expected text)");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name></pool>"),
              "line 1: <pool>: is missing (expected an element <target> with a <path>)");
    EXPECT_EQ(error_of("<pool type='dir'><target><path>/x</path></target></pool>"),
              "line 1: <pool>: is missing (expected an element <name>)");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name><target><path>images</path></target></pool>"),
              "line 1: <path>: expected an absolute path without '.' or '..', got 'images'");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name><target><path>/a/../etc</path></target></pool>"),
              "line 1: <path>: expected an absolute path without '.' or '..', got '/a/../etc'");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name><target><path>/a</path><permissions><mode>rwx</mode>"
                       "</permissions></target></pool>"),
              "line 1: <mode>: expected an octal mode such as 0644, got 'rwx'");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name><source><host name='h'/></source><target><path>/a</path>"
                       "</target></pool>"),
              "line 1: <host>: not supported by this version (a pool of type 'dir' has no source but its folder)");
    EXPECT_EQ(error_of("<pool type='logical'><source><name>../vg</name></source></pool>"),
              "line 1: <name>: expected the name of an LVM volume group, got '../vg'");
    EXPECT_EQ(error_of("<pool type='dir'><name>p</name><targte/></pool>").substr(0, 20), "line 1: <pool>: is m");
}

TEST(VolumeXml, ReadsWhatToMake) {
    const auto volume = parse_volume(
        "<volume type='file'><name>a b.qcow2</name><key>/old</key><source/><capacity unit='GiB'>2</capacity>"
        "<allocation unit='kB'>3</allocation><physical unit='bytes'>1</physical><target><path>/old</path>"
        "<format type='qcow2'/><permissions><mode>0644</mode><owner>1</owner><group>2</group></permissions>"
        "<timestamps><atime>1.2</atime></timestamps><compat>1.1</compat><clusterSize unit='KiB'>128</clusterSize>"
        "<features><lazy_refcounts/></features></target><backingStore><path>/b</path><format type='raw'/>"
        "</backingStore></volume>",
        PoolType::dir);
    ASSERT_TRUE(volume) << volume.error().message;
    EXPECT_EQ(volume->name, "a b.qcow2");
    EXPECT_EQ(volume->capacity, std::uint64_t{2} << 30);
    EXPECT_EQ(volume->allocation, 3000U);
    EXPECT_EQ(volume->format, Format::qcow2);
    EXPECT_EQ(volume->details, (FormatDetails{"1.1", 131072, true, false}));
    EXPECT_EQ(volume->permissions, (Permissions{0644, 1, 2}));
    EXPECT_EQ(volume->backing, (Backing{"/b", Format::raw}));
}

TEST(VolumeXml, AListingIsAlsoARequest) {
    Volume volume{.name = "x", .key = "/p/x", .path = "/p/x", .format = Format::qcow2, .capacity = 7, .allocation = 5};
    volume.physical = 5;
    volume.details = {"1.1", 65536, false, true};
    volume.permissions = {0600, 0, 0};
    volume.times = Volume::Times{{1, 2}, {3, 4}, {5, 600000000}};
    volume.backing = Backing{"/p/base", Format::raw};
    const std::string text = format(volume);
    EXPECT_NE(text.find("<mtime>5.600000000</mtime>"), std::string::npos) << text;
    const auto spec = parse_volume(text, PoolType::dir);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->capacity, 7U);
    EXPECT_EQ(spec->details, volume.details);
    EXPECT_EQ(spec->backing, volume.backing);
}

TEST(VolumeXml, RefusesNamesThatAreNone) {
    for (const std::string name : {"..", ".", "a/b", "/etc/passwd", "", "tab\there"}) {
        EXPECT_NE(volume_error("<volume><name>" + name + "</name><capacity>1</capacity></volume>"), "accepted") << name;
    }
    EXPECT_NE(volume_error("<volume><name>" + std::string(256, 'x') + "</name></volume>"), "accepted");
    EXPECT_NE(volume_error("<volume><name>with space</name></volume>", PoolType::logical), "accepted");
    EXPECT_NE(volume_error("<volume><name>-L</name></volume>", PoolType::logical), "accepted");
}

TEST(VolumeXml, RefusesByName) {
    EXPECT_EQ(volume_error("<volume><name>e</name><target><encryption format='luks'/></target></volume>"),
              "line 1: <encryption>: not supported by this version (encrypted volumes)");
    EXPECT_EQ(volume_error("<volume><name>e</name><capacity unit='furlong'>1</capacity></volume>"),
              "line 1: <capacity unit>: expected a unit such as 'bytes', 'KiB', 'GB' or 'G', got 'furlong'");
    EXPECT_EQ(volume_error("<volume><name>e</name><capacity unit='EiB'>99</capacity></volume>"),
              "line 1: <capacity>: more bytes than 64 bits can count, got '99'");
    EXPECT_EQ(volume_error("<volume><name>e</name><capacity>-1</capacity></volume>"),
              "line 1: <capacity>: expected a whole number, got '-1'");
    EXPECT_EQ(volume_error("<volume><name>e</name><target><compat>1.1</compat></target></volume>"),
              "line 1: <volume>: <compat>, <clusterSize> and <features> are for the format 'qcow2' only");
    EXPECT_EQ(volume_error("<volume><name>e</name><capasity>1</capasity></volume>"),
              "line 1: <capasity>: unknown element, did you mean 'capacity'?");
}

TEST(StorageXml, SearchesNameTheirSources) {
    EXPECT_TRUE(check_source_spec(""));
    EXPECT_TRUE(check_source_spec("<source><device path='/dev/sda'/></source>"));
    EXPECT_FALSE(check_source_spec("<source><host name='h'/></source>"));
    const auto pool =
        parse_pool("<pool type='logical'><source><name>vg0</name><device path='/dev/sda'/></source></pool>");
    ASSERT_TRUE(pool);
    EXPECT_EQ(format_groups({*pool}),
              "<sources>\n  <source>\n    <device path='/dev/sda'/>\n    <name>vg0</name>\n    <format type='lvm2'/>\n"
              "  </source>\n</sources>\n");
}

TEST(StorageXml, CapabilitiesNameEveryType) {
    const std::string text = capabilities();
    EXPECT_NE(text.find("<pool type='dir' supported='yes'>"), std::string::npos);
    EXPECT_NE(text.find("<pool type='logical' supported='yes'>"), std::string::npos);
    EXPECT_NE(text.find("<pool type='rbd' supported='no'/>"), std::string::npos);
}

}  // namespace
}  // namespace bascule::storage
