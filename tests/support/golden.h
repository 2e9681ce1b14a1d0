// SPDX-License-Identifier: GPL-2.0-or-later
// Golden files: what a compiler must produce, as text a reviewer reads. UPDATE_GOLDEN=1 rewrites them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bascule::test {

// The whole file; a file that cannot be read fails the running test and gives an empty text.
std::string read_file(const std::filesystem::path& path);

// Fails the running test when the file is missing or differs, with the first line that differs.
// With UPDATE_GOLDEN=1 in the environment the file is (re)written instead.
void expect_golden(const std::filesystem::path& file, const std::string& actual);

// The files of that extension (".xml"; may have two dots) directly in tests/<folder_below_tests>, sorted.
std::vector<std::filesystem::path> cases(const std::string& folder_below_tests, const std::string& extension);

// A test's name made of a case's file name: for the last argument of INSTANTIATE_TEST_SUITE_P, as
// [](const auto& info) { return case_name(info.param); }
std::string case_name(const std::filesystem::path& file);

}  // namespace bascule::test
