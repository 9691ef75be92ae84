// Goal: the bitmaps are believed only where both began to fill at the generation that was shared.
#include "replication/core/split_brain.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

ForkedCopy copy(Lineage lineage, GenerationId base, GenerationId told = 0) {
  return {.lineage = std::move(lineage), .complete = true, .slot_base = base, .slot_told = told};
}

TEST(SplitBrain, the_last_common_generation_is_the_newest_that_both_have) {
  EXPECT_EQ(last_common({1, 2, 3}, {1, 2, 4}), 2U);
  EXPECT_EQ(last_common({1, 2}, {1, 2, 4}), 2U);
  EXPECT_EQ(last_common({1, 3}, {2, 4}), 0U);
  EXPECT_EQ(last_common({}, {2}), 0U);
}

TEST(SplitBrain, bitmaps_that_fill_since_the_shared_generation_name_the_difference) {
  EXPECT_TRUE(bitmaps_name_the_difference(copy({1, 2, 3}, 2), copy({1, 2, 4}, 2)));
  // Told to adopt it, and it did: the word that it had was lost.
  EXPECT_TRUE(bitmaps_name_the_difference(copy({1, 2, 3}, 1, 2), copy({1, 2, 4}, 2)));
}

TEST(SplitBrain, others_do_not) {
  const ForkedCopy good = copy({1, 2, 4}, 2);
  EXPECT_FALSE(bitmaps_name_the_difference(copy({1, 2, 3}, 1), good));
  EXPECT_FALSE(bitmaps_name_the_difference(good, copy({1, 2, 3}, 0)));
  EXPECT_FALSE(bitmaps_name_the_difference(copy({5, 6}, 0), good));
  ForkedCopy half = copy({1, 2, 3}, 2);
  half.complete = false;
  EXPECT_FALSE(bitmaps_name_the_difference(half, good));
  ForkedCopy past = copy({1, 2, 3}, 2);
  past.old_session = true;
  EXPECT_FALSE(bitmaps_name_the_difference(past, good));
}

}  // namespace
}  // namespace baton::replication
