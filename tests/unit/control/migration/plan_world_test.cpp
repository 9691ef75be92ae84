// Goal: whatever happens in whatever order, two guests never both write, no QEMU is told anything
// that the storage does not allow, and a guest that can go on goes on. Method: every order of
// events in a small world (plan_world.h), with up to two faults, one early deadline, one cancel and
// one crash of the coordinator.
#include "plan_world.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>
#include <unordered_set>

#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

// Nothing else is done to the world: what has become of the guest in the end?
World settle(World world) {
  for (;;) {
    std::vector<World> next = world.natural_successors();
    if (next.empty()) return world;
    world = std::move(next.front());
  }
}

void check_end(const World& world) {
  const World end = settle(world);
  ASSERT_EQ(end.broken, "") << end.describe();
  if (end.setting.guest_paused || end.meddled || end.plan.state() == State::undecided) return;
  if (end.plan.state() == State::moved && end.destination_alive) {
    EXPECT_EQ(end.destination, DestinationQemu::running) << end.describe();
    EXPECT_FALSE(end.fetching) << end.describe();
    // A second coordinator knows nothing of a postcopy whose source is silent.
    const bool may_know = end.destination_reachable && (end.source_reachable || !end.recovered);
    if (may_know) EXPECT_FALSE(end.stranded) << end.describe();
  }
  const bool in_reach = end.source_alive && end.source_reachable && !end.deadline_used;
  const bool beyond_help = end.source == SourceQemu::cut_off;
  if (end.plan.state() == State::stayed && in_reach && !beyond_help) {
    EXPECT_TRUE(end.source_runs) << end.describe();
  }
  if (!end.harmed && !end.deadline_used) {
    EXPECT_NE(end.plan.state(), State::lost) << end.describe();
  }
}

struct Explored {
  std::size_t worlds = 0;
  std::set<State> ends;
  std::set<std::string_view> reasons;
};

// Every world that can be reached. Stops at the first broken invariant.
Explored explore(Setting setting, Budget budget) {
  Explored result;
  std::unordered_set<std::string> seen;
  std::deque<World> ahead;
  World first;
  first.setting = setting;
  first.budget = budget;
  first.source_runs = !setting.guest_paused;
  first.plan = Plan({.postcopy = setting.postcopy});
  first.begin(EventKind::start);
  ahead.push_back(first);
  while (!ahead.empty()) {
    const World world = std::move(ahead.back());
    ahead.pop_back();
    if (!seen.insert(world.key()).second) continue;
    ++result.worlds;
    EXPECT_EQ(world.broken, "") << world.describe();
    if (world.plan.over()) {
      result.ends.insert(world.plan.state());
      result.reasons.insert(world.plan.reason());
      check_end(world);
    } else if (world.natural_successors().empty()) {
      EXPECT_NE(patience_of(world.plan.state()), Patience::none)
          << "nothing will ever wake it: " << world.describe();
    }
    if (::testing::Test::HasFailure()) break;
    for (World& next : world.successors()) ahead.push_back(std::move(next));
  }
  ::testing::Test::RecordProperty("worlds", static_cast<int>(result.worlds));
  return result;
}

TEST(PlanWorld, without_faults_the_guest_moves_or_is_cancelled_in_time) {
  const Explored found = explore({}, {.faults = 0, .deadlines = 0, .cancels = 1});
  EXPECT_EQ(found.ends, (std::set{State::moved, State::stayed}));
}

TEST(PlanWorld, any_two_faults_a_deadline_and_a_cancel_leave_one_writer) {
  const Explored found = explore({}, {.faults = 2, .deadlines = 1, .cancels = 1});
  EXPECT_EQ(found.ends, (std::set{State::moved, State::stayed, State::lost, State::undecided}));
  EXPECT_GT(found.worlds, 10000U);
}

TEST(PlanWorld, a_destination_started_with_S_is_told_to_run_only_with_the_baton) {
  explore({.destination_paused_at_start = true}, {.faults = 1, .deadlines = 1, .cancels = 1});
}

TEST(PlanWorld, a_paused_guest_moves_and_stays_paused) {
  explore({.guest_paused = true}, {.faults = 1, .deadlines = 1, .cancels = 1});
}

TEST(PlanWorld, a_source_that_ignores_the_pause_still_leaves_one_writer) {
  explore({.ignores_pause = true}, {.faults = 1, .deadlines = 1, .cancels = 1});
}

TEST(PlanWorld, in_postcopy_nobody_ends_the_QEMU_that_has_the_memory) {
  const Explored well = explore({.postcopy = true}, {.faults = 0, .deadlines = 0, .cancels = 1});
  EXPECT_EQ(well.ends, (std::set{State::moved, State::stayed}));
  const Explored found = explore({.postcopy = true}, {.faults = 2, .deadlines = 1, .cancels = 1});
  EXPECT_EQ(found.ends,
            (std::set{State::moved, State::stayed, State::lost, State::divided, State::undecided}));
  explore({.destination_paused_at_start = true, .postcopy = true},
          {.faults = 1, .deadlines = 1, .cancels = 1});
  explore({.ignores_pause = true, .postcopy = true}, {.faults = 1, .deadlines = 1, .cancels = 1});
}

TEST(PlanWorld, a_coordinator_that_dies_anywhere_is_run_again_and_leaves_one_writer) {
  explore({}, {.faults = 1, .deadlines = 0, .cancels = 0, .crashes = 1});
  explore({.destination_paused_at_start = true},
          {.faults = 0, .deadlines = 1, .cancels = 0, .crashes = 1});
  explore({.postcopy = true}, {.faults = 1, .deadlines = 0, .cancels = 0, .crashes = 1});
}

}  // namespace
}  // namespace baton::control::migration
