// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/wipe.h"

#include <fmt/format.h>

namespace bascule::storage {

namespace {

Pass fill(std::uint8_t byte) { return {std::array{byte, byte, byte}}; }
Pass fill(std::uint8_t a, std::uint8_t b, std::uint8_t c) { return {std::array{a, b, c}}; }

void add_random(std::vector<Pass>& passes, std::size_t count) { passes.insert(passes.end(), count, Pass()); }

// P. Gutmann, "Secure Deletion of Data from Magnetic and Solid-State Memory" (1996), table 1.
std::vector<Pass> gutmann() {
    std::vector<Pass> out;
    add_random(out, 4);
    out.insert(out.end(),
               {fill(0x55), fill(0xAA), fill(0x92, 0x49, 0x24), fill(0x49, 0x24, 0x92), fill(0x24, 0x92, 0x49)});
    for (unsigned byte = 0; byte <= 0xFF; byte += 0x11) {
        out.push_back(fill(static_cast<std::uint8_t>(byte)));
    }
    out.insert(out.end(), {fill(0x92, 0x49, 0x24), fill(0x49, 0x24, 0x92), fill(0x24, 0x92, 0x49),
                           fill(0x6D, 0xB6, 0xDB), fill(0xB6, 0xDB, 0x6D), fill(0xDB, 0x6D, 0xB6)});
    add_random(out, 4);
    return out;
}

}  // namespace

// The names are those of scrub(1), which the peer runs, and the passes those that it documents.
Result<std::vector<Pass>> wipe_passes(std::uint32_t algorithm) {
    std::vector<Pass> out;
    switch (algorithm) {
        case kWipeZero: return std::vector{fill(0)};
        case 1:
            add_random(out, 2);
            out.push_back(fill(0));
            return out;  // nnsa
        case 2:
            add_random(out, 1);
            out.insert(out.end(), {fill(0), fill(0xFF)});
            return out;  // dod
        case 3:          // bsi
            for (const std::uint8_t byte : {0xFF, 0xFE, 0xFD, 0xFB, 0xF7, 0xEF, 0xDF, 0xBF, 0x7F}) {
                out.push_back(fill(byte));
            }
            return out;
        case 4: return gutmann();
        case 5:
            out = {fill(0), fill(0xFF)};
            add_random(out, 5);
            return out;                           // schneier
        case 6: add_random(out, 7); return out;   // pfitzner7
        case 7: add_random(out, 33); return out;  // pfitzner33
        case 8: add_random(out, 1); return out;   // random
        case kWipeTrim: return out;
        default:
            return fail(Code::invalid_argument,
                        fmt::format("wiping algorithm {}: there are 0 to {}", algorithm, kWipeTrim));
    }
}

}  // namespace bascule::storage
