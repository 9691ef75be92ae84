// What clients write: every cell of a volume carries the number of the write it came from.
//
// A cell is a sector of 512 B; in the last 8 KiB of the volume it is 16 B, so that there writes of
// any (16 B) alignment can be followed too, and one sector of the disk mixes several writes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "tests/simulation/prng.h"
#include "tests/simulation/sparse_image.h"

namespace baton::sim {

inline constexpr std::uint64_t fine_cell_bytes = 16;  // a number and a check of it
inline constexpr std::uint64_t fine_zone_bytes = 8192;

class Cells {
 public:
  Cells(std::uint32_t volume, std::uint64_t size)
      : volume_(volume), size_(size), fine_from_(size - fine_zone_bytes) {}

  std::uint64_t size() const { return size_; }
  std::uint64_t fine_from() const { return fine_from_; }
  std::uint64_t count() const {
    return fine_from_ / sector_bytes + fine_zone_bytes / fine_cell_bytes;
  }
  std::uint64_t cell_at(std::uint64_t offset) const {
    if (offset < fine_from_) return offset / sector_bytes;
    return fine_from_ / sector_bytes + (offset - fine_from_) / fine_cell_bytes;
  }
  std::uint64_t offset_of(std::uint64_t cell) const {
    const std::uint64_t coarse = fine_from_ / sector_bytes;
    if (cell < coarse) return cell * sector_bytes;
    return fine_from_ + (cell - coarse) * fine_cell_bytes;
  }
  std::uint64_t bytes_of(std::uint64_t cell) const {
    return cell < fine_from_ / sector_bytes ? sector_bytes : fine_cell_bytes;
  }

  // The content of `cell` after write number `write` (not 0).
  void fill(std::uint64_t cell, std::uint64_t write, std::span<std::byte> out) const;
  // The number of the write this content comes from, 0 for zeroes; nothing if it comes from no
  // write to this cell: torn, misplaced or invented.
  std::optional<std::uint64_t> decode(std::uint64_t cell, std::span<const std::byte> content) const;

 private:
  std::uint32_t volume_;
  std::uint64_t size_;
  std::uint64_t fine_from_;
};

}  // namespace baton::sim
