// How create-md and dump-md reach the metadata of a volume. The layout itself is blockdev's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/backing_disk.h"

namespace baton::control {

enum class MetadataFound : std::uint8_t {
  nothing,         // no file, an empty one, or zeroes where a superblock would be
  metadata,        // Baton's, readable or not
  something_else,  // data that is not ours to overwrite
};

// Looks, and changes nothing.
Result<MetadataFound> look_for_metadata(const std::string& path);

// True when every byte of the disk reads as zero. Holes cost nothing; allocated space is read.
Result<bool> disk_is_blank(const std::string& path);

// The disks and metadata of one volume, held under the locks that batond would take, so that no
// daemon uses them meanwhile. Those that do not exist yet are made by create().
class VolumeHold {
 public:
  // Fails with a sentence when somebody uses them.
  static Result<std::unique_ptr<VolumeHold>> take(const VolumeSite& site);
  virtual ~VolumeHold() = default;

  // Makes what is missing (the disk sparse, with `size` bytes) and writes new metadata. `adopted`:
  // the disk held data before. Everything is on stable storage on return.
  virtual Result<> create(std::uint64_t size, bool adopted) = 0;
};

// The metadata of one volume as text for a person, or as one JSON object. Reads without a lock, so
// it also works while batond runs; what is just being written may then be reported as damaged.
Result<std::string> dump_metadata(const VolumeSite& site, bool json);

}  // namespace baton::control
