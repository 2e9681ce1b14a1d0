// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/kernel.h"

#include <fmt/format.h>

namespace bascule::kernel {

namespace {

std::string describe(const PutLink& op) {
    return fmt::format("put {} {}{}", name_of(op.link.kind), op.name.str(),
                       op.link.master ? " into " + op.link.master->str() : "");
}
std::string describe(const LinkUp& op) { return fmt::format("set {} {}", op.name.str(), op.up ? "up" : "down"); }
std::string describe(const DropLink& op) { return "drop link " + op.name.str(); }
std::string describe(const PutShaping& op) { return "shape " + op.name.str(); }
std::string describe(const DropShaping& op) { return "unshape " + op.name.str(); }
std::string describe(const PutAddress& op) { return "put address " + format(op.address); }
std::string describe(const DropAddress& op) { return "drop address " + format(op.address); }
std::string describe(const PutRoute& op) { return "put route " + format(op.route); }
std::string describe(const DropRoute& op) { return "drop route " + format(op.route); }
std::string describe(const SetSysctl& op) { return fmt::format("set {} to {}", op.key, op.value); }

void count(std::string& out, char sign, std::size_t n, std::string_view what) {
    if (n > 0) {
        out += fmt::format(" {}{} {}", sign, n, what);
    }
}

std::size_t elements_in(const auto& by_set) {
    std::size_t n = 0;
    for (const auto& [set, elements] : by_set) {
        n += elements.size();
    }
    return n;
}

std::string describe(const RuleBatch& op) {
    std::string out = "change rules:";
    for (const auto& [family, table] : op.add) {
        out += fmt::format(" {}", name_of(family));
        count(out, '+', table.sets.size(), "sets");
        count(out, '+', table.chains.size(), "chains");
        count(out, '+', elements_in(table.elements), "elements");
    }
    for (const auto& [family, removal] : op.remove) {
        out += fmt::format(" {}", name_of(family));
        count(out, '-', removal.sets.size(), "sets");
        count(out, '-', removal.chains.size(), "chains");
        count(out, '-', elements_in(removal.elements), "elements");
        out += removal.whole_table ? " -table" : "";
    }
    return out;
}

}  // namespace

std::string format(const Op& op) {
    return std::visit([](const auto& one) { return describe(one); }, op);
}

}  // namespace bascule::kernel
