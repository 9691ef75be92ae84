// Goal: a turn ends, whatever is made ready in it. Method: runnables that make themselves ready.
#include "base/loop.h"

#include <gtest/gtest.h>

namespace baton {
namespace {

struct Again : Runnable {
  explicit Again(Loop& owner)
      : Runnable([](Runnable& self) { static_cast<Again&>(self).run_again(); }), loop(owner) {}
  void run_again() {
    ++runs;
    loop.post(*this);
  }
  Loop& loop;
  int runs = 0;
};

TEST(Loop, what_keeps_itself_ready_does_not_keep_the_turn_from_ending) {
  Loop loop;
  Again one(loop);
  Again two(loop);
  loop.post(one);
  loop.post(two);
  EXPECT_TRUE(loop.run_turn());
  EXPECT_GT(one.runs, 0);
  EXPECT_EQ(one.runs, two.runs);
  EXPECT_TRUE(one.queued());
}

}  // namespace
}  // namespace baton
