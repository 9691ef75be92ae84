// A file as a BlockDevice that only reads, without a lock: for looking at metadata that a running
// daemon has in use. Blocking; not for daemons.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "blockdev/block_device.h"

namespace baton::control {

Result<std::unique_ptr<blockdev::BlockDevice>> open_read_only(Loop& loop, const std::string& path);

}  // namespace baton::control
