// SPDX-License-Identifier: GPL-2.0-or-later
// The architecture is a table (CMakeLists.txt, module()), and these tests hold the tree to it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/golden.h"

namespace bascule::test {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = TEST_SOURCE_DIR;
constexpr std::size_t kMaxLines = 600;

struct File {
    std::string path;    // from the root: "kernel/linux/nft.cpp"
    std::string folder;  // "kernel/linux"
    std::vector<std::string> lines;

    bool header() const { return path.ends_with(".h"); }
};

// Every file of ours below the root; what is generated or not ours has no business there.
std::vector<File> read_tree() {
    std::vector<File> out;
    for (auto at = fs::recursive_directory_iterator(kRoot); at != fs::recursive_directory_iterator(); ++at) {
        const std::string name = at->path().filename().string();
        if (at->is_directory() &&
            (name == "build" || (name.starts_with('.') && name != ".ci") || name == "__pycache__")) {
            at.disable_recursion_pending();
        } else if (at->is_regular_file() && !at->is_symlink()) {
            static const std::set<std::string> kEndings{".h", ".cpp", ".c", ".cmake", ".sh", ".py"};
            const std::string ending = at->path().extension().string();
            const bool front_door =
                at->path().parent_path() == kRoot && ending.empty() && !name.starts_with('.') && name != "LICENSE";
            if (!kEndings.contains(ending) && name != "CMakeLists.txt" && !front_door) {
                continue;
            }
            File file{
                fs::relative(at->path(), kRoot).string(), fs::relative(at->path().parent_path(), kRoot).string(), {}};
            std::istringstream text(read_file(at->path()));
            for (std::string line; std::getline(text, line);) {
                file.lines.push_back(line);
            }
            out.push_back(std::move(file));
        }
    }
    std::ranges::sort(out, {}, &File::path);
    return out;
}

const std::vector<File>& tree() {
    static const std::vector<File> files = read_tree();
    return files;
}

// folder -> the folders it may include, from the build.
const std::map<std::string, std::set<std::string>>& table() {
    static const auto layers = [] {
        std::map<std::string, std::set<std::string>> out;
        std::istringstream text(read_file(fs::path(TEST_BUILD_DIR) / "layers.txt"));
        for (std::string line; std::getline(text, line);) {
            std::istringstream words(line);
            std::string folder;
            words >> folder;
            auto& uses = out[folder];
            for (std::string used; words >> used;) {
                uses.insert(used);
            }
        }
        return out;
    }();
    return layers;
}

bool is_cpp(const File& file) { return file.header() || file.path.ends_with(".cpp"); }
bool is_test(const File& file) { return file.path.starts_with("tests/"); }

struct Include {
    int line = 0;
    bool ours = false;  // "…", not <…>
    std::string path;
};

std::vector<Include> includes(const File& file) {
    static const std::regex kInclude(R"(^\s*#\s*include\s+(["<])([^">]+)[">].*)");
    std::vector<Include> out;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        std::smatch match;
        if (file.lines[i].contains("include") && std::regex_match(file.lines[i], match, kInclude)) {
            out.push_back({static_cast<int>(i) + 1, match[1] == "\"", match[2]});
        }
    }
    return out;
}

std::string at(const File& file, int line) { return file.path + ":" + std::to_string(line) + ": "; }

TEST(Layering, TheTableIsReadAndItsFoldersUseOnlyFoldersAboveThem) {
    ASSERT_GT(table().size(), 5U) << TEST_BUILD_DIR "/layers.txt";
    std::set<std::string> known;
    std::istringstream text(read_file(fs::path(TEST_BUILD_DIR) / "layers.txt"));
    for (std::string line; std::getline(text, line);) {
        std::istringstream words(line);
        std::string folder;
        words >> folder;
        for (std::string used; words >> used;) {
            EXPECT_TRUE(known.contains(used))
                << folder << " uses " << used << ", which is not above it in CMakeLists.txt: arrows only go one way";
        }
        EXPECT_TRUE(known.insert(folder).second) << folder << " is in the table twice";
    }
}

TEST(Layering, EveryFolderWithCodeIsInTheTable) {
    for (const File& file : tree()) {
        if (is_cpp(file) && !is_test(file)) {
            EXPECT_TRUE(table().contains(file.folder))
                << file.path << " is in a folder without a module() line in CMakeLists.txt";
        }
    }
}

TEST(Layering, FoldersIncludeOnlyWhatTheyUse) {
    for (const File& file : tree()) {
        if (!is_cpp(file) || is_test(file) || !table().contains(file.folder)) {
            continue;
        }
        for (const Include& include : includes(file)) {
            if (!include.ours) {
                continue;
            }
            const std::string folder = fs::path(include.path).parent_path().string();
            if (!table().contains(folder)) {
                ADD_FAILURE() << at(file, include.line) << "\"" << include.path
                              << "\" is not written from the root, as \"folder/file.h\" with a folder of the table";
            } else if (folder != file.folder && !table().at(file.folder).contains(folder)) {
                ADD_FAILURE() << at(file, include.line) << file.folder << "/ includes " << folder
                              << "/, which it may not"
                              << " (its module() line in CMakeLists.txt lists what it uses; siblings meet as values in"
                                 " kernel/, network/ or daemon/)";
            }
        }
    }
}

TEST(Layering, SourcesIncludeNoTests) {
    for (const File& file : tree()) {
        for (const Include& include : includes(file)) {
            const bool test = include.path.starts_with("tests/") || include.path.starts_with("gtest/");
            EXPECT_FALSE(test && is_cpp(file) && !is_test(file)) << at(file, include.line) << include.path;
        }
    }
}

struct Rule {
    const char* what;
    const char* headers;               // regular expression for the whole of an include
    std::vector<std::string> allowed;  // folders, which end with '/', files, or the beginning of files ("base/fd.")
};

// Who may include what of the system. One line a library: where it stands, its users can be replaced.
const std::vector<Rule>& rules() {
    static const std::vector<Rule> out{
        {"a header of system calls",
         "(sys|linux|asm|net|netinet|netpacket|rpc)/"
         ".*|unistd\\.h|fcntl\\.h|poll\\.h|sched\\.h|dirent\\.h|pwd\\.h|grp\\.h|"
         "netdb\\.h|spawn\\.h|termios\\.h|ifaddrs\\.h|mntent\\.h|pty\\.h|syslog\\.h|aio\\.h|mqueue\\.h|ftw\\.h|glob\\."
         "h",
         {"kernel/linux/", "dhcp/netsvc/", "switch/dpdk/", "cli/", "base/fd.", "base/names.", "base/log."}},
        {"an address-family header", "arpa/.*", {"kernel/linux/", "dhcp/netsvc/", "base/net."}},
        {"libxml2", "libxml/.*", {"base/xml.cpp"}},
        {"netlink", "libmnl/.*|netlink/.*|nftables/.*", {"kernel/linux/"}},
        {"libsystemd", "systemd/.*", {"kernel/linux/", "daemon/"}},
        {"a header of privileges", "seccomp\\.h|cap-ng\\.h", {"kernel/linux/", "dhcp/netsvc/", "switch/dpdk/"}},
        {"Boost", "boost/.*", {"cli/", "daemon/"}},
        {"JSON", "nlohmann/.*", {"vmm/", "storage/", "cli/", "kernel/linux/"}},
        {"a thread or lock",
         "thread|mutex|shared_mutex|condition_variable|future|semaphore|pthread\\.h",
         {"kernel/linux/worker."}},  // docs/decisions/0006
        {"files",
         "fstream|filesystem|cstdio|stdio\\.h",
         {"kernel/linux/", "dhcp/netsvc/", "switch/dpdk/", "cli/", "rpc/generate.cpp", "daemon/"}},
    };
    return out;
}

TEST(Layering, TheSystemIsReachedOnlyWhereItMayBe) {
    for (const File& file : tree()) {
        if (!is_cpp(file) || is_test(file)) {
            continue;
        }
        for (const Include& include : includes(file)) {
            for (const Rule& rule : rules()) {
                const bool allowed = std::ranges::any_of(rule.allowed, [&file](const std::string& prefix) {
                    return file.path.starts_with(prefix) && (!prefix.ends_with('/') || file.folder + "/" == prefix);
                });
                if (!include.ours && !allowed && std::regex_match(include.path, std::regex(rule.headers))) {
                    ADD_FAILURE() << at(file, include.line) << "<" << include.path << "> is " << rule.what << ", which "
                                  << file.folder
                                  << "/ may not reach: go through an interface of kernel/ (kernel.h, io.h)";
                }
            }
        }
    }
}

TEST(Tree, EveryFileBeginsWithItsLicence) {
    for (const File& file : tree()) {
        const std::string comment = is_cpp(file) || file.path.ends_with(".c") ? "// " : "# ";
        const std::string expected = comment + "SPDX-License-Identifier: GPL-2.0-or-later";
        const std::size_t first = !file.lines.empty() && file.lines[0].starts_with("#!") ? 1 : 0;
        EXPECT_TRUE(file.lines.size() > first && file.lines[first] == expected)
            << file.path << ":" << first + 1 << ": expected the line: " << expected;
    }
}

TEST(Tree, NoFileIsLong) {
    for (const File& file : tree()) {
        EXPECT_LE(file.lines.size(), kMaxLines) << file.path << ": split it by subject";
    }
}

TEST(Tree, EveryFolderExplainsItself) {
    for (const auto& [folder, uses] : table()) {
        bool any = false, explained = false;
        for (const File& file : tree()) {
            if (file.header() && file.folder == folder) {
                any = true;
                explained = explained || std::ranges::any_of(file.lines, [](const std::string& line) {
                                return line.starts_with("//") && line.contains("Theory of operation");
                            });
            }
        }
        // base is words, each explained where it stands.
        EXPECT_TRUE(!any || explained || folder == "base")
            << folder
            << "/: its main header should open with a \"Theory of operation\" comment (problem, data,"
               " invariants, a worked example, what is deliberately not done)";
    }
}

TEST(Tree, HeadersAreIncludedOnce) {
    for (const File& file : tree()) {
        if (file.header()) {
            EXPECT_TRUE(std::ranges::find(file.lines, "#pragma once") != file.lines.end()) << file.path;
        }
    }
}

TEST(Tree, NothingIsLeftForLater) {
    // In pieces, so that this file does not find itself.
    const std::regex words(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X)\\b");
    for (const File& file : tree()) {
        for (std::size_t i = 0; i < file.lines.size(); ++i) {
            EXPECT_FALSE(std::regex_search(file.lines[i], words))
                << at(file, static_cast<int>(i) + 1) << "do it, or refuse it with an error: " << file.lines[i];
        }
    }
}

}  // namespace
}  // namespace bascule::test
