// Goal: a turn ends, whatever is made ready in it. Method: runnables that make themselves ready.
#include "base/loop.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

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

struct Named final : TurnHook, Runnable {
  Named(Loop& owner, char its_name, std::string& its_log)
      : Runnable([](Runnable& self) {
          auto& named = static_cast<Named&>(self);
          named.log += static_cast<char>(std::toupper(named.name));
        }),
        loop(owner),
        name(its_name),
        log(its_log) {}
  void end_of_turn() override {
    log += name;
    loop.post(*this);
  }
  Loop& loop;
  char name;
  std::string& log;
};

TEST(Loop, what_an_early_hook_makes_ready_comes_before_the_other_hooks) {
  Loop loop;
  std::string log;
  Named late(loop, 'l', log);
  Named early(loop, 'e', log);
  loop.add(late);
  loop.add_early(early);
  EXPECT_TRUE(loop.run_turn());
  EXPECT_EQ(log, "eEl");
}

}  // namespace
}  // namespace baton
