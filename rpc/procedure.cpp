// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/procedure.h"

#include <algorithm>
#include <map>
#include <utility>

#include "rpc/program.h"

namespace bascule::rpc {

const ProcedureInfo* find_procedure(std::uint32_t program, std::int32_t number) {
    static const auto index = [] {
        std::map<std::pair<std::uint32_t, std::int32_t>, const ProcedureInfo*> out;
        for (const ProcedureInfo& info : procedures()) {
            out.emplace(std::pair(info.program, info.number), &info);
        }
        return out;
    }();
    const auto it = index.find({program, number});
    return it == index.end() ? nullptr : it->second;
}

bool is_known_program(std::uint32_t program, std::uint32_t version) {
    return version == 1 && program != program::keepalive &&
           std::ranges::any_of(procedures(), [&](const ProcedureInfo& info) { return info.program == program; });
}

}  // namespace bascule::rpc
