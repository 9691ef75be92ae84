// Checksums of blocks, by which two copies are compared without sending the data (verify,
// checksum-based resync). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/hash.h"

namespace baton::replication {

inline constexpr std::uint64_t sum_block_bytes = 4096;  // one sum for each; the last may be short
inline constexpr std::uint64_t sum_bytes = sizeof(Hash128);

// How many sums a range of `length` bytes has, that begins at a block.
constexpr std::uint64_t sums_in(std::uint64_t length) {
  return (length + sum_block_bytes - 1) / sum_block_bytes;
}

// Writes the XXH3-128 of every block of `data` into `sums`, which has room for exactly those.
void sum_blocks(std::span<const std::byte> data, std::span<std::byte> sums);

// Blocks in a row, counted from the first that was compared.
struct BlockRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const BlockRun&, const BlockRun&) = default;
};

// The runs of blocks whose sums differ, in rising order. Both spans have the same length.
std::vector<BlockRun> differing_runs(std::span<const std::byte> ours,
                                     std::span<const std::byte> theirs);

// What lies between the runs, and around them, of `blocks` blocks.
std::vector<BlockRun> runs_between(const std::vector<BlockRun>& runs, std::uint64_t blocks);

}  // namespace baton::replication
