// How create-md and dump-md reach the metadata of a volume. The layout itself is blockdev's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "blockdev/metadata/internal_area.h"
#include "control/backing_disk.h"

namespace baton::control {

// True when every byte of the first `bytes` of the disk reads as zero. Holes cost nothing;
// allocated space is read.
Result<bool> disk_is_blank(const std::string& path, std::uint64_t bytes);

// True when nothing that is not ours lies where internal metadata goes: zeroes, and what a
// create-md that was cut short has left.
Result<bool> internal_area_is_free(const std::string& path, const blockdev::InternalArea& area);

// The disks and metadata of one volume, held under the locks that batond would take, so that no
// daemon uses them meanwhile. Those that do not exist yet are made by create().
class VolumeHold {
 public:
  // Fails with a sentence when somebody uses them.
  static Result<std::unique_ptr<VolumeHold>> take(const VolumeSite& site);
  virtual ~VolumeHold() = default;

  // Makes what is missing (the disk sparse, for a volume of `size` bytes, and room for its metadata
  // where that is internal) and writes new metadata. `adopted`: the disk held data before.
  // Everything is on stable storage on return.
  virtual Result<> create(std::uint64_t size, bool adopted) = 0;
};

// The metadata of one volume as text for a person, or as one JSON object. Reads without a lock, so
// it also works while batond runs; what is just being written may then be reported as damaged.
Result<std::string> dump_metadata(const VolumeSite& site, bool json);

}  // namespace baton::control
