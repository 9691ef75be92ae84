// Goal: the time to finish follows the last seconds, and is silent while it has no basis.
#include "replication/core/estimate.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

using namespace std::chrono_literals;

TEST(Estimate, says_nothing_before_it_has_a_basis) {
  Estimate estimate;
  const TimePoint start{7};
  EXPECT_FALSE(estimate.time_for(1000, start));
  estimate.note(start, 0);
  estimate.note(start + 1s, 100);
  EXPECT_FALSE(estimate.time_for(1000, start + 1s));
  estimate.note(start + 2s, 200);
  EXPECT_EQ(estimate.time_for(1000, start + 2s), Duration(10s));
}

TEST(Estimate, follows_the_last_ten_seconds) {
  Estimate estimate;
  TimePoint now{0};
  std::uint64_t done = 0;
  for (int i = 0; i < 100; ++i) estimate.note(now = now + 100ms, done += 1000);
  for (int i = 0; i < 200; ++i) estimate.note(now = now + 100ms, done += 10);
  const auto time = estimate.time_for(1000, now);
  ASSERT_TRUE(time);
  EXPECT_EQ(*time, Duration(10s)) << "the fast beginning is forgotten";
}

TEST(Estimate, time_in_which_nothing_was_done_counts) {
  Estimate estimate;
  estimate.note(TimePoint{0}, 0);
  estimate.note(TimePoint{0} + 2s, 200);
  EXPECT_EQ(estimate.time_for(100, TimePoint{0} + 8s), Duration(4s));
}

TEST(Estimate, nothing_done_is_no_basis_and_a_new_start_forgets) {
  Estimate estimate;
  estimate.note(TimePoint{0}, 50);
  estimate.note(TimePoint{0} + 5s, 50);
  EXPECT_FALSE(estimate.time_for(100, TimePoint{0} + 5s));
  estimate.note(TimePoint{0} + 6s, 90);
  EXPECT_TRUE(estimate.time_for(100, TimePoint{0} + 6s));
  estimate.forget();
  EXPECT_FALSE(estimate.time_for(100, TimePoint{0} + 6s));
}

}  // namespace
}  // namespace baton::replication
