// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/store.h"

namespace bascule::daemon {

namespace {
constexpr std::size_t kMaxDefinition = 4U << 20;
constexpr std::string_view kSuffix = ".xml";
}  // namespace

Result<std::vector<Store::Entry>> Store::load() const {
    std::vector<Entry> out;
    TRY(const auto names, files_.list(folder_));
    for (const std::string& name : names) {
        if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix) || name.starts_with('.')) {
            continue;
        }
        const std::string path = folder_ + "/" + name;
        out.push_back(
            {name.substr(0, name.size() - kSuffix.size()), files_.real(path), files_.read(path, kMaxDefinition)});
    }
    return out;
}

Result<void> Store::save(const ObjectName& name, std::string_view xml) { return files_.write(file(name), xml); }

Result<void> Store::remove(const ObjectName& name) {
    TRY_OK(files_.remove(link(name)));
    return files_.remove(file(name));
}

bool Store::autostart(const ObjectName& name) const { return files_.exists(link(name)); }

Result<void> Store::set_autostart(const ObjectName& name, bool on) {
    if (!on) {
        return files_.remove(link(name));
    }
    return autostart(name) ? Result<void>() : files_.symlink("../" + name.str() + ".xml", link(name));
}

}  // namespace bascule::daemon
