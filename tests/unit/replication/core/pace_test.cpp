// Goal: background work keeps its rate, leaves a writing guest three quarters of the time, and
// neither makes up for time that it did not use nor rests for long because of a late clock.
#include "replication/core/pace.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

using namespace std::chrono_literals;

TEST(Pace, keeps_a_rate) {
  Pace pace(1U << 20U);
  TimePoint now{1'000'000'000};
  const TimePoint began = now;
  for (int i = 0; i < 8; ++i) now = pace.next(now, now + 1ms, 256U << 10U, false);
  EXPECT_EQ(now - began, Duration(2s));
}

TEST(Pace, without_a_rate_goes_on_at_once) {
  Pace pace(0);
  const TimePoint now{5};
  EXPECT_EQ(pace.next(now, now + 3ms, 1U << 20U, false), now + 3ms);
}

TEST(Pace, does_not_make_up_for_time_that_it_did_not_use) {
  Pace pace(1U << 20U);
  const TimePoint first{0};
  EXPECT_EQ(pace.next(first, first, 1U << 20U, false), first + 1s);
  const TimePoint later = first + 100s;
  EXPECT_EQ(pace.next(later, later, 1U << 20U, false), later + 1s);
}

TEST(Pace, rests_three_times_as_long_as_it_worked_while_a_guest_writes) {
  Pace pace(0);
  const TimePoint began{0};
  EXPECT_EQ(pace.next(began, began + 20ms, 4096, true), began + 80ms);
}

TEST(Pace, a_process_that_was_stopped_does_not_rest_for_long) {
  Pace pace(64U << 20U);
  const TimePoint began{0};
  EXPECT_EQ(pace.next(began, began + 10min, 4096, true), began + 10min + 1s);
}

}  // namespace
}  // namespace baton::replication
