#include "replication/core/sums.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace baton::replication {

void sum_blocks(std::span<const std::byte> data, std::span<std::byte> sums) {
  BATON_ASSERT(sums.size() == sums_in(data.size()) * sum_bytes, "one sum for each block");
  for (std::byte* into = sums.data(); !data.empty(); into += sum_bytes) {
    const std::size_t block = std::min<std::size_t>(data.size(), sum_block_bytes);
    const Hash128 sum = xxh3_128(data.first(block));
    std::memcpy(into, sum.data(), sum_bytes);
    data = data.subspan(block);
  }
}

std::vector<BlockRun> differing_runs(std::span<const std::byte> ours,
                                     std::span<const std::byte> theirs) {
  BATON_ASSERT(ours.size() == theirs.size(), "sums of the same blocks are compared");
  std::vector<BlockRun> runs;
  for (std::uint64_t block = 0; block * sum_bytes < ours.size(); ++block) {
    const std::size_t at = block * sum_bytes;
    if (std::memcmp(ours.data() + at, theirs.data() + at, sum_bytes) == 0) continue;
    const bool goes_on = !runs.empty() && runs.back().first + runs.back().count == block;
    if (!goes_on) runs.push_back({block, 0});
    ++runs.back().count;
  }
  return runs;
}

std::vector<BlockRun> runs_between(const std::vector<BlockRun>& runs, std::uint64_t blocks) {
  std::vector<BlockRun> between;
  std::uint64_t at = 0;
  for (const BlockRun& run : runs) {
    if (run.first > at) between.push_back({at, run.first - at});
    at = run.first + run.count;
  }
  if (at < blocks) between.push_back({at, blocks - at});
  return between;
}

}  // namespace baton::replication
