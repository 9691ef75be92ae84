// Everything on a metadata device for a person or a program to read (`batonctl dump-md`).
//
// Reads only, so it also serves for a stopped node. Damage is shown, not repaired; a device without
// a superblock to be trusted is an error with the sentence that load would give.
#pragma once

#include <string>

#include "base/task.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

struct MetadataArea;

enum class DumpStyle : std::uint8_t { text, json };
Task<Result<std::string>> dump(BlockDevice& device, DumpStyle style);

// The two styles show the same: ids as hexadecimal text (JSON numbers are not exact to 64 bits in
// every reader), sizes and positions in bytes, active regions and set bits as ranges of bytes of
// the volume.
std::string dump_text(const MetadataArea& area);
std::string dump_json(const MetadataArea& area);

}  // namespace baton::blockdev
