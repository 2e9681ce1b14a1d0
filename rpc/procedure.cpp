// SPDX-License-Identifier: GPL-2.0-or-later
#include "rpc/procedure.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "rpc/program.h"

namespace bascule::rpc {

const ProcedureInfo* find_procedure(std::uint32_t program, std::int32_t number) {
    // By program as in the table, by number within: numbers have no gaps to speak of.
    static const auto programs = [] {
        std::vector<std::pair<std::uint32_t, std::span<const ProcedureInfo>>> out;
        const auto all = procedures();
        for (std::size_t from = 0, at = 1; at <= all.size(); ++at) {
            if (at == all.size() || all[at].program != all[from].program) {
                out.emplace_back(all[from].program, all.subspan(from, at - from));
                from = at;
            }
        }
        return out;
    }();
    for (const auto& [known, rows] : programs) {
        if (known == program) {
            const auto it = std::ranges::lower_bound(rows, number, {}, &ProcedureInfo::number);
            return it != rows.end() && it->number == number ? &*it : nullptr;
        }
    }
    return nullptr;
}

bool is_known_program(std::uint32_t program, std::uint32_t version) {
    return version == 1 && (program == program::remote || program == program::qemu || program == program::lxc ||
                            program == program::bascule);
}

}  // namespace bascule::rpc
