// Goal: a region is lent to who keeps writing to it, comes back when it is asked for, and stays
// with the holder while both write to it.
// Method: the tables of both nodes by themselves; time is a number.
#include "replication/core/regions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::replication {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t mib = 1U << 20U;

TimePoint at(double seconds) {
  return {static_cast<std::int64_t>(seconds * 1e9)};
}

// How many writes of the other node it takes until the region is lent.
std::uint32_t writes_until_lent(LentRegions& regions, std::uint64_t region, TimePoint now) {
  for (std::uint32_t writes = 1; writes < 100'000; ++writes) {
    if (regions.theirs({region, 1}, now)) return writes;
  }
  return 0;
}

TEST(Regions, a_range_touches_those_that_its_bytes_are_in) {
  EXPECT_EQ(regions_of(0, 1), (RegionRun{0, 1}));
  EXPECT_EQ(regions_of(4 * mib - 1, 1), (RegionRun{0, 1}));
  EXPECT_EQ(regions_of(4 * mib - 1, 2), (RegionRun{0, 2}));
  EXPECT_EQ(regions_of(4 * mib, 4 * mib), (RegionRun{1, 1}));
  EXPECT_EQ(regions_of(9 * mib, 32 * mib), (RegionRun{2, 9}));
}

TEST(LentRegions, one_is_lent_after_some_writes_of_the_other_node) {
  LentRegions regions(8);
  EXPECT_FALSE(regions.theirs({3, 1}, at(0)));
  EXPECT_FALSE(regions.lent_in({0, 8}));
  EXPECT_EQ(regions.theirs({3, 1}, at(0)), (RegionRun{3, 1}));
  EXPECT_TRUE(regions.lent_in({0, 8}));
  EXPECT_TRUE(regions.all_lent({3, 1}));
  EXPECT_FALSE(regions.all_lent({2, 2}));
  EXPECT_FALSE(regions.lent_in({4, 4}));
  EXPECT_FALSE(regions.theirs({3, 1}, at(0))) << "it is lent already";
}

TEST(LentRegions, none_is_lent_while_an_own_client_writes_there) {
  LentRegions regions(8);
  ASSERT_TRUE(regions.own_begins({2, 2}));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(regions.theirs({3, 1}, at(0)));
  regions.own_ends({2, 2});
  EXPECT_EQ(writes_until_lent(regions, 3, at(0)), LentRegions::lent_after);
}

TEST(LentRegions, an_own_write_begins_the_count_again) {
  LentRegions regions(8);
  EXPECT_FALSE(regions.theirs({3, 1}, at(0)));
  ASSERT_TRUE(regions.own_begins({3, 1}));
  regions.own_ends({3, 1});
  EXPECT_FALSE(regions.theirs({3, 1}, at(0)));
  EXPECT_TRUE(regions.theirs({3, 1}, at(0)));
}

TEST(LentRegions, an_own_write_does_not_begin_where_something_is_lent) {
  LentRegions regions(8);
  writes_until_lent(regions, 3, at(0));
  EXPECT_FALSE(regions.own_begins({2, 3}));
  // Nothing was noted of it.
  EXPECT_EQ(writes_until_lent(regions, 2, at(0)), LentRegions::lent_after);
}

TEST(LentRegions, what_is_lent_is_asked_for_once_and_comes_back_once) {
  LentRegions regions(8);
  for (const std::uint64_t each : {5, 2, 1}) writes_until_lent(regions, each, at(0));
  EXPECT_EQ(regions.lent(), 3U);
  EXPECT_THAT(regions.recall({0, 4}), ElementsAre(RegionRun{1, 2}));
  EXPECT_THAT(regions.recall_all(), ElementsAre(RegionRun{5, 1}));
  EXPECT_THAT(regions.recall_all(), IsEmpty());
  EXPECT_TRUE(regions.all_lent({1, 2})) << "until they are back";
  EXPECT_TRUE(regions.returned({1, 2}, at(5)));
  EXPECT_FALSE(regions.returned({1, 2}, at(5)));
  EXPECT_TRUE(regions.own_begins({1, 2}));
  EXPECT_EQ(regions.lent(), 1U);
}

TEST(LentRegions, what_was_not_asked_for_cannot_come_back) {
  LentRegions regions(8);
  EXPECT_FALSE(regions.returned({0, 1}, at(0)));
  writes_until_lent(regions, 3, at(0));
  EXPECT_FALSE(regions.returned({3, 1}, at(0)));
  regions.recall_all();
  for (const RegionRun wrong : {RegionRun{3, 2}, RegionRun{8, 1}, RegionRun{9, 1}, RegionRun{3, 0},
                                RegionRun{1, ~std::uint64_t{0}}}) {
    EXPECT_FALSE(regions.returned(wrong, at(0))) << wrong.first << " + " << wrong.count;
  }
  EXPECT_TRUE(regions.returned({3, 1}, at(0)));
}

TEST(LentRegions, one_that_both_want_is_lent_ever_more_rarely) {
  LentRegions regions(8);
  std::uint32_t before = 0;
  for (std::uint8_t i = 0; i <= LentRegions::contention_max; ++i) {
    const std::uint32_t writes = writes_until_lent(regions, 3, at(i * 0.1));
    EXPECT_EQ(writes, i == 0 ? LentRegions::lent_after : 4 * before);
    before = writes;
    regions.recall_all();
    ASSERT_TRUE(regions.returned({3, 1}, at(i * 0.1 + 0.05)));
  }
  EXPECT_EQ(writes_until_lent(regions, 3, at(10)), before) << "not without bounds";
  // It was kept for a while: the next one is lent at once again.
  regions.recall_all();
  ASSERT_TRUE(regions.returned({3, 1}, at(12)));
  EXPECT_EQ(writes_until_lent(regions, 3, at(12)), LentRegions::lent_after);
}

TEST(LentRegions, who_goes_on_behind_a_lent_one_gets_several_that_nobody_here_uses) {
  LentRegions regions(100);
  ASSERT_TRUE(regions.own_begins({9, 1}));
  regions.own_ends({9, 1});
  writes_until_lent(regions, 3, at(0));
  EXPECT_FALSE(regions.theirs({4, 1}, at(0)));
  EXPECT_EQ(regions.theirs({4, 1}, at(0)), (RegionRun{4, 5})) << "an own client writes to 9";
  writes_until_lent(regions, 50, at(0));
  EXPECT_FALSE(regions.theirs({51, 1}, at(0)));
  EXPECT_EQ(regions.theirs({51, 1}, at(0)), (RegionRun{51, LentRegions::run_max}));
  writes_until_lent(regions, 95, at(0));
  EXPECT_FALSE(regions.theirs({96, 1}, at(0)));
  EXPECT_EQ(regions.theirs({96, 1}, at(0)), (RegionRun{96, 4})) << "there are no more";
}

TEST(LentRegions, what_is_not_written_to_comes_back_for_a_read) {
  LentRegions regions(100);
  writes_until_lent(regions, 3, at(0));
  EXPECT_FALSE(regions.theirs({4, 1}, at(0)));
  ASSERT_TRUE(regions.theirs({4, 1}, at(0)));
  EXPECT_THAT(regions.recall_idle({0, 100}, at(1)), IsEmpty()) << "it may just have begun";
  regions.written({4, 1}, at(0.5));
  regions.written({7, 2}, at(1.4));
  EXPECT_THAT(regions.recall_idle({3, 4}, at(1.1)), ElementsAre(RegionRun{3, 1}, RegionRun{5, 2}));
  EXPECT_THAT(regions.recall_idle({3, 4}, at(1.1)), IsEmpty()) << "they are asked for";
  EXPECT_THAT(regions.recall_idle({0, 100}, at(2)), ElementsAre(RegionRun{4, 1}, RegionRun{9, 11}));
  ASSERT_TRUE(regions.returned({3, 1}, at(2)));
  EXPECT_THAT(regions.recall_idle({3, 1}, at(9)), IsEmpty()) << "it is here";
  EXPECT_EQ(writes_until_lent(regions, 3, at(9)), LentRegions::lent_after)
      << "nobody fought for it";
}

TEST(LentRegions, they_end_with_the_session) {
  LentRegions regions(8);
  writes_until_lent(regions, 3, at(0));
  ASSERT_TRUE(regions.own_begins({5, 1}));
  regions.forget();
  EXPECT_EQ(regions.lent(), 0U);
  EXPECT_TRUE(regions.own_begins({3, 1}));
  EXPECT_FALSE(regions.theirs({5, 1}, at(0)));
  EXPECT_FALSE(regions.theirs({5, 1}, at(0))) << "a write of before is still under way there";
}

TEST(BorrowedRegions, are_those_that_were_lent_and_not_given_back) {
  BorrowedRegions regions(8);
  EXPECT_FALSE(regions.all_of({0, 1}));
  EXPECT_TRUE(regions.lent({2, 3}));
  EXPECT_TRUE(regions.all_of({2, 3}));
  EXPECT_FALSE(regions.all_of({2, 4}));
  EXPECT_TRUE(regions.given_back({3, 1}));
  EXPECT_FALSE(regions.all_of({2, 3}));
  EXPECT_TRUE(regions.all_of({4, 1}));
  regions.forget();
  EXPECT_FALSE(regions.all_of({4, 1}));
}

TEST(BorrowedRegions, there_are_no_others_than_the_volume_has) {
  BorrowedRegions regions(8);
  for (const RegionRun wrong :
       {RegionRun{8, 1}, RegionRun{7, 2}, RegionRun{0, 0}, RegionRun{1, ~std::uint64_t{0}}}) {
    EXPECT_FALSE(regions.lent(wrong)) << wrong.first << " + " << wrong.count;
    EXPECT_FALSE(regions.given_back(wrong)) << wrong.first << " + " << wrong.count;
  }
}

}  // namespace
}  // namespace baton::replication
