// Sealing and checking cells: pure.
#pragma once

#include "blockdev/metadata/format.h"

namespace baton::blockdev {

// Whose bits a page holds.
struct PageIdentity {
  CellKind kind = CellKind::activity_log;
  std::uint16_t slot = 0;
  std::uint64_t page = 0;
};

// Fills the headers of all cells for the words they hold now.
void seal(BitPage& page, PageIdentity identity, std::uint64_t sequence);

// True if the cell is what was sealed with this identity as cell `index` of its page, and no bit at
// or past `bits_in_use` (counted over the whole activity log or bitmap) is set.
bool intact(const Cell& cell, PageIdentity identity, std::size_t index, std::uint64_t bits_in_use);

// True if somebody sealed it, with whatever identity.
bool sealed(const Cell& cell);

// The bits of cell `index` of `page` that exist when there are `bits_in_use` in all.
struct BitRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};
BitRange bits_of_cell(std::uint64_t page, std::size_t index, std::uint64_t bits_in_use);

// Bit `bit` of the page, counted from the page's first.
bool bit_in(const BitPage& page, std::uint64_t bit);
void set_bit_in(BitPage& page, std::uint64_t bit, bool on);

}  // namespace baton::blockdev
