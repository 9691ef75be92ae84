// What a predecessor left, made durable before anything is built on it (docs/on-disk-format.md,
// "What is read may not be durable").
#pragma once

#include "base/task.h"
#include "blockdev/metadata/area_reader.h"

namespace baton::blockdev {

// Writes what is on the device again, unchanged, and flushes: both superblock copies, and, unless
// the newer one says clean, every page of bits that was written since `create-md`. A flush alone
// would not do: where the predecessor's flush has failed, the kernel and the disk may count what it
// covered as done. A crash meanwhile leaves what one of the predecessor's writes would have left.
// What cannot be read is passed over; an error of a write or of the flush ends it.
Task<IoError> write_again(BlockDevice& device, const MetadataArea& area);

}  // namespace baton::blockdev
