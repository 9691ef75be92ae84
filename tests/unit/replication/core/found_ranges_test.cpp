// Goal: what was found to differ is counted whole, joined where it touches, and listed within a
// bound.
#include "replication/core/found_ranges.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

TEST(FoundRanges, neighbours_are_one_range_and_volumes_are_not) {
  FoundRanges found;
  EXPECT_TRUE(found.empty());
  found.add({0, 4096, 4096});
  found.add({0, 8192, 8192});
  found.add({0, 65536, 4096});
  found.add({1, 69632, 4096});
  EXPECT_EQ(found.listed(),
            (std::vector<FoundRange>{{0, 4096, 12288}, {0, 65536, 4096}, {1, 69632, 4096}}));
  EXPECT_EQ(found.ranges(), 3U);
  EXPECT_EQ(found.bytes(), 20480U);
}

TEST(FoundRanges, a_list_that_is_full_still_counts) {
  FoundRanges found;
  for (std::uint64_t i = 0; i < 100; ++i) {
    found.add({0, i * 8192, 2048});
    found.add({0, i * 8192 + 2048, 2048});
  }
  EXPECT_EQ(found.ranges(), 100U);
  EXPECT_EQ(found.bytes(), 100U * 4096);
  ASSERT_EQ(found.listed().size(), FoundRanges::listed_max);
  EXPECT_EQ(found.listed().back(), (FoundRange{0, 63 * 8192, 4096}));
}

TEST(FoundRanges, text_names_the_first_and_counts_the_rest) {
  FoundRanges found;
  found.add({0, 4096, 4096});
  EXPECT_EQ(text_of(found.listed(), found.ranges(), 2), "volume 0 at 4096+4096");
  found.add({1, 0, 8192});
  found.add({1, 65536, 4096});
  found.add({1, 131072, 4096});
  EXPECT_EQ(text_of(found.listed(), found.ranges(), 2),
            "volume 0 at 4096+4096, volume 1 at 0+8192, and 2 more");
}

}  // namespace
}  // namespace baton::replication
