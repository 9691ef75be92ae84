// A part of a device as a device of its own: a volume and the metadata behind it lie on one disk,
// opened and locked once (design §6).
//
// Requests beyond the part are answered `invalid` and never reach the whole: nothing a client
// discards or zeroes can touch the neighbour. A flush of one part flushes the whole, and one that
// failed makes the flushes of every part fail, since nobody knows whose writes were lost.
//
// The part that begins at 0 hands requests on as they are: two comparisons and a call, nothing
// allocated, nothing copied. Any other one keeps a copy of each request in flight (its owner finds
// the offset as it left it), so it is for what is not the path of every write.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

// `offset` + `length` lie within `whole`, which lives as long as any of its parts. `loop` is the
// one that `whole` completes on. Unlike a device's own, requests in flight may not be thrown away
// with their owner's frame: not for simulated kills.
std::unique_ptr<BlockDevice> make_part(Loop& loop, std::shared_ptr<BlockDevice> whole,
                                       std::uint64_t offset, std::uint64_t length,
                                       std::string name);

}  // namespace baton::blockdev
