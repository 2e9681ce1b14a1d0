// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/access.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "daemon/access_peek.h"
#include "daemon/auth.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_nwfilter.h"
#include "tests/support/golden.h"

namespace bascule::daemon {
namespace {

namespace proto = rpc::proto;
using rpc::Call;

// Decides by a function; answers at once, or when told to.
class FakeAuthority : public kernel::Authority {
public:
    void ask(const kernel::Question& question, Done done) override {
        asked.push_back(question);
        if (later) {
            waiting.push_back(std::move(done));
        } else {
            done(decide(question));
        }
    }
    static std::string words(const kernel::Question& question) {
        std::string out = question.action.substr(std::string_view("org.libvirt.").size());
        for (const auto& [key, value] : question.details) {
            out += key == "connect_driver" ? "" : " " + key + "=" + value;
        }
        return out;
    }
    std::vector<std::string> all() {
        std::vector<std::string> out;
        std::ranges::transform(asked, std::back_inserter(out), words);
        asked.clear();
        return out;
    }

    std::function<Result<void>(const kernel::Question&)> decide = [](const auto&) { return Result<void>(); };
    std::vector<kernel::Question> asked;
    bool later = false;
    std::vector<Done> waiting;
};

const Uuid kOne{{1}}, kTwo{{2}};

Directory directory() {
    const auto kind = [](std::string prefix) {
        Directory::Kind out;
        out.by_uuid = [prefix](const Uuid& uuid) -> std::optional<Directory::Named> {
            return uuid == kOne   ? std::optional<Directory::Named>({prefix + "1", kOne})
                   : uuid == kTwo ? std::optional<Directory::Named>({prefix + "2", kTwo})
                                  : std::nullopt;
        };
        out.by_name = [prefix](const std::string& name) -> std::optional<Directory::Named> {
            return name == prefix + "1"   ? std::optional<Directory::Named>({name, kOne})
                   : name == prefix + "2" ? std::optional<Directory::Named>({name, kTwo})
                                          : std::nullopt;
        };
        return out;
    };
    Directory out;
    out.domains = kind("vm");
    out.networks = kind("net");
    out.filters = kind("filter");
    out.pools = kind("pool");
    out.domain_by_id = [](int id) -> std::optional<Directory::Named> {
        return id == 7 ? std::optional<Directory::Named>({"vm1", kOne}) : std::nullopt;
    };
    return out;
}

class AccessTest : public testing::Test {
protected:
    AccessTest() : access_(authority_, directory()) {
        using Names = std::vector<std::string>;
        add<proto::connect_open>();
        add<proto::domain_destroy>();
        add<proto::domain_lookup_by_id>();
        add<proto::domain_lookup_by_name>();
        add<proto::domain_define_xml>();
        add<proto::domain_get_xml_desc>();
        add<proto::domain_set_memory_flags>();
        add<proto::network_define_xml>();
        add<proto::network_port_delete>();
        add<proto::nwfilter_binding_create_xml>();
        handlers_.add<proto::connect_list_all_networks>(
            [](Call&,
               const proto::connect_list_all_networks_args& args) -> Result<proto::connect_list_all_networks_ret> {
                proto::connect_list_all_networks_ret ret{.ret = 2};
                if (args.need_results != 0) {
                    ret.nets = {{.name = "net1", .uuid = kOne}, {.name = "net2", .uuid = kTwo}};
                }
                return ret;
            });
        handlers_.add<proto::connect_list_networks>(
            [](Call&, const proto::connect_list_networks_args& args) -> Result<proto::connect_list_networks_ret> {
                return proto::connect_list_networks_ret{args.maxnames < 2 ? Names{"net1"} : Names{"net1", "net2"}};
            });
        handlers_.add<proto::connect_num_of_networks>([](Call&, const rpc::Nothing&) {
            return Result<proto::connect_num_of_networks_ret>(proto::connect_num_of_networks_ret{2});
        });
        handlers_.add<proto::connect_list_domains>(
            [](Call&, const proto::connect_list_domains_args&) -> Result<proto::connect_list_domains_ret> {
                return proto::connect_list_domains_ret{{7, 8}};
            });
        access_.install(handlers_);
        be({.uid = 1000, .pid = 42, .process_start = 5});
    }
    template <class P>
    void add() {
        handlers_.add<P>([this](Call& call, const typename P::Args&) -> Result<typename P::Ret> {
            ran_.emplace_back(call.procedure.name);
            return typename P::Ret{};
        });
    }
    void be(const rpc::Peer& peer) {
        session_ = rpc::Session::create(handlers_, peer, [] {});
        EXPECT_EQ(ask<proto::connect_open>({.name = "qemu:///system", .flags = 0}).code, 0);
        authority_.asked.clear();
        ran_.clear();
    }
    // The error, or zeros; what came is in payload_.
    template <class P>
    proto::Error ask(const typename P::Args& args) {
        rpc::Header header;
        header.program = P::program;
        header.procedure = P::number;
        session_->receive(rpc::encode_packet(header, rpc::encode(args).value()));
        return answer();
    }
    proto::Error answer() {
        rpc::FrameReader reader;
        for (auto chunk = session_->next_output(); !chunk.bytes.empty(); chunk = session_->next_output()) {
            reader.append(chunk.bytes);
            session_->sent(chunk.bytes.size());
        }
        const auto head = reader.peek();
        if (!head || !*head) {
            return {.code = -1};
        }
        const rpc::Frame frame = reader.take();
        payload_.assign(frame.payload.begin(), frame.payload.end());
        return frame.header.status == rpc::Status::error ? rpc::decode<proto::Error>(payload_).value() : proto::Error{};
    }
    template <class T>
    T got() {
        return rpc::decode<T>(payload_).value();
    }
    void deny(const std::string& part) {
        authority_.decide = [part](const kernel::Question& question) -> Result<void> {
            if (FakeAuthority::words(question).contains(part)) {
                return fail(Code::auth_failed, "access denied by policy");
            }
            return {};
        };
    }
    using Asked = std::vector<std::string>;

    FakeAuthority authority_;
    rpc::Handlers handlers_;
    Access access_;
    std::shared_ptr<rpc::Session> session_;
    std::vector<std::string_view> ran_;
    Bytes payload_;
};

const std::string kUuid1 = "01000000-0000-0000-0000-000000000000";

TEST_F(AccessTest, AsksForTheObjectThatItKnowsNotForTheNameThatTheClientSays) {
    EXPECT_EQ(ask<proto::domain_destroy>({.dom = {.name = "somebody-else", .uuid = kOne, .id = 3}}).code, 0);
    ASSERT_EQ(authority_.asked.size(), 1U);
    EXPECT_EQ(authority_.asked[0].who.pid, 42);
    EXPECT_EQ(authority_.asked[0].who.start_time, 5U);
    EXPECT_EQ(authority_.asked[0].who.uid, 1000U);
    EXPECT_FALSE(authority_.asked[0].may_ask_user);
    EXPECT_EQ(authority_.asked[0].details.front(), std::pair(std::string("connect_driver"), std::string("QEMU")));
    EXPECT_EQ(authority_.all(), Asked{"api.domain.stop domain_name=vm1 domain_uuid=" + kUuid1});
    EXPECT_EQ(ran_, std::vector<std::string_view>{"domain-destroy"});
}

TEST_F(AccessTest, ANoIsThePeersError) {
    deny("domain.stop");
    const proto::Error error = ask<proto::domain_destroy>({.dom = {.uuid = kOne}});
    EXPECT_EQ(error.code, rpc::error_number::access_denied);
    EXPECT_EQ(error.message, "access denied: 'QEMU' denied access");
    EXPECT_TRUE(ran_.empty());
}

TEST_F(AccessTest, WhenNobodyDecidesItSaysWhy) {
    authority_.decide = [](const auto&) { return Result<void>(fail(Code::unreachable, "polkit cannot be asked: x")); };
    EXPECT_EQ(ask<proto::domain_destroy>({.dom = {.uuid = kOne}}).message,
              "access denied: 'QEMU' denied access: polkit cannot be asked: x");
}

TEST_F(AccessTest, WhatIsNotThereIsTheHandlersToSay) {
    deny("domain");
    EXPECT_EQ(ask<proto::domain_destroy>({.dom = {.uuid = Uuid{{9}}}}).code, 0);
    EXPECT_EQ(ask<proto::domain_lookup_by_id>({.id = 99}).code, 0);
    EXPECT_TRUE(authority_.asked.empty());
    EXPECT_EQ(ask<proto::domain_lookup_by_id>({.id = 7}).code, rpc::error_number::access_denied);
    EXPECT_EQ(ask<proto::domain_lookup_by_name>({.name = "vm2"}).code, rpc::error_number::access_denied);
}

TEST_F(AccessTest, RootIsNotAskedFor) {
    be({.uid = 0, .pid = 1});
    EXPECT_EQ(ask<proto::domain_destroy>({.dom = {.uuid = kOne}}).code, 0);
    EXPECT_EQ(ask<proto::connect_list_all_networks>({.need_results = 0, .flags = 0}).code, 0);
    EXPECT_TRUE(got<proto::connect_list_all_networks_ret>().nets.empty());
    EXPECT_EQ(got<proto::connect_list_all_networks_ret>().ret, 2U);
    EXPECT_EQ(ask<proto::connect_num_of_networks>({}).code, 0);
    EXPECT_TRUE(authority_.asked.empty());
}

TEST_F(AccessTest, ClientsOfOtherHostsMayNothing) {
    session_ = rpc::Session::create(handlers_, {.uid = 0xffffffff, .name = "CN=one"}, [] {});
    const proto::Error error = ask<proto::connect_open>({.name = "qemu:///system", .flags = 0});
    EXPECT_EQ(error.code, rpc::error_number::access_denied);
    EXPECT_TRUE(error.message->contains("users of this host only")) << *error.message;
    EXPECT_TRUE(authority_.asked.empty());
}

TEST_F(AccessTest, FlagsAskForMore) {
    ask<proto::domain_get_xml_desc>({.dom = {.uuid = kOne}, .flags = 0});
    EXPECT_EQ(authority_.all().size(), 1U);
    ask<proto::domain_get_xml_desc>({.dom = {.uuid = kOne}, .flags = 1});
    EXPECT_EQ(authority_.all()[1], "api.domain.read-secure domain_name=vm1 domain_uuid=" + kUuid1);
    ask<proto::domain_set_memory_flags>({.dom = {.uuid = kOne}, .memory = 1, .flags = 1});  // live
    EXPECT_EQ(authority_.all().size(), 1U);
    for (const std::uint32_t flags : {0U, 2U, 3U}) {
        ask<proto::domain_set_memory_flags>({.dom = {.uuid = kOne}, .memory = 1, .flags = flags});
        EXPECT_EQ(authority_.all().at(1), "api.domain.save domain_name=vm1 domain_uuid=" + kUuid1);
    }
}

TEST_F(AccessTest, OfDocumentsOnlyTheNameIsReadBefore) {
    deny("network_name=secret");
    EXPECT_EQ(ask<proto::network_define_xml>({.xml = "<network><nonsense/><name> secret </name></network>"}).code,
              rpc::error_number::access_denied);
    EXPECT_TRUE(ran_.empty());
    EXPECT_EQ(
        ask<proto::network_define_xml>({.xml = "<network><name>other</name><uuid>" + kUuid1 + "</uuid></network>"})
            .code,
        0);
    EXPECT_EQ(authority_.all().back(), "api.network.save network_name=other network_uuid=" + kUuid1);
    EXPECT_EQ(ask<proto::domain_define_xml>({.xml = "<domain><name>vm2</name></domain>"}).code, 0);
    EXPECT_EQ(authority_.all().front(),
              "api.domain.write domain_name=vm2 domain_uuid=02000000-0000-0000-0000-000000000000");
    EXPECT_EQ(ask<proto::nwfilter_binding_create_xml>(
                  {.xml = "<filterbinding><portdev name='tap0'/><filterref filter='f'/></filterbinding>", .flags = 0})
                  .code,
              0);
    EXPECT_EQ(authority_.all(),
              Asked{"api.nwfilter-binding.create nwfilter_binding_portdev=tap0 nwfilter_binding_filter=f"});
    EXPECT_EQ(ask<proto::network_define_xml>({.xml = "<!DOCTYPE x []><network><name>n</name></network>"}).code,
              rpc::error_number::xml_error);
    EXPECT_TRUE(authority_.asked.empty());
}

TEST_F(AccessTest, PortsAreTheirNetworks) {
    ask<proto::network_port_delete>({.port = {.net = {.uuid = kTwo}, .uuid = kOne}, .flags = 0});
    EXPECT_EQ(authority_.all(), Asked{"api.network-port.delete network_name=net2 "
                                      "network_uuid=02000000-0000-0000-0000-000000000000 network_port_uuid=" +
                                      kUuid1});
}

TEST_F(AccessTest, ListsShowAndCountWhatTheCallerMaySee) {
    deny("network_name=net1");
    ask<proto::connect_list_all_networks>({.need_results = 1, .flags = 0});
    const auto all = got<proto::connect_list_all_networks_ret>();
    ASSERT_EQ(all.nets.size(), 1U);
    EXPECT_EQ(all.nets[0].name, "net2");
    EXPECT_EQ(all.ret, 1U);
    ask<proto::connect_list_all_networks>({.need_results = 0, .flags = 0});
    EXPECT_TRUE(got<proto::connect_list_all_networks_ret>().nets.empty());
    EXPECT_EQ(got<proto::connect_list_all_networks_ret>().ret, 1U);
    ask<proto::connect_list_networks>({.maxnames = 1});
    EXPECT_EQ(got<proto::connect_list_networks_ret>().names, Asked{"net2"}) << "the hidden one takes nobody's place";
    ask<proto::connect_num_of_networks>({});
    EXPECT_EQ(got<proto::connect_num_of_networks_ret>().num, 1);
    ask<proto::connect_list_domains>({.maxids = 9});
    EXPECT_EQ(got<proto::connect_list_domains_ret>().ids, std::vector<std::int32_t>{7}) << "8 has gone meanwhile";
    deny("search-networks");
    EXPECT_EQ(ask<proto::connect_num_of_networks>({}).code, rpc::error_number::access_denied);
}

TEST_F(AccessTest, ListsWaitForAnswersInAnyOrder) {
    authority_.later = true;
    ask<proto::connect_list_all_networks>({.need_results = 1, .flags = 0});
    ASSERT_EQ(authority_.waiting.size(), 1U);
    authority_.waiting[0]({});  // search
    ASSERT_EQ(authority_.waiting.size(), 3U);
    authority_.waiting[2]({});
    EXPECT_EQ(answer().code, -1);
    authority_.waiting[1](fail(Code::auth_failed, "no"));
    EXPECT_EQ(answer().code, 0);
    EXPECT_EQ(got<proto::connect_list_all_networks_ret>().nets.at(0).name, "net2");
}

TEST_F(AccessTest, EventsReachWhomTheyConcernInTheirOrder) {
    std::string told;
    const auto tell = [&](const std::string& name) {
        access_.gate(*session_, ObjectClass::network, {name, kOne}, [&told, name](rpc::Session&) { told += name; });
    };
    deny("network_name=b");
    tell("a");
    tell("b");
    EXPECT_EQ(told, "a");
    authority_.later = true;
    tell("c");
    tell("d");
    authority_.waiting[1]({});
    EXPECT_EQ(told, "a");
    authority_.waiting[0]({});
    EXPECT_EQ(told, "acd");
    tell("e");
    session_.reset();
    authority_.waiting[2]({});
    EXPECT_EQ(told, "acd");
}

TEST_F(AccessTest, LogInAsksThePeersActions) {
    use_polkit(handlers_, authority_);
    for (const bool read_only : {false, true}) {
        session_ = rpc::Session::create(
            handlers_,
            {.uid = 1000, .pid = 42, .process_start = 6, .read_only = read_only, .auth = {rpc::auth_type::polkit}},
            [] {});
        authority_.decide = [](const auto&) { return Result<void>(fail(Code::unreachable, "no bus")); };
        EXPECT_EQ(ask<proto::auth_polkit>({}).message, "authentication unavailable: no bus");
        EXPECT_TRUE(authority_.asked.back().may_ask_user);
        EXPECT_EQ(authority_.all(), Asked{read_only ? "unix.monitor" : "unix.manage"});
        authority_.decide = [](const auto&) { return Result<void>(); };
        EXPECT_EQ(ask<proto::auth_polkit>({}).code, 0);
        EXPECT_TRUE(session_->authenticated());
        authority_.asked.clear();
    }
}

// ---- the table

TEST(AccessTable, HasARuleForEveryCallAndNoOther) {
    std::set<std::string_view> known;
    for (const rpc::ProcedureInfo& procedure : rpc::procedures()) {
        known.insert(procedure.name);
        const bool handshake = procedure.name.starts_with("auth-") || procedure.name == "connect-close" ||
                               procedure.name == "connect-supports-feature";
        if (procedure.is_call && !handshake) {
            EXPECT_NE(access_rules(procedure), nullptr) << procedure.name;
        }
    }
}

TEST(AccessTable, AsksForActionsThatThePolicyDeclares) {
    const std::string policy = bascule::test::read_file(TEST_SOURCE_DIR "/packaging/polkit/org.libvirt.api.policy");
    ASSERT_FALSE(policy.empty());
    for (const rpc::ProcedureInfo& procedure : rpc::procedures()) {
        const auto* const rules = access_rules(procedure);
        for (const AccessRule& rule : rules != nullptr ? *rules : std::vector<AccessRule>()) {
            const std::string action = fmt::format("\"org.libvirt.api.{}.{}\"", name_of(rule.object), rule.permission);
            EXPECT_TRUE(policy.contains(action)) << action << " of " << procedure.name;
        }
    }
}

// ---- the light reader

TEST(Peek, FindsNameAndUuidWhereverTheyAre) {
    const auto peeked = peek_xml(
        "\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>\n<!-- <name>no</name> -->\n"
        "<domain type='q>m'><devices><name>deep</name><a b=\"</domain>\"/></devices>\n"
        "<name>\n vm </name><description><![CDATA[<name>no</name>]]></description><uuid>u</uuid></domain>\n");
    EXPECT_FALSE(peeked) << "'<' in an attribute is no XML";
    const auto good = peek_xml(
        "\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>\n<!-- <name>no</name> -->\n"
        "<domain type='q>m'><devices><name>deep</name><a b=\"/>\"/></devices>\n"
        "<name>\n vm </name><description><![CDATA[<name>no</name>]]></description><uuid>u</uuid></domain>\n");
    ASSERT_TRUE(good) << good.error().message;
    EXPECT_EQ(good->root, "domain");
    EXPECT_EQ(good->name, "vm");
    EXPECT_EQ(good->uuid, "u");
    EXPECT_EQ(peek_xml("<interface type='x' name = \"br0\"><name>n</name></interface>").error().code,
              Code::invalid_xml);
    EXPECT_EQ(peek_xml("<interface type='x' name = \"br0\"><mtu size='1'/></interface>")->name, "br0");
    EXPECT_EQ(peek_xml("<network/>")->name, std::nullopt);
    EXPECT_EQ(peek_xml("<network><name/></network>")->name, "");
}

TEST(Peek, RefusesWhatAnotherParserCouldReadOtherwise) {
    for (const std::string_view bad : {"<n><name>a</name><name>b</name></n>",
                                       "<n><name>&#97;</name></n>",
                                       "<n><name>a<!-- -->b</name></n>",
                                       "<n><name><![CDATA[a]]></name></n>",
                                       "<n><name><b/></name></n>",
                                       "<!DOCTYPE n><n><name>a</name></n>",
                                       "<?xml version='1.0' encoding='UTF-7'?><n><name>a</name></n>",
                                       "\xff\xfe<n/>",
                                       "<n><name>a</n>",
                                       "<n>",
                                       "",
                                       "no xml",
                                       "<n></n></n>",
                                       "<a/><b/>",
                                       "<n a='",
                                       "<n><!-- ",
                                       "< n/>",
                                       "<interface name='a' name='b'/>",
                                       "<n><name>a\tb</name></n>",
                                       "<interface name='a\nb'/>"}) {
        EXPECT_FALSE(peek_xml(bad)) << bad;
    }
    EXPECT_FALSE(peek_xml(std::string_view("<\0n>", 4)));
}

TEST(Peek, TakesTimeInProportion) {
    std::string long_one = "<n>";
    for (int i = 0; i < 100'000; ++i) {
        long_one += "<a b='c'>";
    }
    EXPECT_FALSE(peek_xml(long_one));
}

}  // namespace
}  // namespace bascule::daemon
