// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace bascule::test {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        out.push_back(line);
    }
    return out;
}

std::string first_difference(const std::string& expected, const std::string& actual) {
    const auto want = lines_of(expected);
    const auto got = lines_of(actual);
    for (std::size_t i = 0; i < std::max(want.size(), got.size()); ++i) {
        const std::string w = i < want.size() ? want[i] : "(end of file)";
        const std::string g = i < got.size() ? got[i] : "(end of text)";
        if (w != g) {
            return "line " + std::to_string(i + 1) + "\n  expected: " + w + "\n  actual:   " + g;
        }
    }
    return "the ends differ (a missing newline?)";
}

bool updating() {
    const char* const value = std::getenv("UPDATE_GOLDEN");
    return value != nullptr && std::string(value) == "1";
}

}  // namespace

std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        ADD_FAILURE() << path.string() << " cannot be read";
        return {};
    }
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

void expect_golden(const fs::path& file, const std::string& actual) {
    if (updating()) {
        fs::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << actual;
        return;
    }
    if (!fs::exists(file)) {
        ADD_FAILURE() << "the golden file " << file.string() << " is missing; UPDATE_GOLDEN=1 writes it:\n" << actual;
        return;
    }
    const std::string expected = read_file(file);
    if (expected != actual) {
        ADD_FAILURE() << "differs from " << file.string() << ", " << first_difference(expected, actual)
                      << "\nUPDATE_GOLDEN=1 rewrites it. The whole actual text:\n"
                      << actual;
    }
}

std::vector<fs::path> cases(const std::string& folder_below_tests, const std::string& extension) {
    std::vector<fs::path> out;
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(fs::path(TEST_SOURCE_DIR) / "tests" / folder_below_tests, absent)) {
        if (entry.path().filename().string().ends_with(extension)) {
            out.push_back(entry.path());
        }
    }
    std::ranges::sort(out);
    return out;
}

std::string case_name(const fs::path& file) {
    std::string name = file.filename().string();
    name.erase(std::min(name.find('.'), name.size()));
    std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    return name;
}

}  // namespace bascule::test
