#include "blockdev/metadata/cells.h"

#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"

namespace baton::blockdev {
namespace {

std::uint64_t checksum_of(const Cell& cell) {
  return xxh3_64(bytes_of(cell).subspan(sizeof cell.checksum));
}

bool any_bit_from(const Cell& cell, std::uint64_t first) {
  for (std::uint64_t bit = first; bit < bits_per_cell; ++bit) {
    if ((cell.words[bit / 64] >> (bit % 64) & 1U) != 0) return true;
  }
  return false;
}

}  // namespace

void seal(BitPage& page, PageIdentity identity, std::uint64_t sequence) {
  for (std::size_t i = 0; i < cells_per_page; ++i) {
    Cell& cell = page.cells[i];
    cell.kind = static_cast<std::uint32_t>(identity.kind);
    cell.slot = identity.slot;
    cell.reserved = 0;
    cell.number = identity.page * cells_per_page + i;
    cell.sequence = sequence;
    cell.checksum = checksum_of(cell);
  }
}

bool intact(const Cell& cell, PageIdentity identity, std::size_t index, std::uint64_t bits_in_use) {
  if (cell.checksum != checksum_of(cell) && !mutant("cell-checksum-not-verified")) return false;
  if (cell.kind != static_cast<std::uint32_t>(identity.kind)) return false;
  if (cell.slot != identity.slot || cell.reserved != 0) return false;
  if (cell.number != identity.page * cells_per_page + index) return false;
  const BitRange bits = bits_of_cell(identity.page, index, bits_in_use);
  return !any_bit_from(cell, bits.end - bits.first);
}

bool sealed(const Cell& cell) {
  const std::uint32_t kind = cell.kind;
  const bool known = kind == static_cast<std::uint32_t>(CellKind::activity_log) ||
                     kind == static_cast<std::uint32_t>(CellKind::bitmap);
  return known && cell.checksum == checksum_of(cell);
}

BitRange bits_of_cell(std::uint64_t page, std::size_t index, std::uint64_t bits_in_use) {
  const std::uint64_t first = (page * cells_per_page + index) * bits_per_cell;
  return {.first = std::min(first, bits_in_use),
          .end = std::min(first + bits_per_cell, bits_in_use)};
}

bool bit_in(const BitPage& page, std::uint64_t bit) {
  BATON_ASSERT(bit < bits_per_page, "the caller picked the page");
  const Cell& cell = page.cells[bit / bits_per_cell];
  return (cell.words[bit % bits_per_cell / 64] >> (bit % 64) & 1U) != 0;
}

void set_bit_in(BitPage& page, std::uint64_t bit, bool on) {
  BATON_ASSERT(bit < bits_per_page, "the caller picked the page");
  le64& word = page.cells[bit / bits_per_cell].words[bit % bits_per_cell / 64];
  const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
  word = on ? word | mask : word & ~mask;
}

}  // namespace baton::blockdev
