// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config.h"

#include <gtest/gtest.h>

#include "daemon/emulator.h"
#include "daemon/host.h"

namespace bascule::daemon {
namespace {

Result<void> read(std::string_view text, Config& config) { return read_config(text, "bascule.conf", config); }

TEST(Config, ReadsThePeersSyntax) {
    Config config;
    const auto done = read(
        "# a comment\n"
        "unix_sock_group = \"libvirt\"   # who may\n"
        "unix_sock_rw_perms = \"0770\"\n"
        "\n"
        "max_clients = 12\r\n"
        "log_level = \"debug\"\n",
        config);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(config.unix_sock_group, "libvirt");
    EXPECT_EQ(config.unix_sock_rw_perms, 0770U);
    EXPECT_EQ(config.max_clients, 12U);
    EXPECT_EQ(config.log_level, log::Level::debug);
}

TEST(Config, NamesFileLineKeyAndWhatWouldBeRight) {
    const auto message = [](std::string_view text) {
        Config config;
        return read(text, config).error().message;
    };
    EXPECT_EQ(message("\nunix_sock_grup = \"x\"\n"),
              "bascule.conf:2: unix_sock_grup: unknown key, did you mean "
              "'unix_sock_group'?");
    EXPECT_EQ(message("colour = 1\n"), "bascule.conf:1: colour: unknown key");
    EXPECT_EQ(message("unix_sock_group\n"), "bascule.conf:1: expected 'key = value'");
    EXPECT_EQ(message("qemu_user = \"a\n"), "bascule.conf:1: qemu_user: expected one quoted text");
    EXPECT_EQ(message("qemu_user = \"a\" b\n"), "bascule.conf:1: qemu_user: expected one quoted text");
    EXPECT_EQ(message("unix_sock_rw_perms = \"0999\"\n"),
              "bascule.conf:1: unix_sock_rw_perms: expected an octal number up to 777, got '0999'");
    EXPECT_EQ(message("max_clients = many\n"),
              "bascule.conf:1: max_clients: expected a number up to 4294967295, got "
              "'many'");
    EXPECT_EQ(message("log_level = loud\n"),
              "bascule.conf:1: log_level: expected 'error', 'warning', 'info' or 'debug', got 'loud'");
}

TEST(Config, ABrokenFileChangesNothing) {
    Config config;
    EXPECT_FALSE(read("max_clients = 7\nnonsense\n", config));
    EXPECT_EQ(config.max_clients, Config().max_clients);
}

TEST(CommandLine, KnowsItsOptionsAndRefusesOthers) {
    const auto line = parse_command_line({"--root", "/tmp/x", "--netsvc", "/bin/helper", "-v"});
    ASSERT_TRUE(line);
    EXPECT_EQ(line->root, "/tmp/x");
    EXPECT_EQ(line->netsvc, "/bin/helper");
    EXPECT_TRUE(line->verbose);
    EXPECT_EQ(parse_command_line({})->root, "/");
    EXPECT_FALSE(parse_command_line({"--rot", "/x", "y"}));
    EXPECT_FALSE(parse_command_line({"stray"}));
    EXPECT_TRUE(usage().contains("--root"));
}

TEST(Located, PutsTheFileWhereTheParserHadOnlyALine) {
    EXPECT_EQ(located("a.xml", {Code::invalid_xml, "line 9: <ip>: bad", 0}).message, "a.xml:9: <ip>: bad");
    EXPECT_EQ(located("a.xml", {Code::system, "Permission denied", 0}).message, "a.xml: Permission denied");
}

TEST(QemuVersion, IsCountedAsLibvirtCounts) {
    EXPECT_EQ(parse_qemu_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright"), 7'002'022U);
    EXPECT_EQ(parse_qemu_version("QEMU emulator version 10.0"), 10'000'000U);
    EXPECT_EQ(parse_qemu_version("no such file"), 0U);
    EXPECT_EQ(parse_qemu_version("version 99999999999999999999"), 0U);
}

}  // namespace
}  // namespace bascule::daemon
