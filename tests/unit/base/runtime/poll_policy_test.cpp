// Goal: a shard looks for news only as long as that pays. Method: histories of waits.
#include "base/runtime/poll_policy.h"

#include <gtest/gtest.h>

namespace baton {
namespace {

using std::chrono::microseconds;

constexpr Duration window = microseconds(200);
constexpr Duration brief = microseconds(30);
constexpr Duration idle = std::chrono::seconds(1);

TEST(PollPolicy, begins_blocking_and_looks_after_a_short_wait) {
  PollPolicy policy(window);
  EXPECT_EQ(policy.window(), Duration::zero());
  policy.waited(brief);
  EXPECT_EQ(policy.window(), window);
}

TEST(PollPolicy, an_idle_shard_stops_looking_for_good_whatever_it_did_before) {
  PollPolicy policy(window);
  for (int i = 0; i < 1000; ++i) policy.waited(brief);
  int looks = 0;
  for (int i = 0; i < 1000; ++i) {
    looks += policy.window() > Duration::zero() ? 1 : 0;
    policy.waited(idle);
  }
  EXPECT_LE(looks, 10);
  EXPECT_EQ(policy.window(), Duration::zero());
}

TEST(PollPolicy, one_short_wait_in_three_keeps_it_looking) {
  PollPolicy policy(window);
  policy.waited(brief);
  for (int i = 0; i < 300; ++i) {
    policy.waited(i % 3 == 0 ? brief : microseconds(300));
    EXPECT_EQ(policy.window(), window) << i;
  }
}

TEST(PollPolicy, one_in_four_does_not) {
  PollPolicy policy(window);
  int looks = 0;
  for (int i = 0; i < 400; ++i) {
    looks += policy.window() > Duration::zero() ? 1 : 0;
    policy.waited(i % 4 == 0 ? brief : microseconds(300));
  }
  EXPECT_LE(looks, 200);
}

TEST(PollPolicy, without_a_window_it_never_looks) {
  PollPolicy policy(Duration::zero());
  for (int i = 0; i < 10; ++i) policy.waited(Duration::zero());
  EXPECT_EQ(policy.window(), Duration::zero());
}

}  // namespace
}  // namespace baton
