// Goal: of two mutations that share a block, one of which rewrites its neighbours, the later waits
// for the earlier, and nobody else waits. Method: turns that write down when they start.
#include "blockdev/file/overlap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

namespace baton::blockdev {
namespace {

struct Write : Overlap::Turn {
  Write(std::vector<int>& log, int number, std::uint64_t begin, std::uint64_t end, bool rewrites)
      : Turn([](Turn& self) { static_cast<Write&>(self).started(); }), log_(log), number_(number) {
    cover(begin, end, rewrites);
  }
  void started() { log_.push_back(number_); }
  void enter(Overlap& overlap) {
    if (overlap.enter(*this)) started();
  }
  std::vector<int>& log_;
  int number_;
};

using Log = std::vector<int>;

TEST(Overlap, aligned_writes_never_wait_for_each_other) {
  Overlap overlap;
  Log log;
  Write a(log, 1, 0, 4096, false);
  Write b(log, 2, 0, 4096, false);
  a.enter(overlap);
  b.enter(overlap);
  EXPECT_EQ(log, (Log{1, 2}));
  overlap.leave(a);
  overlap.leave(b);
  EXPECT_TRUE(overlap.empty());
}

TEST(Overlap, two_rewrites_of_one_block_take_turns) {
  Overlap overlap;
  Log log;
  Write a(log, 1, 0, 512, true);
  Write b(log, 2, 0, 512, true);
  a.enter(overlap);
  b.enter(overlap);
  EXPECT_EQ(log, (Log{1}));
  overlap.leave(a);
  EXPECT_EQ(log, (Log{1, 2}));
  overlap.leave(b);
}

TEST(Overlap, an_aligned_write_waits_for_a_rewrite_in_its_block_and_the_other_way_round) {
  Overlap overlap;
  Log log;
  Write rewrite(log, 1, 0, 512, true);
  Write aligned(log, 2, 0, 8192, false);
  Write second(log, 3, 4096, 4608, true);
  rewrite.enter(overlap);
  aligned.enter(overlap);
  second.enter(overlap);
  EXPECT_EQ(log, (Log{1}));
  overlap.leave(rewrite);
  EXPECT_EQ(log, (Log{1, 2}));
  overlap.leave(aligned);
  EXPECT_EQ(log, (Log{1, 2, 3}));
  overlap.leave(second);
}

TEST(Overlap, ranges_that_only_touch_do_not_conflict) {
  Overlap overlap;
  Log log;
  Write a(log, 1, 0, 512, true);
  Write b(log, 2, 512, 1024, true);
  a.enter(overlap);
  b.enter(overlap);
  EXPECT_EQ(log, (Log{1, 2}));
  overlap.leave(b);
  overlap.leave(a);
}

TEST(Overlap, a_waiter_is_not_overtaken_by_a_later_one_that_it_conflicts_with) {
  Overlap overlap;
  Log log;
  Write first(log, 1, 0, 512, false);
  Write rewrite(log, 2, 0, 512, true);   // waits for 1
  Write aligned(log, 3, 0, 512, false);  // agrees with 1, but not with 2
  first.enter(overlap);
  rewrite.enter(overlap);
  aligned.enter(overlap);
  EXPECT_EQ(log, (Log{1}));
  overlap.leave(first);
  EXPECT_EQ(log, (Log{1, 2}));
  overlap.leave(rewrite);
  EXPECT_EQ(log, (Log{1, 2, 3}));
  overlap.leave(aligned);
}

// Random turns that leave in random order: nothing conflicting ever runs together, conflicting ones
// start by arrival, and everybody starts in the end.
TEST(Overlap, keeps_its_promises_under_random_load) {
  std::minstd_rand random(7);
  for (int run = 0; run < 300; ++run) {
    Overlap overlap;
    Log log;
    struct Range {
      std::uint64_t begin, end;
      bool rewrites;
    };
    std::vector<Range> ranges;
    std::deque<Write> writes;
    std::vector<bool> left(40);
    const auto conflict = [&](int a, int b) {
      return (ranges[a].rewrites || ranges[b].rewrites) && ranges[a].begin < ranges[b].end &&
             ranges[b].begin < ranges[a].end;
    };
    std::size_t seen = 0;
    const auto check_new_starts = [&] {
      for (; seen < log.size(); ++seen) {
        for (int earlier = 0; earlier < log[seen]; ++earlier) {
          ASSERT_FALSE(conflict(earlier, log[seen]) && !left[earlier]) << earlier << log[seen];
        }
      }
    };
    const auto leave_one = [&] {
      std::vector<int> running;
      for (const int number : log) {
        if (!left[number]) running.push_back(number);
      }
      if (running.empty()) return false;
      const int number = running[random() % running.size()];
      left[number] = true;
      overlap.leave(writes[number]);
      check_new_starts();
      return true;
    };
    for (int number = 0; number < 40; ++number) {
      const std::uint64_t begin = random() % 10;
      ranges.push_back({begin, begin + 1 + random() % 4, random() % 3 == 0});
      writes.emplace_back(log, number, ranges.back().begin, ranges.back().end,
                          ranges.back().rewrites);
      writes.back().enter(overlap);
      check_new_starts();
      if (random() % 2 == 0) leave_one();
    }
    while (leave_one()) {
    }
    ASSERT_EQ(log.size(), writes.size());
    ASSERT_TRUE(overlap.empty());
  }
}

}  // namespace
}  // namespace baton::blockdev
