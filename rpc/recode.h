// SPDX-License-Identifier: GPL-2.0-or-later
// Decode and encode again, for any procedure by its number: what tests and fuzzers need of every struct in the
// tables. A library of its own (bascule_rpc_recode), since it instantiates all of them; programs do not link it.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "rpc/procedure.h"
#include "rpc/xdr.h"

namespace bascule::rpc {

enum class Part { args, ret };  // of an event: ret

namespace detail {

enum class Outcome { done, malformed, does_not_encode };
using Recode = Outcome (*)(ByteReader&, ByteWriter&);

template <class T>
Outcome recode_as(ByteReader& in, ByteWriter& out) {
    T value{};
    Decoder decoder(in);
    T::fields(decoder, value);
    if (!in.ok()) {
        return Outcome::malformed;
    }
    Encoder encoder(out);
    T::fields(encoder, std::as_const(value));
    return encoder.ok() ? Outcome::done : Outcome::does_not_encode;
}

struct RecodeRow {
    std::uint32_t program;
    std::int32_t number;
    Recode args, ret;
};
std::vector<std::span<const RecodeRow>> recode_rows();  // generated

}  // namespace detail

// What the decoded payload encodes to; Code::malformed when it does not decode, Code::invalid_argument when the
// procedure has no such part (events have no args).
inline Result<Bytes> recode(const ProcedureInfo& procedure, Part part, ByteView payload) {
    for (const auto rows : detail::recode_rows()) {
        for (const detail::RecodeRow& row : rows) {
            const detail::Recode as = part == Part::args ? row.args : row.ret;
            if (row.program != procedure.program || row.number != procedure.number || as == nullptr) {
                continue;
            }
            ByteReader in(payload);
            ByteWriter out(kMaxPayload);
            switch (as(in, out)) {
                case detail::Outcome::done: return out.take();
                case detail::Outcome::malformed: return fail(Code::malformed, "Unable to decode message payload");
                case detail::Outcome::does_not_encode: return fail(Code::internal, "decoded, but does not encode");
            }
        }
    }
    return fail(Code::invalid_argument, std::string(procedure.name) + " has no such part");
}

}  // namespace bascule::rpc
