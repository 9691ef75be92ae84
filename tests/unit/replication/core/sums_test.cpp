// Goal: blocks are told apart by their sums, a short last one included, and runs say exactly which
// differ.
#include "replication/core/sums.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

std::vector<std::byte> sums_of(const std::vector<std::byte>& data) {
  std::vector<std::byte> sums(sums_in(data.size()) * sum_bytes);
  sum_blocks(data, sums);
  return sums;
}

// Three whole blocks and a short one.
std::vector<std::byte> sample() {
  std::vector<std::byte> data(3 * sum_block_bytes + 512);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + i / 4096);
  return data;
}

TEST(Sums, one_for_each_block_and_a_short_last_one) {
  EXPECT_EQ(sums_in(0), 0U);
  EXPECT_EQ(sums_in(1), 1U);
  EXPECT_EQ(sums_in(4096), 1U);
  EXPECT_EQ(sums_in(4097), 2U);
  EXPECT_EQ(sums_in(1U << 20U), 256U);
}

TEST(Sums, a_bit_anywhere_changes_the_sum_of_its_block_alone) {
  const std::vector<std::byte> before = sums_of(sample());
  for (const std::size_t at : {std::size_t{0}, std::size_t{4095}, std::size_t{4096},
                               std::size_t{3 * 4096}, std::size_t{3 * 4096 + 511}}) {
    std::vector<std::byte> data = sample();
    data[at] ^= std::byte{1};
    const std::vector<BlockRun> expected{{at / 4096, 1}};
    EXPECT_EQ(differing_runs(before, sums_of(data)), expected) << at;
  }
}

TEST(Sums, are_xxh3_128_in_its_canonical_form) {
  // Of nothing at all: 99aa06d3014798d86001c324468d497f (the reference implementation's).
  const Hash128 sum = xxh3_128({});
  EXPECT_EQ(sum.front(), std::byte{0x99});
  EXPECT_EQ(sum[1], std::byte{0xaa});
  EXPECT_EQ(sum.back(), std::byte{0x7f});
}

TEST(Sums, runs_join_neighbours_and_what_is_between_is_the_rest) {
  std::vector<std::byte> ours(6 * sum_bytes);
  std::vector<std::byte> theirs = ours;
  EXPECT_TRUE(differing_runs(ours, theirs).empty());
  EXPECT_EQ(runs_between({}, 6), (std::vector<BlockRun>{{0, 6}}));
  for (const std::size_t block : {0, 1, 4}) theirs[block * sum_bytes + 15] = std::byte{1};
  const std::vector<BlockRun> runs = differing_runs(ours, theirs);
  EXPECT_EQ(runs, (std::vector<BlockRun>{{0, 2}, {4, 1}}));
  EXPECT_EQ(runs_between(runs, 6), (std::vector<BlockRun>{{2, 2}, {5, 1}}));
  EXPECT_TRUE(runs_between({{0, 6}}, 6).empty());
}

}  // namespace
}  // namespace baton::replication
