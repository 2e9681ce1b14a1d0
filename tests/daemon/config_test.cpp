// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/config.h"

#include <gtest/gtest.h>

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
    EXPECT_EQ(rw_perms(config), 0770U);
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
              "bascule.conf:1: max_clients: expected a number from 1 to 1000000, got 'many'");
    EXPECT_EQ(message("log_level = loud\n"),
              "bascule.conf:1: log_level: expected 'error', 'warning', 'info' or 'debug', got 'loud'");
}

TEST(Config, ReadsListsOverSeveralLinesAndBothQuotes) {
    Config config;
    const auto done = read(
        "tls_allowed_dn_list = [\n"
        "  'CN=one,O=\"Example\"',  # the first\n"
        "\n"
        "  \"CN=two*\",\n"
        "]\n"
        "access_drivers=[\"polkit\"]#end\n"
        "listen_tls = 1\n"
        "tls_port = \"16999\"\n"
        "auth_unix_rw = \"polkit\"\n"
        "host_uuid = \"8f3b4c2e-1111-4222-8333-0123456789ab\"\n"
        "keepalive_interval = -1",
        config);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(config.tls_allowed_dn_list, (std::vector<std::string>{"CN=one,O=\"Example\"", "CN=two*"}));
    EXPECT_TRUE(config.access_polkit);
    EXPECT_TRUE(config.listen_tls);
    EXPECT_EQ(config.tls_port, 16999);
    EXPECT_EQ(config.auth_unix_rw, Auth::polkit);
    EXPECT_EQ(rw_perms(config), 0777U);  // polkit guards the door
    EXPECT_TRUE(config.host_uuid.has_value());
    EXPECT_EQ(config.keepalive_interval, -1);
}

TEST(Config, RefusesWhatItCannotDoInsteadOfBeingOpen) {
    const auto message = [](std::string_view text) {
        Config config;
        const auto done = read(text, config);
        return done ? std::string() : done.error().message;
    };
    EXPECT_TRUE(message("auth_unix_rw = \"sasl\"\n").contains("bascule.conf:1: auth_unix_rw: SASL is not supported"));
    EXPECT_TRUE(message("auth_tcp = \"sasl\"\n").contains("SASL is not supported"));
    EXPECT_EQ(message("auth_tls = \"polkit\"\n"), "bascule.conf:1: auth_tls: expected \"none\", got 'polkit'");
    EXPECT_EQ(message("auth_unix_ro = none\n"),
              "bascule.conf:1: auth_unix_ro: expected \"none\" or \"polkit\", got 'none'");
    EXPECT_EQ(message("access_drivers = \"polkit\"\n"),
              "bascule.conf:1: access_drivers: expected a list such as [ \"polkit\" ], got 'polkit'");
    EXPECT_EQ(message("access_drivers = [ \"selinux\" ]\n"),
              "bascule.conf:1: access_drivers: expected \"none\" or \"polkit\", got 'selinux'");
    EXPECT_EQ(message("listen_tls = yes\n"), "bascule.conf:1: listen_tls: expected 1 or 0, got 'yes'");
    EXPECT_EQ(message("\nmax_clients = 0\n"),
              "bascule.conf:2: max_clients: expected a number from 1 to 1000000, got '0'");
    EXPECT_EQ(message("tls_port = \"70000\"\n"),
              "bascule.conf:1: tls_port: expected a number from 1 to 65535, got '70000'");
    EXPECT_EQ(message("listen_addr = \"somewhere\"\n"),
              "bascule.conf:1: listen_addr: expected an IP address or \"localhost\", got 'somewhere'");
    EXPECT_EQ(message("ca_file = \"cacert.pem\"\n"),
              "bascule.conf:1: ca_file: expected an absolute path, got 'cacert.pem'");
    EXPECT_EQ(message("host_uuid = \"00000000-0000-0000-0000-000000000000\"\n"),
              "bascule.conf:1: host_uuid: expected a UUID whose digits are not all the same, got "
              "'00000000-0000-0000-0000-000000000000'");
    EXPECT_EQ(message("tls_allowed_dn_list = [ \"a\"\n\"b\" ]\n"),
              "bascule.conf:2: tls_allowed_dn_list: expected ',' or ']' in the list");
    EXPECT_EQ(message("tls_allowed_dn_list = [ \"a\",\n"),
              "bascule.conf:2: tls_allowed_dn_list: expected a quoted text");
    EXPECT_EQ(message("max_clients = 5 6\n"), "bascule.conf:1: max_clients: unexpected '6' after the value");
}

TEST(Config, AFileWrittenForThePeerIsReadAndSaysWhatMeansNothing) {
    Config config;
    ASSERT_TRUE(read("min_workers = 5\nlog_outputs = \"3:syslog:libvirtd\"\nmax_queued_clients = 7\n", config));
    EXPECT_EQ(config.notes, (std::vector<std::string>{"bascule.conf:1: min_workers has no meaning here",
                                                      "bascule.conf:2: log_outputs has no meaning here"}));
    EXPECT_EQ(config.max_queued_clients, 7U);
}

TEST(Config, TcpWithoutAuthenticationIsForThisHostOnly) {
    Config config;
    ASSERT_TRUE(read("listen_tcp = 1\n", config));
    EXPECT_TRUE(check_config(config).error().message.contains("at all addresses would let everybody in"));
    ASSERT_TRUE(read("listen_addr = \"192.0.2.1\"\n", config));
    EXPECT_TRUE(check_config(config).error().message.contains("at 192.0.2.1 would let everybody in"));
    ASSERT_TRUE(read("listen_addr = \"127.0.0.1\"\n", config));
    EXPECT_TRUE(check_config(config));
    ASSERT_TRUE(read("listen_tls = 1\ntls_port = \"16509\"\n", config));
    EXPECT_TRUE(check_config(config).error().message.contains("both 16509"));
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

}  // namespace
}  // namespace bascule::daemon
