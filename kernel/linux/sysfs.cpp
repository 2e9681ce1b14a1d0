// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/sysfs.h"

#include <algorithm>
#include <filesystem>

#include "kernel/linux/facts.h"

namespace bascule::kernel::os {

std::string small_file(const std::string& path) {
    std::string text = read_text(path, 4096);
    while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') {
        text.pop_back();
    }
    return text;
}

std::string printable(std::string text) {
    std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '?');
    return text;
}

std::vector<std::string> folder_entries(const std::string& folder) {
    std::vector<std::string> out;
    std::error_code error;
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        out.push_back(it->path().filename().string());
    }
    std::ranges::sort(out);
    return out;
}

}  // namespace bascule::kernel::os
