// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/handlers.h"
#include "nwfilter/xml.h"
#include "rpc/proto_bascule.h"
#include "rpc/proto_nwfilter.h"
#include "rpc/session.h"

namespace bascule::daemon {

namespace proto = rpc::proto;
using rpc::Call;

namespace {

constexpr std::uint32_t kValidate = 1;  // every document is checked anyway

void add_filters(rpc::Handlers& h, Services& s) {
    h.add<proto::nwfilter_lookup_by_name>(
        [&s](Call&, const proto::nwfilter_lookup_by_name_args& args) -> Result<proto::nwfilter_lookup_by_name_ret> {
            TRY(const nwfilter::Filter* const filter, s.filters.by_name(args.name));
            return proto::nwfilter_lookup_by_name_ret{to_wire(*filter)};
        });
    h.add<proto::nwfilter_lookup_by_uuid>(
        [&s](Call&, const proto::nwfilter_lookup_by_uuid_args& args) -> Result<proto::nwfilter_lookup_by_uuid_ret> {
            TRY(const nwfilter::Filter* const filter, s.filters.by_uuid(args.uuid));
            return proto::nwfilter_lookup_by_uuid_ret{to_wire(*filter)};
        });
    h.add<proto::nwfilter_get_xml_desc>(
        [&s](Call&, const proto::nwfilter_get_xml_desc_args& args) -> Result<proto::nwfilter_get_xml_desc_ret> {
            TRY_OK(check_flags(args.flags, 0, "nwfilterGetXMLDesc"));
            TRY(const nwfilter::Filter* const filter, s.filters.by_uuid(args.nwfilter.uuid));
            return proto::nwfilter_get_xml_desc_ret{nwfilter::format(*filter)};
        });
    h.add<proto::nwfilter_define_xml>(
        [&s](Call&, const proto::nwfilter_define_xml_args& args) -> Result<proto::nwfilter_define_xml_ret> {
            TRY(const nwfilter::Filter* const filter, s.filters.define(args.xml));
            return proto::nwfilter_define_xml_ret{to_wire(*filter)};
        });
    h.add<proto::nwfilter_define_xml_flags>(
        [&s](Call&, const proto::nwfilter_define_xml_flags_args& args) -> Result<proto::nwfilter_define_xml_flags_ret> {
            TRY_OK(check_flags(args.flags, kValidate, "nwfilterDefineXMLFlags"));
            TRY(const nwfilter::Filter* const filter, s.filters.define(args.xml));
            return proto::nwfilter_define_xml_flags_ret{to_wire(*filter)};
        });
    h.add<proto::nwfilter_undefine>(
        [&s](Call&, const proto::nwfilter_undefine_args& args) { return s.filters.undefine(args.nwfilter.uuid); });
    h.add<proto::connect_num_of_nwfilters>(
        [&s](Call&, const proto::connect_num_of_nwfilters::Args&) -> Result<proto::connect_num_of_nwfilters_ret> {
            return proto::connect_num_of_nwfilters_ret{static_cast<std::int32_t>(s.filters.all().size())};
        });
    h.add<proto::connect_list_nwfilters>(
        [&s](Call&, const proto::connect_list_nwfilters_args& args) -> Result<proto::connect_list_nwfilters_ret> {
            return proto::connect_list_nwfilters_ret{names_of(
                s.filters.all(), args.maxnames, [](const auto&) { return true; },
                [](const nwfilter::Filter& filter) { return filter.name; })};
        });
    h.add<proto::connect_list_all_nwfilters>(
        [&s](Call&,
             const proto::connect_list_all_nwfilters_args& args) -> Result<proto::connect_list_all_nwfilters_ret> {
            TRY_OK(check_flags(args.flags, 0, "nwfilterConnectListAllNWFilters"));
            proto::connect_list_all_nwfilters_ret ret;
            for (const nwfilter::Filter* const filter : s.filters.all()) {
                ++ret.ret;
                if (args.need_results != 0) {
                    ret.filters.push_back(to_wire(*filter));
                }
            }
            return ret;
        });
}

void add_bindings(rpc::Handlers& h, Services& s) {
    h.add<proto::nwfilter_binding_lookup_by_port_dev>(
        [&s](Call&, const proto::nwfilter_binding_lookup_by_port_dev_args& args)
            -> Result<proto::nwfilter_binding_lookup_by_port_dev_ret> {
            TRY(const nwfilter::Binding* const binding, s.filters.binding(args.name));
            return proto::nwfilter_binding_lookup_by_port_dev_ret{to_wire(*binding)};
        });
    h.add<proto::nwfilter_binding_get_xml_desc>([&s](Call&, const proto::nwfilter_binding_get_xml_desc_args& args)
                                                    -> Result<proto::nwfilter_binding_get_xml_desc_ret> {
        TRY_OK(check_flags(args.flags, 0, "nwfilterBindingGetXMLDesc"));
        TRY(const nwfilter::Binding* const binding, s.filters.binding(args.nwfilter.portdev));
        return proto::nwfilter_binding_get_xml_desc_ret{nwfilter::format(*binding)};
    });
    h.add<proto::nwfilter_binding_create_xml>(
        [&s](Call&,
             const proto::nwfilter_binding_create_xml_args& args) -> Result<proto::nwfilter_binding_create_xml_ret> {
            TRY_OK(check_flags(args.flags, kValidate, "nwfilterBindingCreateXML"));
            TRY(const nwfilter::Binding* const binding, s.filters.bind(args.xml));
            return proto::nwfilter_binding_create_xml_ret{to_wire(*binding)};
        });
    h.add<proto::nwfilter_binding_delete>([&s](Call&, const proto::nwfilter_binding_delete_args& args) -> Result<void> {
        TRY(const nwfilter::Binding* const binding, s.filters.binding(args.nwfilter.portdev));
        return s.filters.unbind(IfName(binding->port));
    });
    h.add<proto::connect_list_all_nwfilter_bindings>(
        [&s](Call&, const proto::connect_list_all_nwfilter_bindings_args& args)
            -> Result<proto::connect_list_all_nwfilter_bindings_ret> {
            TRY_OK(check_flags(args.flags, 0, "nwfilterConnectListAllNWFilterBindings"));
            proto::connect_list_all_nwfilter_bindings_ret ret;
            for (const nwfilter::Binding* const binding : s.filters.bindings()) {
                ++ret.ret;
                if (args.need_results != 0) {
                    ret.bindings.push_back(to_wire(*binding));
                }
            }
            return ret;
        });
}

}  // namespace

proto::Nwfilter to_wire(const nwfilter::Filter& filter) { return {.name = filter.name, .uuid = filter.uuid}; }

proto::NwfilterBinding to_wire(const nwfilter::Binding& binding) {
    return {.portdev = binding.port.str(), .filtername = binding.filter.filter};
}

namespace {

void add_questions(rpc::Handlers& h, Services& s) {
    h.add<proto::nwfilter_explain>(
        [&s](Call&, const proto::nwfilter_explain_args& args) -> Result<proto::nwfilter_explain_ret> {
            TRY(std::string text, s.filters.explain(args.port, args.packet));
            return proto::nwfilter_explain_ret{std::move(text)};
        });
    h.add<proto::nwfilter_get_drops>(
        [&s](Call&, const proto::nwfilter_get_drops_args& args) -> Result<proto::nwfilter_get_drops_ret> {
            TRY(const auto drops,
                s.filters.drops(args.port ? std::optional<std::string_view>(*args.port) : std::nullopt));
            proto::nwfilter_get_drops_ret ret;
            for (const Filters::Drop& drop : drops) {
                ret.ports.push_back(drop.port.str());
                ret.directions.emplace_back(drop.from_guest ? "out" : "in");
                ret.rules.push_back(drop.rule);
                ret.packets.push_back(drop.packets);
                ret.bytes.push_back(drop.bytes);
            }
            return ret;
        });
    h.add<proto::nwfilter_diff>([&s](Call&, const proto::nwfilter_diff_args& args) -> Result<proto::nwfilter_diff_ret> {
        TRY(std::string text, s.filters.diff(args.xml));
        return proto::nwfilter_diff_ret{std::move(text)};
    });
    h.add<proto::nwfilter_trace>(
        [&s](Call&, const proto::nwfilter_trace_args& args, rpc::Responder<proto::nwfilter_trace> responder) {
            auto trace = s.traces.open(args.port);
            if (!trace) {
                return responder.fail(trace.error());
            }
            s.traces.attach(args.port, responder.open({}, std::move(*trace)));
        });
}

}  // namespace

void add_filter_handlers(rpc::Handlers& handlers, Services& services) {
    add_filters(handlers, services);
    add_bindings(handlers, services);
    add_questions(handlers, services);
}

}  // namespace bascule::daemon
