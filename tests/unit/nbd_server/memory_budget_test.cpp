// Goal: what all clients hold together stays bounded, and those who wait get their turn.
// Method: the budget by itself, with tasks that wait and holders that say what they are told to.
#include "nbd_server/memory_budget.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/support/virtual_clock.h"

namespace baton::nbd {
namespace {

class Budget : public testing::Test {
 protected:
  struct Other final : MemoryBudget::Holder {
    bool is_in_the_way(TimePoint /*now*/) const override { return in_the_way; }
    void end_for_others() override { ended = true; }
    bool in_the_way = false;
    bool ended = false;
  };

  void settle() {
    while (loop_.run_turn()) {
    }
  }
  static Task<> wait(Budget& self, std::size_t bytes, int who) {
    const bool granted = co_await self.budget_.acquire(bytes, 0, self.ended_);
    if (granted) self.served_.push_back(who);
    if (!granted) self.refused_.push_back(who);
  }

  Loop loop_;
  test::VirtualClock clock_;
  MemoryBudget budget_{loop_, clock_, 100};
  bool ended_ = false;
  std::vector<int> served_;
  std::vector<int> refused_;
  Scope scope_{loop_};
};

TEST_F(Budget, is_not_passed) {
  EXPECT_TRUE(budget_.take(60));
  EXPECT_FALSE(budget_.take(41));
  EXPECT_TRUE(budget_.take(40));
  EXPECT_TRUE(budget_.take(0));
  EXPECT_FALSE(budget_.take(1));
  budget_.give(40);
  EXPECT_TRUE(budget_.take(40));
  EXPECT_EQ(budget_.bytes_out(), 100U);
}

TEST_F(Budget, lets_one_that_is_larger_through_alone) {
  EXPECT_TRUE(budget_.take(1000));
  EXPECT_FALSE(budget_.take(1));
  budget_.give(1000);
  EXPECT_TRUE(budget_.take(1));
  EXPECT_FALSE(budget_.take(1000));
}

TEST_F(Budget, serves_those_who_wait_in_their_order_and_nobody_before_them) {
  ASSERT_TRUE(budget_.take(100));
  scope_.spawn(wait(*this, 90, 1));
  scope_.spawn(wait(*this, 5, 2));
  scope_.spawn(wait(*this, 90, 3));
  budget_.give(10);
  settle();
  EXPECT_TRUE(served_.empty()) << "the large one is first";
  EXPECT_FALSE(budget_.take(1)) << "others wait";
  budget_.give(85);
  settle();
  EXPECT_EQ(served_, (std::vector<int>{1, 2}));
  budget_.give(10);
  settle();
  EXPECT_EQ(served_, (std::vector<int>{1, 2}));
  budget_.give(90);
  settle();
  EXPECT_EQ(served_, (std::vector<int>{1, 2, 3}));
}

TEST_F(Budget, keeps_a_quarter_for_those_who_hold_little) {
  constexpr std::size_t mib = 1U << 20U;
  MemoryBudget budget(loop_, clock_, 100 * mib);
  ASSERT_TRUE(budget.take(64 * mib));
  EXPECT_FALSE(budget.take(16 * mib));
  EXPECT_TRUE(budget.take(11 * mib));
  EXPECT_FALSE(budget.take(4096, mib)) << "it holds much already";
  bool granted = false;
  Scope scope(loop_);
  scope.spawn([](MemoryBudget& of, const bool& stop, bool& into) -> Task<> {
    into = co_await of.acquire(16 * mib, 0, stop);
  }(budget, ended_, granted));
  EXPECT_TRUE(budget.take(4096)) << "it does not wait for those who hold much";
  for (int i = 0; i < 24; ++i) EXPECT_TRUE(budget.take(mib)) << i;
  EXPECT_FALSE(budget.take(mib));
  budget.give(60 * mib);
  settle();
  EXPECT_TRUE(granted);
}

TEST_F(Budget, who_ends_while_waiting_takes_nothing_and_lets_the_next_one_go) {
  ASSERT_TRUE(budget_.take(90));
  bool over = false;
  scope_.spawn([](MemoryBudget& budget, const bool& stop) -> Task<> {
    const bool granted = co_await budget.acquire(50, 0, stop);
    EXPECT_FALSE(granted);
  }(budget_, over));
  scope_.spawn(wait(*this, 10, 2));
  settle();
  EXPECT_TRUE(served_.empty());
  over = true;
  budget_.look_again();
  settle();
  EXPECT_EQ(served_, (std::vector<int>{2}));
  EXPECT_EQ(budget_.bytes_out(), 100U);
}

TEST_F(Budget, ends_only_those_in_the_way_and_only_where_somebody_waits) {
  Other stopped;
  Other busy;
  budget_.add(stopped);
  budget_.add(busy);
  stopped.in_the_way = true;
  ASSERT_TRUE(budget_.take(100));
  clock_.advance(std::chrono::minutes(1));
  settle();
  EXPECT_FALSE(stopped.ended);
  scope_.spawn(wait(*this, 10, 1));
  EXPECT_TRUE(stopped.ended);
  EXPECT_FALSE(busy.ended);
  // It is looked at again, since nobody tells when a holder stops.
  busy.in_the_way = true;
  clock_.advance(std::chrono::seconds(1));
  settle();
  EXPECT_TRUE(busy.ended);
  budget_.remove(stopped);
  budget_.remove(busy);
  ended_ = true;
  budget_.look_again();
  settle();
  EXPECT_EQ(refused_, (std::vector<int>{1}));
}

}  // namespace
}  // namespace baton::nbd
