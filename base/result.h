// SPDX-License-Identifier: GPL-2.0-or-later
// Errors are values that cannot be dropped.
//
// A function that can fail returns Result<T>. Program code branches on Error::code, people read
// Error::message, and every caller may prepend where it was with Error::in(). A function either
// returns an error or logs it, never both, and only daemon/ and the programs' mains log. We throw no
// exceptions of our own; std::bad_alloc and broken invariants end the process.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace bascule {

// What kind of failure it was: the classes that clients branch on. rpc/error_map.cpp turns them into
// libvirt's error numbers, cli/ into exit codes.
enum class Code {
    internal,            // a broken promise of our own, or of a helper
    invalid_argument,    // a value of the call is wrong
    malformed,           // bytes that do not decode
    xml_syntax,          // not well-formed XML
    invalid_xml,         // well-formed, but not what the schema of this object says
    unsupported_config,  // valid configuration that this build or host cannot realise
    unsupported,         // the operation is not available for this object
    not_implemented,     // no such procedure here
    invalid_state,       // right operation, wrong time ("network is already active")
    exists,              // the name or uuid is taken
    conflict,            // clashes with something else on the host or in another definition
    in_use,              // something still refers to it
    denied,              // the caller may not
    read_only,           // the connection may not
    system,              // the kernel or a library refused; Error::sys_errno says how
    timeout,             // the other side did not answer in time
    unreachable,         // nobody there to talk to
    no_domain,
    no_network,
    no_nwfilter,
    no_nwfilter_binding,
    no_domain_metadata,
    no_network_metadata,
    no_network_port,
    no_domain_snapshot,
    no_domain_checkpoint,
    no_storage_pool,
    no_storage_vol,
    storage_vol_exists,
    no_node_device,
    no_interface,
    no_secret,
    invalid_secret,      // there is one, but not for this
    agent_unresponsive,  // the guest's agent does not answer
    auth_failed,         // who the caller says he is was not believed
    auth_cancelled,      // he gave up proving it
    auth_unavailable,    // nobody there who could ask him
};

struct Error {
    Code code = Code::internal;
    std::string message;
    int sys_errno = 0;  // errno of Code::system, else 0

    // Says where it happened: error.in("network default") gives "network default: …".
    Error&& in(std::string_view where) && {
        message.insert(0, std::string(where) + ": ");
        return std::move(*this);
    }
    bool operator==(const Error&) const = default;
};

// std::expected plus the one thing libstdc++ 12 leaves out: dropping it is a warning.
template <class T>
struct [[nodiscard]] Result : std::expected<T, Error> {
    using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(Code code, std::string message) {
    return std::unexpected(Error{code, std::move(message), 0});
}

// A failed system call: "what: strerror(error)". `error` is a positive errno.
std::unexpected<Error> fail_errno(std::string_view what, int error = errno);

// The words for an errno, thread-safe ("No such file or directory").
std::string errno_text(int error);

#define BASCULE_CAT_(a, b) a##b
#define BASCULE_CAT(a, b) BASCULE_CAT_(a, b)
#define BASCULE_TRY_(tmp, decl, ...)                    \
    auto tmp = (__VA_ARGS__);                           \
    if (!tmp) [[unlikely]]                              \
        return std::unexpected(std::move(tmp).error()); \
    decl = *std::move(tmp)

// TRY(auto link, find_link(name));  A statement, so that it can never sit inside a larger expression
// (the statement-expression form leaks on g++ 12).
#define TRY(decl, ...) BASCULE_TRY_(BASCULE_CAT(try_, __COUNTER__), decl, __VA_ARGS__)

// TRY_OK(set_mtu(link, 9000));  For Result<void>.
#define TRY_OK(...)                                            \
    do {                                                       \
        if (auto try_ok = (__VA_ARGS__); !try_ok) [[unlikely]] \
            return std::unexpected(std::move(try_ok).error()); \
    } while (false)

}  // namespace bascule
