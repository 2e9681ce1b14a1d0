// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/handlers.h"
#include "daemon/handlers_storage.h"
#include "rpc/proto_secret.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;

namespace {

// virConnectListAllSecretsFlags
constexpr std::uint32_t kEphemeral = 1, kNoEphemeral = 2, kPrivate = 4, kNoPrivate = 8, kAllListFlags = 15;
constexpr std::uint32_t kValidate = 1;  // VIR_SECRET_DEFINE_VALIDATE: every document is checked anyway

void add_lookups(rpc::Handlers& h, Secrets& s) {
    h.add<proto::connect_num_of_secrets>([&s](Call&, const rpc::Nothing&) -> Result<proto::connect_num_of_secrets_ret> {
        return proto::connect_num_of_secrets_ret{static_cast<std::int32_t>(s.all().size())};
    });
    h.add<proto::connect_list_secrets>(
        [&s](Call&, const proto::connect_list_secrets_args& args) -> Result<proto::connect_list_secrets_ret> {
            const auto any = [](const Secret&) { return true; };
            return proto::connect_list_secrets_ret{
                names_of(s.all(), args.maxuuids, any, [](const Secret& secret) { return format(secret.spec.uuid); })};
        });
    h.add<proto::connect_list_all_secrets>(
        [&s](Call&, const proto::connect_list_all_secrets_args& args) -> Result<proto::connect_list_all_secrets_ret> {
            TRY_OK(check_flags(args.flags, kAllListFlags, "secretConnectListAllSecrets"));
            proto::connect_list_all_secrets_ret ret;
            for (const Secret* const secret : s.all()) {
                if (passes(args.flags, kEphemeral, kNoEphemeral, secret->spec.ephemeral) &&
                    passes(args.flags, kPrivate, kNoPrivate, secret->spec.is_private)) {
                    ++ret.ret;
                    if (args.need_results != 0) {
                        ret.secrets.push_back(to_wire(secret->spec));
                    }
                }
            }
            return ret;
        });
    h.add<proto::secret_lookup_by_uuid>(
        [&s](Call&, const proto::secret_lookup_by_uuid_args& args) -> Result<proto::secret_lookup_by_uuid_ret> {
            TRY(const Secret* const secret, s.by_uuid(args.uuid));
            return proto::secret_lookup_by_uuid_ret{to_wire(secret->spec)};
        });
    h.add<proto::secret_lookup_by_usage>(
        [&s](Call&, const proto::secret_lookup_by_usage_args& args) -> Result<proto::secret_lookup_by_usage_ret> {
            TRY(const Secret* const secret, s.by_usage(static_cast<SecretSpec::Usage>(args.usage_type), args.usage_id));
            return proto::secret_lookup_by_usage_ret{to_wire(secret->spec)};
        });
}

}  // namespace

proto::Secret to_wire(const SecretSpec& spec) {
    return {.uuid = spec.uuid, .usage_type = static_cast<std::int32_t>(spec.usage), .usage_id = spec.usage_id};
}

void add_secret_handlers(rpc::Handlers& h, Secrets& s) {
    add_lookups(h, s);
    h.add<proto::secret_define_xml>(
        [&s](Call&, const proto::secret_define_xml_args& args) -> Result<proto::secret_define_xml_ret> {
            TRY_OK(check_flags(args.flags, kValidate, "secretDefineXML"));
            TRY(const Secret* const secret, s.define(args.xml));
            return proto::secret_define_xml_ret{to_wire(secret->spec)};
        });
    h.add<proto::secret_get_xml_desc>(
        [&s](Call&, const proto::secret_get_xml_desc_args& args) -> Result<proto::secret_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, 0, "secretGetXMLDesc"));
            TRY(const Secret* const secret, s.by_uuid(args.secret.uuid));
            return proto::secret_get_xml_desc_ret{format(secret->spec)};
        });
    h.add<proto::secret_set_value>([&s](Call&, const proto::secret_set_value_args& args) -> Result<void> {
        TRY_OK(check_flags(args.flags, 0, "secretSetValue"));
        return s.set_value(args.secret.uuid, args.value);
    });
    h.add<proto::secret_get_value>(
        [&s](Call&, const proto::secret_get_value_args& args, rpc::Responder<proto::secret_get_value> responder) {
            auto value = [&]() -> Result<SecretValue> {
                TRY_OK(check_flags(args.flags, 0, "secretGetValue"));
                return s.value_for_client(args.secret.uuid);
            }();
            if (!value) {
                responder.fail(value.error());
                return;
            }
            proto::secret_get_value_ret ret{.value = Bytes(value->bytes().begin(), value->bytes().end())};
            responder.ok(ret);
            SecretValue::forget(ret.value);
        });
    h.add<proto::secret_undefine>(
        [&s](Call&, const proto::secret_undefine_args& args) { return s.undefine(args.secret.uuid); });
}

}  // namespace bascule::daemon
