// replication/core/sync_window.h: what may be on its way, alone and beside clients.
#include "replication/core/sync_window.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

using namespace std::chrono_literals;

const TimePoint start = TimePoint{} + 100s;

TEST(SyncWindow, alone_takes_as_much_as_its_window_holds) {
  SyncWindow window;
  for (std::uint64_t sent = 0; sent < SyncWindow::bytes_first; sent += 65536) {
    EXPECT_TRUE(window.has_room(false));
    window.begins(65536);
  }
  EXPECT_FALSE(window.has_room(false));
  window.ended(65536, start, start + 1ms, 0ms);
  EXPECT_TRUE(window.has_room(false));
}

TEST(SyncWindow, beside_clients_has_one_copy_on_its_way) {
  SyncWindow window;
  EXPECT_TRUE(window.has_room(true));
  window.begins(4096);
  EXPECT_FALSE(window.has_room(true));
  EXPECT_TRUE(window.has_room(false));
  window.ended(4096, start, start + 1ms, 1ms);
  EXPECT_TRUE(window.has_room(true));
}

TEST(SyncWindow, rests_twice_as_long_as_a_copy_took_and_not_for_hours_after_a_stop) {
  SyncWindow window;
  window.begins(4096);
  window.ended(4096, start, start + 3ms, 3ms);
  EXPECT_EQ(window.rests_until(), start + 9ms);
  window.begins(4096);
  window.ended(4096, start, start + 1h, 3ms);
  EXPECT_EQ(window.rests_until(), start + 1h + SyncWindow::rest_max);
}

TEST(SyncWindow, copies_and_holes_are_smaller_beside_clients) {
  SyncWindow window;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(window.answered(1ms));
  EXPECT_EQ(window.data_blocks(false), SyncWindow::data_blocks_max);
  EXPECT_EQ(window.data_blocks(true), SyncWindow::busy_data_blocks_first);
  EXPECT_LT(SyncWindow::hole_blocks(true), SyncWindow::hole_blocks(false));
}

// What became of the size of a copy when so many of `took` have ended beside requests of `client`.
std::uint64_t busy_blocks_after(int copies, Duration took, Duration client) {
  SyncWindow window;
  for (int i = 0; i < 10; ++i) window.answered(1ms);
  for (int i = 0; i < copies; ++i) {
    const std::uint64_t bytes = 4096 * window.data_blocks(true);
    window.begins(bytes);
    window.ended(bytes, start, start + took, client);
  }
  return window.data_blocks(true);
}

TEST(SyncWindow, a_copy_takes_about_as_long_as_the_requests_of_clients) {
  EXPECT_EQ(busy_blocks_after(10, 1ms, 2ms), SyncWindow::data_blocks_max);
  EXPECT_EQ(busy_blocks_after(10, 5ms, 2ms), SyncWindow::busy_data_blocks_least);
  EXPECT_EQ(busy_blocks_after(10, 3ms, 2ms), SyncWindow::busy_data_blocks_first);
  EXPECT_EQ(busy_blocks_after(10, 5ms, 0ms), SyncWindow::busy_data_blocks_first) << "nobody knows";
}

TEST(SyncWindow, a_short_copy_does_not_tell_that_a_long_one_is_as_quick) {
  SyncWindow window;
  window.begins(4096);
  window.ended(4096, start, start + 1ms, 2ms);
  EXPECT_EQ(window.data_blocks(true), SyncWindow::busy_data_blocks_first);
}

TEST(ClientTime, follows_the_requests_and_not_one_that_was_held) {
  ClientTime time;
  EXPECT_EQ(time.mean(), 0ms);
  time.took(8ms);
  EXPECT_EQ(time.mean(), 8ms);
  time.took(16ms);
  EXPECT_EQ(time.mean(), 9ms);
  time.took(20s);
  EXPECT_LE(time.mean(), ClientTime::sample_max / 4 + 9ms);
}

TEST(SyncWindow, shrinks_to_a_block_behind_slow_answers_and_grows_again) {
  SyncWindow window;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(window.answered(1s));
  EXPECT_EQ(window.data_blocks(false), 1U);
  window.begins(4096);
  EXPECT_FALSE(window.has_room(false));
  EXPECT_FALSE(window.answered(100ms)) << "neither quick nor slow: as it is";
  EXPECT_FALSE(window.has_room(false));
  EXPECT_FALSE(window.answered(1ms));
  EXPECT_TRUE(window.has_room(false));
}

}  // namespace
}  // namespace baton::replication
