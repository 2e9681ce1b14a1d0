// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes through streams. Reading and writing happens on the Worker, one piece at a time, so the slower of disk and
// client sets the pace; an upload is confirmed once it is on the disk.
#pragma once

#include <memory>

#include "daemon/storage.h"
#include "rpc/stream.h"

namespace bascule::daemon {

struct TransferRange {
    std::uint64_t offset = 0, length = 0;  // length 0: to the end
    bool sparse = false;                   // holes travel as such
};

// What a client may attach a stream to, once the file is open.
class Transfer : public rpc::StreamHandler {
public:
    virtual void attach(rpc::Stream stream) = 0;
};
void open_upload(Storage& storage, const VolumeName& name, const TransferRange& range,
                 Reply<std::unique_ptr<Transfer>> reply);
void open_download(Storage& storage, const VolumeName& name, const TransferRange& range,
                   Reply<std::unique_ptr<Transfer>> reply);

}  // namespace bascule::daemon
