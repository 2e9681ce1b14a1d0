// SPDX-License-Identifier: GPL-2.0-or-later
// What a call is about, found in the arguments of any procedure: what a check before the handler decides on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>

#include "rpc/proto_types.h"

namespace bascule::rpc {

struct Subject {
    // The first object among the arguments; a snapshot or checkpoint counts as its domain, a port as its network.
    std::variant<std::monostate, proto::Domain, proto::Network, proto::Nwfilter, proto::NwfilterBinding,
                 proto::Interface, proto::StoragePool, proto::StorageVol, proto::NodeDevice, proto::Secret>
        object{};
    // The first string outside an object: the name of a lookup (node devices always travel so) or the XML.
    std::string text{};
    // The first of each outside an object, where there is one: of a lookup, of a network's port.
    std::optional<Uuid> uuid{};
    std::optional<std::int32_t> number{};
    std::uint32_t flags = 0;  // the argument of that name
};

namespace detail {

// An archive, as Encoder and Decoder are (rpc/xdr.h).
class SubjectFinder {
public:
    explicit SubjectFinder(Subject& out) : out_(out) {}

    template <class T, class... Limit>
    void operator()(const T& value, Limit...) {
        if constexpr (std::is_constructible_v<decltype(Subject::object), std::in_place_type_t<T>, const T&>) {
            if (out_.object.index() == 0) {
                out_.object = value;
            }
        } else if constexpr (std::is_same_v<T, std::string>) {
            if (out_.text.empty()) {
                out_.text = value;
            }
        } else if constexpr (std::is_same_v<T, proto::DomainSnapshot> || std::is_same_v<T, proto::DomainCheckpoint>) {
            (*this)(value.dom);
        } else if constexpr (std::is_same_v<T, proto::NetworkPort>) {
            (*this)(value.net);
            (*this)(value.uuid);
        } else if constexpr (std::is_same_v<T, Uuid>) {
            out_.uuid = out_.uuid ? out_.uuid : value;
        } else if constexpr (std::is_same_v<T, std::int32_t>) {
            out_.number = out_.number ? out_.number : value;
        }
    }
    template <class T>
    void operator()(const std::optional<T>& value) {
        if (value) {
            (*this)(*value);
        }
    }

private:
    Subject& out_;
};

}  // namespace detail

template <class Args>
Subject subject_of(const Args& args) {
    Subject out;
    detail::SubjectFinder finder(out);
    Args::fields(finder, args);
    if constexpr (requires { args.flags; }) {
        out.flags = static_cast<std::uint32_t>(args.flags);
    }
    return out;
}

}  // namespace bascule::rpc
