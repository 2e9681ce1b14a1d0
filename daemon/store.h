// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/names.h"
#include "base/result.h"
#include "kernel/io.h"

namespace bascule::daemon {

// The definitions of one kind of object: FOLDER/NAME.xml, and for those that start with the host a
// link FOLDER/autostart/NAME.xml -> ../NAME.xml. Every change is on the disk when it returns and
// survives a crash at any point.
class Store {
public:
    Store(kernel::FileTree& files, std::string folder) : files_(files), folder_(std::move(folder)) {}

    struct Entry {
        std::string name;  // the file's, without .xml
        std::string path;  // for errors, as a person finds it
        Result<std::string> text;
    };
    Result<std::vector<Entry>> load() const;

    Result<void> save(const ObjectName& name, std::string_view xml);
    Result<void> remove(const ObjectName& name);  // the autostart link goes first
    bool has(const ObjectName& name) const { return files_.exists(file(name)); }
    bool autostart(const ObjectName& name) const;
    Result<void> set_autostart(const ObjectName& name, bool on);

private:
    std::string file(const ObjectName& name) const { return folder_ + "/" + name.str() + ".xml"; }
    std::string link(const ObjectName& name) const { return folder_ + "/autostart/" + name.str() + ".xml"; }

    kernel::FileTree& files_;
    std::string folder_;
};

}  // namespace bascule::daemon
