// SPDX-License-Identifier: GPL-2.0-or-later
// Procedures whose engine is not there: the object is looked up first, so that a client with a stale one hears that,
// and then they are refused as libvirt refuses what a driver cannot do. Each goes from here when its engine comes.
#include "daemon/handlers.h"
#include "rpc/constants.h"
#include "rpc/proto_connect.h"
#include "rpc/proto_domain.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;

namespace {

// The guest or network that the arguments name, whatever they call it.
template <class Args>
Result<void> check_object(const Services& s, const Args& args) {
    if constexpr (requires { args.dom.uuid; }) {
        TRY_OK(s.guests.by_uuid(args.dom.uuid));
    } else if constexpr (requires { args.snap.dom.uuid; }) {
        TRY_OK(s.guests.by_uuid(args.snap.dom.uuid));
    } else if constexpr (requires { args.net.uuid; }) {
        TRY_OK(s.networks.by_uuid(args.net.uuid));
    } else if constexpr (requires { args.network.uuid; }) {
        TRY_OK(s.networks.by_uuid(args.network.uuid));
    } else if constexpr (requires { args.port.net.uuid; }) {
        TRY_OK(s.networks.by_uuid(args.port.net.uuid));
    }
    return {};
}

template <class Ret>
struct AnswerOf {
    using type = Result<Ret>;
};
template <>
struct AnswerOf<rpc::Nothing> {
    using type = Result<void>;
};

// `function` is libvirt's public one.
template <class P>
void refuse(rpc::Handlers& h, Services& s, std::string_view function) {
    h.add<P>([&s, function](Call&, const typename P::Args& args) -> typename AnswerOf<typename P::Ret>::type {
        TRY_OK(check_object(s, args));
        return fail(Code::not_implemented, std::string(function));
    });
}

void add_images(rpc::Handlers& h, Services& s) {
    refuse<proto::domain_save>(h, s, "virDomainSave");
    refuse<proto::domain_save_flags>(h, s, "virDomainSaveFlags");
    refuse<proto::domain_save_params>(h, s, "virDomainSaveParams");
    refuse<proto::domain_restore>(h, s, "virDomainRestore");
    refuse<proto::domain_restore_flags>(h, s, "virDomainRestoreFlags");
    refuse<proto::domain_restore_params>(h, s, "virDomainRestoreParams");
    refuse<proto::domain_save_image_get_xml_desc>(h, s, "virDomainSaveImageGetXMLDesc");
    refuse<proto::domain_save_image_define_xml>(h, s, "virDomainSaveImageDefineXML");
    refuse<proto::domain_managed_save>(h, s, "virDomainManagedSave");
    refuse<proto::domain_create_with_files>(h, s, "virDomainCreateWithFiles");
    refuse<proto::domain_fd_associate>(h, s, "virDomainFDAssociate");
    refuse<proto::connect_domain_xml_from_native>(h, s, "virConnectDomainXMLFromNative");
    refuse<proto::domain_send_process_signal>(h, s, "virDomainSendProcessSignal");
    // There is never one, so removing it is done.
    h.add<proto::domain_managed_save_remove>(
        [&s](Call&, const proto::domain_managed_save_remove_args& args) -> Result<void> {
            TRY_OK(check_flags(args.flags, 0, "qemuDomainManagedSaveRemove"));
            TRY_OK(s.guests.by_uuid(args.dom.uuid));
            return {};
        });
}

Error no_snapshot(const Services& s, const proto::DomainSnapshot& snapshot) {
    const auto domain = s.guests.by_uuid(snapshot.dom.uuid);
    return domain ? Error{Code::no_domain_snapshot,
                          fmt::format("no domain snapshot with matching name '{}' of domain '{}'", snapshot.name,
                                      (*domain)->name),
                          0}
                  : domain.error();
}

// No guest has a snapshot: lists are empty, lookups find nothing. `known`: the flags that libvirt knows for the call.
template <class P>
void no_snapshots(rpc::Handlers& h, Services& s, std::uint32_t known, std::string_view function) {
    h.add<P>([&s, known, function](Call&, const typename P::Args& args) -> typename AnswerOf<typename P::Ret>::type {
        TRY_OK(check_flags(args.flags, known, function));
        if constexpr (requires { args.snap; }) {
            return std::unexpected(no_snapshot(s, args.snap));
        } else if constexpr (requires { args.name; }) {
            return std::unexpected(no_snapshot(s, {.name = args.name, .dom = args.dom}));
        } else {
            TRY_OK(s.guests.by_uuid(args.dom.uuid));
            return typename P::Ret{};
        }
    });
}

void add_snapshots(rpc::Handlers& h, Services& s) {
    constexpr std::uint32_t kLists = 0x7ff;  // VIR_DOMAIN_SNAPSHOT_LIST_*
    refuse<proto::domain_snapshot_create_xml>(h, s, "virDomainSnapshotCreateXML");
    no_snapshots<proto::domain_snapshot_num>(h, s, kLists, "qemuDomainSnapshotNum");
    no_snapshots<proto::domain_list_all_snapshots>(h, s, kLists, "qemuDomainListAllSnapshots");
    no_snapshots<proto::domain_snapshot_list_names>(h, s, kLists, "qemuDomainSnapshotListNames");
    no_snapshots<proto::domain_has_current_snapshot>(h, s, 0, "qemuDomainHasCurrentSnapshot");
    no_snapshots<proto::domain_snapshot_lookup_by_name>(h, s, 0, "qemuDomainSnapshotLookupByName");
    no_snapshots<proto::domain_snapshot_get_xml_desc>(h, s, 1, "qemuDomainSnapshotGetXMLDesc");  // secure
    no_snapshots<proto::domain_snapshot_is_current>(h, s, 0, "qemuDomainSnapshotIsCurrent");
    no_snapshots<proto::domain_revert_to_snapshot>(h, s, 0xf, "qemuDomainRevertToSnapshot");
    no_snapshots<proto::domain_snapshot_delete>(h, s, 7, "qemuDomainSnapshotDelete");
    h.add<proto::domain_snapshot_current>(
        [&s](Call&, const proto::domain_snapshot_current_args& args) -> Result<proto::domain_snapshot_current_ret> {
            TRY_OK(check_flags(args.flags, 0, "qemuDomainSnapshotCurrent"));
            TRY(const Domain* const domain, s.guests.by_uuid(args.dom.uuid));
            return fail(Code::no_domain_snapshot,
                        fmt::format("the domain '{}' does not have a current snapshot", domain->name));
        });
}

}  // namespace

void add_refusals(rpc::Handlers& handlers, Services& services) {
    add_images(handlers, services);
    add_snapshots(handlers, services);
}

}  // namespace bascule::daemon
