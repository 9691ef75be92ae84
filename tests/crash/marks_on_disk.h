// What the metadata on a disk marks as perhaps different from the other copy, as production code
// reads it.
#pragma once

#include <string>
#include <vector>

#include "blockdev/metadata/metadata.h"
#include "tests/crash/file_bay.h"

namespace baton::crash {

struct MarksOnDisk {
  bool has_history = false;  // it was promoted, or filled, once
  std::vector<std::uint64_t> regions;
  blockdev::Bitmap bits{0};

  bool marked(std::uint64_t offset) const;
  bool anything() const { return !regions.empty() || bits.blocks_set() > 0; }
};

// Fails as a start would.
Result<MarksOnDisk> marks_on_disk(FileBay& bay, const std::string& path);

}  // namespace baton::crash
