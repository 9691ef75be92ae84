// A BlockDevice in memory: sparse, forgotten with the process. For tests, benchmarks (a device that
// costs next to nothing) and wherever a real disk would only be in the way.
#pragma once

#include <memory>

#include "base/loop.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

// Reads as zeroes until written. Requests are carried out one at a time, in the order they were
// submitted, each just before its completion, from the loop: never inside submit(). A request that
// is destroyed before that was never carried out. A flush has nothing to do: "power loss" and end
// of process are the same here, and nothing survives either.
std::unique_ptr<BlockDevice> make_memory_device(Loop& loop, std::uint64_t size);

}  // namespace baton::blockdev
