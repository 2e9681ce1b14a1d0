// SPDX-License-Identifier: GPL-2.0-or-later
// docs/clients.md lists the procedures that are not answered, or only with a refusal. The list is written by this test
// when UPDATE_GOLDEN=1, from the table of all procedures and from what the handlers' sources name; otherwise it
// is held against the page.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include <fmt/format.h>

#include "rpc/procedure.h"
#include "rpc/program.h"
#include "tests/support/golden.h"

namespace bascule::rpc::test {
namespace {

namespace fs = std::filesystem;

const fs::path kTop = TEST_SOURCE_DIR;
constexpr std::string_view kBegin = "<!-- procedures: begin -->\n", kEnd = "<!-- procedures: end -->\n";

std::string tag(std::string_view name) {
    std::string out(name);
    std::ranges::replace(out, '-', '_');
    return out;
}

struct Named {
    std::set<std::string> all, refused;
};

Named named_by_handlers() {
    std::vector<fs::path> files{kTop / "rpc/handlers.cpp"};
    for (const auto& entry : fs::directory_iterator(kTop / "daemon")) {
        if (entry.path().extension() == ".cpp") {
            files.push_back(entry.path());
        }
    }
    static const std::regex any(R"(\bproto::([a-z0-9_]+))"),
        refusal(R"(\b(?:refuse|needs_agent)<\s*proto::([a-z0-9_]+))");
    Named out;
    for (const fs::path& file : files) {
        const std::string text = bascule::test::read_file(file);
        for (const auto& [pattern, into] : {std::pair(&any, &out.all), std::pair(&refusal, &out.refused)}) {
            for (std::sregex_iterator it(text.begin(), text.end(), *pattern), end; it != end; ++it) {
                into->insert((*it)[1]);
            }
        }
    }
    return out;
}

std::string subject(const ProcedureInfo& info) {
    if (info.program != program::remote) {
        return info.program == program::qemu ? "QEMU's own" : "containers";
    }
    const std::string_view name = info.name;
    const auto has = [&](std::string_view word) { return name.find(word) != std::string_view::npos; };
    return has("migrate")                                      ? "migration"
           : has("snapshot")                                   ? "snapshots"
           : has("checkpoint") || has("backup")                ? "checkpoints and backups"
           : has("save") || has("restore") || has("core-dump") ? "saving guests"
           : name.starts_with("domain-") || has("-domain-")    ? "guests"
           : has("storage")                                    ? "storage"
           : has("node-device")                                ? "node devices"
           : has("interface")                                  ? "host interfaces"
           : has("network") || has("nwfilter")                 ? "networks and filters"
           : has("secret")                                     ? "secrets"
                                                               : "the host and the connection";
}

std::string list() {
    const Named named = named_by_handlers();
    std::map<std::string, std::string> unknown, refused;
    std::size_t calls = 0, answered = 0;
    for (const ProcedureInfo& info : procedures()) {
        if (!info.is_call || info.program == program::bascule) {
            continue;
        }
        ++calls;
        const std::string item = fmt::format("`{}` ({})", info.name, info.number);
        const bool is_known = named.all.contains(tag(info.name)), is_refused = named.refused.contains(tag(info.name));
        answered += is_known && !is_refused ? 1 : 0;
        if (!is_known || is_refused) {
            std::string& cell = (is_known ? refused : unknown)[subject(info)];
            cell += (cell.empty() ? "" : ", ") + item;
        }
    }
    std::string out = fmt::format("Of libvirt's {} calls {} are answered. ", calls, answered);
    const auto table = [&out](const std::map<std::string, std::string>& rows) {
        out += "\n\n| subject | procedures |\n|---|---|\n";
        for (const auto& [about, items] : rows) {
            out += fmt::format("| {} | {} |\n", about, items);
        }
    };
    out += "These are not known at all (`unknown procedure`, which clients take for \"not supported\"):";
    table(unknown);
    if (!refused.empty()) {
        out += "\nThese are known and refused, because what they need is not there:";
        table(refused);
    }
    return out;
}

TEST(Procedures, ThePageListsThoseThatAreNotAnswered) {
    const fs::path page = kTop / "docs/clients.md";
    const std::string text = bascule::test::read_file(page);
    const auto begin = text.find(kBegin), end = text.find(kEnd);
    ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end) << "no place for the list";
    const std::string old = text.substr(begin + kBegin.size(), end - begin - kBegin.size());
    const std::string now = list();
    const char* const update = std::getenv("UPDATE_GOLDEN");
    if (update != nullptr && *update == '1') {
        std::ofstream(page, std::ios::binary) << text.substr(0, begin + kBegin.size()) << now << text.substr(end);
        return;
    }
    EXPECT_TRUE(old == now) << "run unit_rpc with UPDATE_GOLDEN=1 and commit docs/clients.md";
}

}  // namespace
}  // namespace bascule::rpc::test
