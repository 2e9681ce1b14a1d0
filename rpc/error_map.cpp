// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/error_map.h"

#include <string_view>

#include "rpc/constants.h"

namespace bascule::rpc {

namespace {

struct Row {
    Code code;
    std::string_view name;    // in str3
    std::int32_t number;      // the first row of a number is what that number alone means
    std::string_view phrase;  // the peer's, without its ": "; empty: the message stands alone
};

constexpr std::int32_t kNoNetworkMetadata = error_number::no_network_metadata;

constexpr Row kRows[] = {
    {Code::internal, "internal", error_number::internal_error, "internal error"},
    {Code::invalid_argument, "invalid-argument", error_number::invalid_arg, "invalid argument"},
    {Code::malformed, "malformed", error_number::rpc, ""},
    {Code::xml_syntax, "xml-syntax", error_number::xml_detail, ""},
    {Code::invalid_xml, "invalid-xml", error_number::xml_error, "XML error"},
    {Code::unsupported_config, "unsupported-config", error_number::config_unsupported, "unsupported configuration"},
    {Code::unsupported, "unsupported", error_number::operation_unsupported, "Operation not supported"},
    {Code::not_implemented, "not-implemented", error_number::no_support,
     "this function is not supported by the connection driver"},
    {Code::invalid_state, "invalid-state", error_number::operation_invalid, "Requested operation is not valid"},
    {Code::in_use, "in-use", error_number::operation_invalid, "Requested operation is not valid"},
    {Code::exists, "exists", error_number::operation_failed, "operation failed"},
    {Code::conflict, "conflict", error_number::operation_failed, "operation failed"},
    {Code::denied, "denied", error_number::access_denied, "access denied"},
    {Code::read_only, "read-only", error_number::operation_denied, "operation forbidden"},
    {Code::system, "system", error_number::system_error, ""},
    {Code::timeout, "timeout", error_number::operation_timeout, "Timed out during operation"},
    {Code::unreachable, "unreachable", error_number::no_connect, ""},
    {Code::no_domain, "no-domain", error_number::no_domain, "Domain not found"},
    {Code::no_network, "no-network", error_number::no_network, "Network not found"},
    {Code::no_nwfilter, "no-nwfilter", error_number::no_nwfilter, "Network filter not found"},
    {Code::no_nwfilter_binding, "no-nwfilter-binding", error_number::no_nwfilter_binding,
     "Network filter binding not found"},
    {Code::no_domain_metadata, "no-domain-metadata", error_number::no_domain_metadata, "metadata not found"},
    {Code::no_network_metadata, "no-network-metadata", kNoNetworkMetadata, "metadata not found"},
    {Code::no_network_port, "no-network-port", error_number::no_network_port, "network port not found"},
    {Code::no_domain_snapshot, "no-domain-snapshot", error_number::no_domain_snapshot, "Domain snapshot not found"},
    {Code::no_domain_checkpoint, "no-domain-checkpoint", error_number::no_domain_checkpoint,
     "Domain checkpoint not found"},
    {Code::no_storage_pool, "no-storage-pool", error_number::no_storage_pool, "Storage pool not found"},
    {Code::no_storage_vol, "no-storage-vol", error_number::no_storage_vol, "Storage volume not found"},
    {Code::storage_vol_exists, "storage-vol-exists", error_number::storage_vol_exist, ""},
    {Code::no_node_device, "no-node-device", error_number::no_node_device, "Node device not found"},
    {Code::no_interface, "no-interface", error_number::no_interface, "Interface not found"},
    {Code::no_secret, "no-secret", error_number::no_secret, "Secret not found"},
    {Code::invalid_secret, "invalid-secret", error_number::invalid_secret, "Invalid secret"},
    {Code::agent_unresponsive, "agent-unresponsive", error_number::agent_unresponsive, "Guest agent is not responding"},
    {Code::auth_failed, "auth-failed", error_number::auth_failed, "authentication failed"},
    {Code::auth_cancelled, "auth-cancelled", error_number::auth_cancelled, "authentication cancelled"},
    {Code::auth_unavailable, "auth-unavailable", error_number::auth_unavailable, "authentication unavailable"},
};

const Row& row_of(Code code) {
    for (const Row& row : kRows) {
        if (row.code == code) {
            return row;
        }
    }
    return kRows[0];
}

}  // namespace

proto::Error to_wire(const Error& error, std::int32_t domain) {
    const Row& row = row_of(error.code);
    proto::Error out;
    out.code = row.number;
    out.domain = domain;
    out.level = error_level::error;
    const std::string phrase = row.phrase.empty() ? "" : std::string(row.phrase) + ": ";
    const std::string detail =
        !phrase.empty() && error.message.starts_with(phrase) ? error.message.substr(phrase.size()) : error.message;
    out.message = phrase + detail;
    out.str1 = phrase + "%s";
    out.str2 = detail;
    out.str3 = std::string("bascule:") + std::string(row.name);
    out.int1 = error.sys_errno != 0 ? error.sys_errno : -1;
    out.int2 = -1;
    return out;
}

proto::Error rpc_error(std::string message) {
    return to_wire({Code::malformed, std::move(message)}, error_domain::rpc);
}

Error from_wire(const proto::Error& wire) {
    Error out{Code::internal, wire.message.value_or("the daemon gave no reason"), 0};
    if (wire.code == error_number::system_error && wire.int1 > 0) {
        out.sys_errno = wire.int1;
    }
    if (wire.code == error_number::rpc && wire.message && wire.message->starts_with("unknown procedure")) {
        out.code = Code::not_implemented;
        return out;
    }
    for (const Row& row : kRows) {
        if (wire.str3 && *wire.str3 == std::string("bascule:") + std::string(row.name)) {
            out.code = row.code;
            return out;
        }
    }
    for (const Row& row : kRows) {
        if (row.number == wire.code) {
            out.code = row.code;
            return out;
        }
    }
    return out;
}

}  // namespace bascule::rpc
