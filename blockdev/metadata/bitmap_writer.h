// One bitmap and its way to the disk.
#pragma once

#include <memory>

#include "blockdev/metadata/bitmap.h"
#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/rounds.h"

namespace baton::blockdev {

class BitmapWriter {
 public:
  // `bitmap` as loaded, cut into pages of words_per_page.
  BitmapWriter(Loop& loop, BlockDevice& device, Fault& fault, const Geometry& geometry,
               std::uint32_t slot, Bitmap bitmap, std::uint64_t sequence);

  Bitmap& bitmap() { return bitmap_; }
  Task<IoError> write_changes() { return rounds_.next(); }

 private:
  static Task<IoError> write(void* self) { return static_cast<BitmapWriter*>(self)->write(); }
  Task<IoError> write();
  void stage(BitPage& page, std::uint64_t number);

  BlockDevice& device_;
  const Geometry geometry_;
  const std::uint32_t slot_;
  Bitmap bitmap_;
  std::uint64_t sequence_;
  Rounds rounds_;  // last: it uses the rest
};

}  // namespace baton::blockdev
