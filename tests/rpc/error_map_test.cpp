// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/error_map.h"

#include <gtest/gtest.h>

#include "rpc/constants.h"

namespace bascule::rpc {
namespace {

TEST(ErrorMap, PutsThePeersPhraseInFrontOnce) {
    const auto text = [](Code code, std::string message) { return to_wire({code, std::move(message)}, 19).message; };
    EXPECT_EQ(text(Code::invalid_state, "network is already active"),
              "Requested operation is not valid: network is already active");
    EXPECT_EQ(text(Code::no_network, "Network not found: no network with matching name 'x'"),
              "Network not found: no network with matching name 'x'");
    EXPECT_EQ(text(Code::xml_syntax, "line 3: …"), "line 3: …");
    EXPECT_EQ(text(Code::invalid_xml, "line 3: <ip>: …"), "XML error: line 3: <ip>: …");
}

TEST(ErrorMap, EveryCodeComesBack) {
    for (const Code code : {Code::internal,
                            Code::invalid_argument,
                            Code::malformed,
                            Code::xml_syntax,
                            Code::invalid_xml,
                            Code::unsupported_config,
                            Code::unsupported,
                            Code::not_implemented,
                            Code::invalid_state,
                            Code::exists,
                            Code::conflict,
                            Code::in_use,
                            Code::denied,
                            Code::read_only,
                            Code::system,
                            Code::timeout,
                            Code::unreachable,
                            Code::no_domain,
                            Code::no_network,
                            Code::no_nwfilter,
                            Code::no_nwfilter_binding,
                            Code::no_domain_metadata,
                            Code::no_network_metadata,
                            Code::no_network_port,
                            Code::no_domain_snapshot,
                            Code::no_domain_checkpoint,
                            Code::no_storage_pool,
                            Code::no_storage_vol,
                            Code::storage_vol_exists,
                            Code::no_node_device,
                            Code::no_interface,
                            Code::no_secret,
                            Code::invalid_secret,
                            Code::agent_unresponsive,
                            Code::auth_failed,
                            Code::auth_cancelled,
                            Code::auth_unavailable}) {
        const proto::Error wire = to_wire({code, "words"}, error_domain::network);
        EXPECT_NE(wire.code, 0);
        EXPECT_EQ(wire.domain, 19);
        EXPECT_EQ(from_wire(wire).code, code);
    }
}

TEST(ErrorMap, CarriesErrno) {
    const proto::Error wire = to_wire({Code::system, "open /x: No such file or directory", ENOENT}, error_domain::qemu);
    EXPECT_EQ(wire.code, 38);
    EXPECT_EQ(wire.int1, ENOENT);
    EXPECT_EQ(from_wire(wire).sys_errno, ENOENT);
}

TEST(ErrorMap, UnderstandsOtherDaemons) {
    proto::Error wire;
    wire.code = error_number::no_network;
    wire.message = "Network not found: x";
    EXPECT_EQ(from_wire(wire).code, Code::no_network);
    wire.code = 9;
    EXPECT_EQ(from_wire(wire).code, Code::exists);
    wire.code = 4711;
    EXPECT_EQ(from_wire(wire).code, Code::internal);
    wire.code = error_number::rpc;
    wire.message = "unknown procedure: 53";
    EXPECT_EQ(from_wire(wire).code, Code::not_implemented);
    wire.message.reset();
    EXPECT_EQ(from_wire(wire).message, "the daemon gave no reason");
}

}  // namespace
}  // namespace bascule::rpc
