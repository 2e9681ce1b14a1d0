// SPDX-License-Identifier: GPL-2.0-or-later
// Who is let in, and what he may.
#include <gtest/gtest.h>

#include "rpc/proto_domain.h"
#include "rpc/proto_network.h"
#include "rpc/proto_secret.h"
#include "rpc/proto_storage.h"
#include "rpc/subject.h"
#include "tests/rpc/support.h"

namespace bascule::rpc::test {
namespace {

constexpr std::int32_t kNone = auth_type::none, kPolkit = auth_type::polkit;

TEST(LogIn, NobodyHasToWhereNothingIsOffered) {
    for (const std::vector<std::int32_t>& auth : {std::vector<std::int32_t>{}, {kNone}, {kPolkit, kNone}}) {
        Rig rig({.auth = auth});
        EXPECT_TRUE(rig.session->authenticated());
        EXPECT_EQ(rig.ask<proto::auth_list>({}).as<proto::auth_list_ret>().types, std::vector<std::int32_t>{kNone});
        rig.open();
    }
}

TEST(LogIn, OnlyTheCallsThatLogInAreAnsweredBefore) {
    Rig rig({.auth = {kPolkit}});
    EXPECT_FALSE(rig.session->authenticated());
    EXPECT_EQ(rig.ask<proto::auth_list>({}).as<proto::auth_list_ret>().types, std::vector<std::int32_t>{kPolkit});
    for (const Received& reply :
         {rig.ask<proto::connect_open>({.name = "qemu:///system"}),
          rig.ask<proto::connect_supports_feature>({.feature = 10}), rig.ask<proto::connect_close>({})}) {
        EXPECT_EQ(reply.header.status, Status::error);
        EXPECT_EQ(reply.error().code, error_number::rpc);
        EXPECT_EQ(reply.error().domain, error_domain::rpc);
        EXPECT_EQ(reply.error().message, "authentication required");
    }
    EXPECT_EQ(rig.session->phase(), Session::Phase::fresh);
    EXPECT_FALSE(rig.session->finished());
    EXPECT_FALSE(rig.session->asked_keepalive());
}

TEST(LogIn, PolkitIsAskedAndDecides) {
    Rig rig({.uid = 1000, .auth = {kPolkit}});
    Handlers::Verdict verdict;
    rig.handlers.set_polkit([&](Call& call, Handlers::Verdict v) {
        EXPECT_EQ(call.session.peer().uid, 1000u);
        verdict = std::move(v);
    });
    rig.call<proto::auth_polkit>({}, 1);
    EXPECT_TRUE(rig.received().empty());
    verdict(bascule::fail(Code::auth_failed, "polkit says no"));
    auto replies = rig.received();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].error().code, error_number::auth_failed);
    EXPECT_EQ(replies[0].error().domain, error_domain::polkit);
    EXPECT_EQ(replies[0].error().message, "authentication failed: polkit says no");
    EXPECT_FALSE(rig.session->authenticated());

    rig.call<proto::auth_polkit>({}, 2);
    verdict({});
    replies = rig.received();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].as<proto::auth_polkit_ret>().complete, 1);
    EXPECT_TRUE(rig.session->authenticated());
    rig.open();
    EXPECT_EQ(rig.ask<proto::auth_polkit>({}).error().code, error_number::auth_failed) << "once is enough";
}

TEST(LogIn, PolkitIsNotForWhomItWasNotOffered) {
    Rig rig({.auth = {auth_type::sasl}});
    rig.handlers.set_polkit([](Call&, Handlers::Verdict v) { v({}); });
    EXPECT_EQ(rig.ask<proto::auth_polkit>({}).error().code, error_number::auth_failed);
    EXPECT_FALSE(rig.session->authenticated());
}

TEST(LogIn, AVerdictForAClientThatHasGoneIsLost) {
    Handlers::Verdict verdict;
    Rig rig({.auth = {kPolkit}});
    rig.handlers.set_polkit([&](Call&, Handlers::Verdict v) { verdict = std::move(v); });
    rig.call<proto::auth_polkit>({}, 1);
    rig.session.reset();
    verdict({});
}

class Checks : public testing::Test {
protected:
    Checks() {
        rig_.handlers.add<proto::domain_destroy>([this](Call& call, const proto::domain_destroy_args&) -> Result<void> {
            EXPECT_EQ(call.serial, 7u);
            EXPECT_EQ(call.fds.size(), 0u);
            ++done_;
            return {};
        });
        rig_.handlers.set_check([this](Call& call, const Subject& subject, Handlers::Verdict v) {
            if (call.session.phase() != Session::Phase::open) {
                asked_.emplace_back(call.procedure.name);
                v({});
                return;
            }
            asked_.emplace_back(call.procedure.name);
            subject_ = subject;
            if (later_) {
                verdict_ = std::move(v);
            } else {
                v(answer_);
            }
        });
    }
    void SetUp() override {
        if (open_) {
            rig_.open();
            asked_.clear();
        }
    }
    bool open_ = true;
    Rig rig_;
    bool later_ = false;
    Result<void> answer_;
    std::vector<std::string_view> asked_;
    Subject subject_;
    Handlers::Verdict verdict_;
    int done_ = 0;
};

class ChecksBefore : public Checks {
protected:
    ChecksBefore() { open_ = false; }
};

TEST_F(ChecksBefore, OfTheHandshakeOnlyOpeningIsAskedAbout) {
    EXPECT_EQ(rig_.ask<proto::connect_supports_feature>({.feature = 10}).header.status, Status::ok);
    EXPECT_EQ(rig_.ask<proto::auth_list>({}).header.status, Status::ok);
    EXPECT_TRUE(asked_.empty());
    rig_.open();
    EXPECT_EQ(asked_, std::vector<std::string_view>{"connect-open"});
}

TEST_F(Checks, AYesLetsTheHandlerRun) {
    EXPECT_EQ(rig_.ask<proto::domain_destroy>({.dom = {.name = "vm", .id = 3}}, 7).header.status, Status::ok);
    EXPECT_EQ(asked_, std::vector<std::string_view>{"domain-destroy"});
    ASSERT_TRUE(std::holds_alternative<proto::Domain>(subject_.object));
    EXPECT_EQ(std::get<proto::Domain>(subject_.object).name, "vm");
    EXPECT_EQ(done_, 1);
}

TEST_F(Checks, ANoIsTheAnswer) {
    answer_ = bascule::fail(Code::denied, "'domain' denied access");
    const Received reply = rig_.ask<proto::domain_destroy>({}, 7);
    EXPECT_EQ(reply.error().code, error_number::access_denied);
    EXPECT_EQ(reply.error().domain, error_domain::domain);
    EXPECT_EQ(done_, 0);
}

TEST_F(Checks, MayTakeTheirTime) {
    later_ = true;
    rig_.call<proto::domain_destroy>({}, 7);
    EXPECT_EQ(rig_.session->calls_in_flight(), 1u);
    EXPECT_EQ(done_, 0);
    verdict_({});
    EXPECT_EQ(done_, 1);
    EXPECT_EQ(rig_.received().at(0).header.status, Status::ok);
    rig_.call<proto::domain_destroy>({}, 7);
    verdict_ = nullptr;  // whoever should decide forgot it
    EXPECT_EQ(rig_.received().at(0).header.status, Status::error);
    rig_.call<proto::domain_destroy>({}, 7);
    rig_.session.reset();
    verdict_({});
    EXPECT_EQ(done_, 1);
}

TEST_F(Checks, AWrapperSeesWhatTheHandlerWouldHaveAnswered) {
    rig_.handlers.add<proto::connect_num_of_networks>(
        [](Call&, const Nothing&) -> Result<proto::connect_num_of_networks_ret> { return {{.num = 5}}; });
    rig_.handlers.add<proto::connect_num_of_defined_networks>(
        [](Call&, const Nothing&) -> Result<proto::connect_num_of_defined_networks_ret> {
            return bascule::fail(Code::conflict, "not today");
        });
    rig_.handlers.wrap<proto::connect_num_of_networks>(
        [this](Call& call, const Nothing& args, auto next, Responder<proto::connect_num_of_networks> responder) {
            next(call, args, [r = std::move(responder)](Result<proto::connect_num_of_networks_ret> all) mutable {
                ASSERT_TRUE(all);
                r.ok({.num = all->num - 2});
            });
            rig_.handlers.invoke<proto::connect_num_of_defined_networks>(
                call, args, [](const Result<proto::connect_num_of_defined_networks_ret>& other) {
                    EXPECT_EQ(other.error().message, "not today");
                });
            rig_.handlers.invoke<proto::connect_num_of_secrets>(
                call, args, [](const Result<proto::connect_num_of_secrets_ret>& other) {
                    EXPECT_EQ(other.error().code, Code::not_implemented);
                });
        });
    rig_.handlers.wrap<proto::connect_num_of_secrets>([](Call&, const Nothing&, auto, auto) { FAIL(); });
    EXPECT_EQ(rig_.ask<proto::connect_num_of_networks>({}).as<proto::connect_num_of_networks_ret>().num, 3);
    EXPECT_EQ(asked_, std::vector<std::string_view>{"connect-num-of-networks"})
        << "what is inside is not checked again";
    EXPECT_EQ(rig_.ask<proto::connect_num_of_secrets>({}).error().message, "unknown procedure: 139");
}

TEST(Subjects, AreFoundInAnyArguments) {
    EXPECT_EQ(subject_of(Nothing{}).object.index(), 0u);
    EXPECT_EQ(subject_of(proto::network_lookup_by_name_args{.name = "n"}).text, "n");
    const Subject volume = subject_of(proto::storage_vol_create_xml_from_args{
        .pool = {.name = "p"}, .xml = "<volume/>", .clonevol = {.name = "v"}, .flags = 0});
    EXPECT_EQ(std::get<proto::StoragePool>(volume.object).name, "p");
    EXPECT_EQ(volume.text, "<volume/>");
    EXPECT_EQ(std::get<proto::Domain>(
                  subject_of(proto::domain_snapshot_delete_args{.snap = {.name = "s", .dom = {.name = "d"}}}).object)
                  .name,
              "d");
    EXPECT_EQ(
        std::get<proto::Network>(subject_of(proto::network_port_delete_args{.port = {.net = {.name = "n"}}}).object)
            .name,
        "n");
    const Uuid port{{1, 2, 3}};
    EXPECT_EQ(subject_of(proto::network_port_delete_args{.port = {.uuid = port}, .flags = 9}).uuid, port);
    EXPECT_EQ(subject_of(proto::network_port_delete_args{.port = {.uuid = port}, .flags = 9}).flags, 9u);
    EXPECT_EQ(subject_of(proto::domain_lookup_by_id_args{.id = 4}).number, 4);
    EXPECT_EQ(subject_of(proto::domain_lookup_by_uuid_args{.uuid = port}).uuid, port);
    EXPECT_EQ(std::get<proto::Domain>(
                  subject_of(proto::connect_domain_event_callback_register_any_args{.dom = {{.name = "d"}}}).object)
                  .name,
              "d");
}

}  // namespace
}  // namespace bascule::rpc::test
