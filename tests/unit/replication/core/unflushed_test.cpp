// Goal: what the peer has not flushed is never forgotten, and what it has is.
#include "replication/core/unflushed.h"

#include <gtest/gtest.h>

#include <vector>

namespace baton::replication {
namespace {

std::vector<std::uint64_t> offsets(UnflushedLog& log) {
  std::vector<std::uint64_t> out;
  log.drain([&out](const UnflushedLog::Entry& entry) { out.push_back(entry.offset); });
  return out;
}

TEST(UnflushedLog, a_flush_forgets_what_was_sent_before_it_and_nothing_after) {
  UnflushedLog log(8);
  log.note(0, 512, false);
  log.note(8192, 512, false);
  const auto interval = log.begin_interval();
  log.note(4096, 512, false);
  int forgotten = 0;
  log.flushed(interval, [&forgotten](const UnflushedLog::Entry&) { ++forgotten; });
  EXPECT_EQ(forgotten, 2);
  EXPECT_EQ(offsets(log), (std::vector<std::uint64_t>{4096}));
}

TEST(UnflushedLog, an_older_flush_that_ends_later_changes_nothing) {
  UnflushedLog log(8);
  log.note(0, 512, false);
  const auto first = log.begin_interval();
  log.note(4096, 512, false);
  const auto second = log.begin_interval();
  log.flushed(second, [](const UnflushedLog::Entry&) {});
  EXPECT_TRUE(log.empty());
  log.note(8192, 512, false);
  log.flushed(first, [](const UnflushedLog::Entry&) {});
  EXPECT_EQ(log.size(), 1U);
}

TEST(UnflushedLog, sequential_writes_share_a_note_but_not_across_a_flush) {
  UnflushedLog log(8);
  log.note(0, 4096, false);
  log.note(4096, 4096, false);
  EXPECT_EQ(log.size(), 1U);
  log.note(8192, 4096, true);
  EXPECT_EQ(log.size(), 2U) << "copies clear bits, writes do not";
  log.begin_interval();
  log.note(12288, 4096, true);
  EXPECT_EQ(log.size(), 3U);
}

TEST(UnflushedLog, it_presses_before_it_is_full) {
  UnflushedLog log(4);
  log.note(0, 1, false);
  EXPECT_FALSE(log.pressing());
  log.note(100, 1, false);
  EXPECT_TRUE(log.pressing());
  log.note(200, 1, false);
  log.note(300, 1, false);
  EXPECT_TRUE(log.full());
}

}  // namespace
}  // namespace baton::replication
