// SPDX-License-Identifier: GPL-2.0-or-later
// Any bytes as a connection's input: packets are found or refused, and every payload is decoded as what its header
// says. What decodes must encode, and what that gives must decode and encode to the same again.
#include <cstdlib>

#include "rpc/frame.h"
#include "rpc/recode.h"

namespace {

using namespace bascule;
using namespace bascule::rpc;

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void try_payload(const ProcedureInfo& info, Part part, ByteView payload) {
    const auto once = recode(info, part, payload);
    if (!once) {
        check(once.error().code != Code::internal);
        return;
    }
    const auto twice = recode(info, part, *once);
    check(twice && *twice == *once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const ByteView all = std::as_bytes(std::span(data, size));
    FrameReader reader;
    // The first byte chooses the portions, so that every seam is tried.
    const std::size_t portion = size == 0 ? 1 : 1 + data[0];
    for (std::size_t at = size == 0 ? 0 : 1; at < size; at += portion) {
        reader.append(all.subspan(at, std::min(portion, size - at)));
        for (;;) {
            const auto header = reader.peek();
            if (!header) {
                return 0;
            }
            if (!*header) {
                break;
            }
            const Frame frame = reader.take();
            check(frame.header == **header);
            check(frame.payload.size() <= size);
            if (const ProcedureInfo* info = find_procedure(frame.header.program, frame.header.procedure)) {
                try_payload(*info, Part::args, frame.payload);
                try_payload(*info, Part::ret, frame.payload);
            }
        }
    }
    return 0;
}
