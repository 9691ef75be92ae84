// Goal: tasks, signals, timers and scopes keep the promises of base/task.h.
#include "base/task.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/virtual_clock.h"

namespace baton {
namespace {

using test::VirtualClock;

Task<int> add_later(Loop& loop, int a, int b) {
  co_await Yield(loop);
  co_return a + b;
}

Task<> collect(Loop& loop, std::vector<int>& out, int a) {
  const int sum = co_await add_later(loop, a, 1);
  out.push_back(sum);
}

TEST(Task, a_spawned_task_runs_to_its_first_wait_and_ends_in_the_loop) {
  Loop loop;
  Scope scope(loop);
  std::vector<int> out;
  scope.spawn(collect(loop, out, 1));
  scope.spawn(collect(loop, out, 2));
  EXPECT_EQ(scope.size(), 2U);
  loop.run_turn();
  EXPECT_EQ(out, (std::vector<int>{2, 3}));
  EXPECT_TRUE(scope.empty());
}

Task<> wait_for(Signal& signal, std::vector<int>& out, int id) {
  co_await signal.wait();
  out.push_back(id);
}

TEST(Signal, wakes_in_order_and_never_inside_notify) {
  Loop loop;
  Signal signal(loop);
  Scope scope(loop);
  std::vector<int> out;
  scope.spawn(wait_for(signal, out, 1));
  scope.spawn(wait_for(signal, out, 2));
  signal.notify_one();
  EXPECT_TRUE(out.empty());
  loop.run_turn();
  EXPECT_EQ(out, (std::vector<int>{1}));
  signal.notify_all();
  loop.run_turn();
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

Task<> wait_until(Signal& signal, Clock& clock, Duration delay, std::vector<bool>& out) {
  const bool notified = co_await signal.wait_until(clock, clock.now() + delay);
  out.push_back(notified);
}

TEST(Signal, a_deadline_ends_the_wait_and_says_so) {
  Loop loop;
  VirtualClock clock;
  Signal signal(loop);
  Scope scope(loop);
  std::vector<bool> out;
  scope.spawn(wait_until(signal, clock, std::chrono::seconds(1), out));
  scope.spawn(wait_until(signal, clock, std::chrono::seconds(9), out));
  clock.advance(std::chrono::seconds(2));
  loop.run_turn();
  EXPECT_EQ(out, (std::vector<bool>{false}));
  signal.notify_all();
  loop.run_turn();
  EXPECT_EQ(out, (std::vector<bool>{false, true}));
}

struct Mark {
  explicit Mark(int& count) : count_(count) { ++count_; }
  ~Mark() { --count_; }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  int& count_;
};

Task<> hold(Signal& signal, int& alive) {
  const Mark mark(alive);
  co_await signal.wait();
}
Task<> hold_nested(Signal& signal, int& alive) {
  const Mark mark(alive);
  co_await hold(signal, alive);
}

TEST(Scope, destruction_frees_frames_where_they_stand) {
  Loop loop;
  Signal signal(loop);
  int alive = 0;
  {
    Scope scope(loop);
    scope.spawn(hold_nested(signal, alive));
    scope.spawn(hold_nested(signal, alive));
    EXPECT_EQ(alive, 4);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(signal.has_waiters());
}

Task<> join_then_mark(Scope& scope, bool& joined) {
  co_await scope.join();
  joined = true;
}

TEST(Scope, join_waits_for_every_task) {
  Loop loop;
  Signal signal(loop);
  Scope scope(loop);
  Scope outer(loop);
  int alive = 0;
  bool joined = false;
  scope.spawn(hold(signal, alive));
  outer.spawn(join_then_mark(scope, joined));
  loop.run_turn();
  EXPECT_FALSE(joined);
  signal.notify_all();
  loop.run_turn();
  EXPECT_TRUE(joined);
}

TEST(TimerQueue, equal_deadlines_fire_in_the_order_of_arming) {
  VirtualClock clock;
  Loop loop;
  Scope scope(loop);
  static std::vector<int> fired;
  fired.clear();
  Timer first([](Timer&) { fired.push_back(1); });
  Timer second([](Timer&) { fired.push_back(2); });
  clock.arm_after(second, std::chrono::seconds(1));
  clock.arm_after(first, std::chrono::seconds(1));
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(fired, (std::vector<int>{2, 1}));
}

}  // namespace
}  // namespace baton
