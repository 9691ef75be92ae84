// Everything on a metadata device, read and checked. Writes nothing.
//
// What is damaged is widened here: the bits of a cell that cannot be trusted all count as set
// (rule 11), and its page is marked to be written anew. For Metadata::read and open, and for
// dump-md.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/task.h"
#include "blockdev/metadata/bitmap.h"
#include "blockdev/metadata/superblock.h"

namespace baton::blockdev {

// Cells that were damaged, in one activity log or bitmap.
struct Damage {
  std::uint64_t cells = 0;
  std::uint64_t cells_in_all = 0;
  std::uint64_t first_at = 0;  // byte on the device
};

struct MetadataArea {
  struct Copy {
    CopyState state = CopyState::absent;
    std::uint64_t sequence = 0;  // of an intact copy
  };
  std::array<Copy, 2> copies;
  std::uint32_t newest = 0;  // the copy that `superblock` came from
  DecodedSuperblock superblock;

  struct Bits {
    std::uint64_t sequence = 0;       // the highest in an intact cell
    std::vector<bool> pages_damaged;  // by page
    Damage damage;
  };
  std::vector<BitPage> activity_pages;
  Bits activity;
  std::vector<Bitmap> bitmaps;  // by slot, cut into pages; dirty where damaged
  std::vector<Bits> bitmap_bits;

  // One sentence for each piece of damage.
  std::vector<std::string> warnings;
};

// Fails, with a sentence for a person, if there is no superblock to be trusted.
Task<Result<MetadataArea>> read_area(BlockDevice& device);

}  // namespace baton::blockdev
