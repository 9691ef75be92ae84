// Where the metadata of a volume lies, and what is there: a file or device of its own, or the end
// of the volume's disk (docs/on-disk-format.md "Internal metadata").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/loop.h"
#include "base/result.h"
#include "blockdev/block_device.h"
#include "control/backing_disk.h"

namespace baton::control {

enum class MetadataFound : std::uint8_t {
  nothing,         // no file, an empty one, or zeroes where a superblock would be
  metadata,        // Baton's, readable or not
  something_else,  // data that is not ours to overwrite
};

// What is where the superblocks of `site` would be. Looks, and changes nothing.
Result<MetadataFound> look_for_metadata(const VolumeSite& site);

// "…has no metadata…", with what to do about it.
Error no_metadata(const VolumeSite& site, const DiskFacts& disk);

// A disk with internal metadata, opened once, as two devices.
struct DiskParts {
  std::unique_ptr<blockdev::BlockDevice> data;      // all that lies before the metadata
  std::unique_ptr<blockdev::BlockDevice> metadata;  // named site.meta_text()
};
// Fails where the disk is too small for that; check_disk() has said so before unless it shrank.
Result<DiskParts> split_disk(Loop& loop, const VolumeSite& site,
                             std::unique_ptr<blockdev::BlockDevice> disk);

}  // namespace baton::control
