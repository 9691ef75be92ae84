// Goal: the rules catch a product that lies. A fake resource tells one lie at a time in swarm
// worlds; within a bounded number of seeds some rule must notice, and no rule may complain about
// the fake that does not lie (it would complain about a right engine, too).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "tests/simulation/fake_resource.h"
#include "tests/simulation/run.h"

namespace baton::sim {
namespace {

Plan plan_for_fake(std::uint64_t seed) {
  Plan plan = swarm_plan(seed, false);
  // What the fake does not know: protocols, links, disconnecting; exports, whose discards are the
  // same on every disk.
  plan.settings.protocol = replication::Protocol::c;
  plan.settings.nbd = false;
  std::erase_if(plan.script, [](const Step& step) {
    switch (step.what) {
      case Do::cut:
      case Do::heal:
      case Do::corrupt:
      case Do::connect:
      case Do::disconnect:
      case Do::pause:
      case Do::resume:
        return true;
      default:
        return false;
    }
  });
  return plan;
}

// What a right engine does and the fake does not, so that it would be a lie: the fake takes a
// forced promotion at its word even while the other node could be asked (only the first one, of a
// pair without data, is left), and keeps in memory which copy is newer, and does
// not put right what a slow disk finishes out of turn, knows no failed disk, and does not shrink
// its resync to what a slow link carries. The engine itself is put
// through all of it by the swarm (swarm_test.cpp).
void only_what_the_fake_can(Plan& plan) {
  bool first = true;
  std::erase_if(plan.script, [](const Step& step) {
    static constexpr std::array beyond_it = {Do::kill, Do::power,     Do::slow_disk, Do::fail,
                                             Do::hang, Do::slow_link, Do::half_open, Do::verify};
    return std::ranges::find(beyond_it, step.what) != beyond_it.end();
  });
  for (Step& step : plan.script) {
    if (step.what != Do::promote) continue;
    if (!std::exchange(first, false)) std::erase(step.words, "force");
  }
}

struct Caught {
  std::string rule;
  std::uint64_t seeds = 0;
};

// The first seed in which the rule that the lie breaks says so by name. A lie may break another
// rule in an earlier seed.
Caught catch_lie(Lie lie, const std::string& rule, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    FakeFactory factory(lie);
    const Outcome outcome = run(seed, plan_for_fake(seed), factory);
    if (outcome.violation && outcome.violation->rule.starts_with(rule)) {
      return {outcome.violation->rule, seed};
    }
  }
  return {"", seeds};
}

TEST(Oracle, has_nothing_to_say_against_a_resource_that_does_not_lie) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    FakeFactory factory;
    Plan plan = plan_for_fake(seed);
    only_what_the_fake_can(plan);
    const Outcome outcome = run(seed, plan, factory);
    ASSERT_FALSE(outcome.violation) << to_text(seed, outcome, 40) << to_text(plan.script);
  }
}

struct Planted {
  Lie lie;
  const char* name;
  const char* rule;  // how the rule that catches it begins
};

class PlantedLie : public testing::TestWithParam<Planted> {};

TEST_P(PlantedLie, is_caught) {
  const Caught caught = catch_lie(GetParam().lie, GetParam().rule, 300);
  EXPECT_TRUE(caught.rule.starts_with(GetParam().rule))
      << "caught by '" << caught.rule << "' after " << caught.seeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Oracle, PlantedLie,
                         testing::Values(Planted{Lie::ack_before_peer, "ack_before_peer", "R"},
                                         Planted{Lie::lose_at_peer, "lose_at_peer", "R4"},
                                         Planted{Lie::stale_read, "stale_read", "R7"},
                                         Planted{Lie::two_writers, "two_writers", "R3"},
                                         Planted{Lie::two_primaries, "two_primaries", "R3"},
                                         Planted{Lie::flush_nothing, "flush_nothing", "R"},
                                         Planted{Lie::flush_only_here, "flush_only_here", "R"},
                                         Planted{Lie::ignore_fua, "ignore_fua", "R"},
                                         Planted{Lie::mark_clean_early, "mark_clean_early", "R"},
                                         Planted{Lie::forget_a_request, "forget_a_request", "R11"},
                                         Planted{Lie::wrong_place, "wrong_place", "R"},
                                         Planted{Lie::refuse_but_write, "refuse_but_write", "R"},
                                         Planted{Lie::uninitialised_read, "uninitialised_read",
                                                 "R7"}),
                         [](const auto& info) { return std::string(info.param.name); });

// Both write alone, which random worlds of this fake hardly ever reach.
TEST(Oracle, catches_a_split_brain_that_was_merged_in_silence) {
  constexpr std::string_view both_write_alone = R"(
primary A force
wait-sync
kill B
+7s burst A requests=10 reads=0
kill A
start B
+1s promote B force
burst B requests=10 reads=0
start A
+5s wait
)";
  FakeFactory factory(Lie::no_split_brain);
  const Outcome outcome =
      run(1, {.settings = {}, .script = parse_script(both_write_alone)}, factory);
  ASSERT_TRUE(outcome.violation);
  EXPECT_EQ(outcome.violation->rule, "R3 split brain was merged");
}

TEST(World, gives_the_same_hash_for_the_same_seed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    FakeFactory first;
    FakeFactory second;
    EXPECT_EQ(run(seed, plan_for_fake(seed), first).hash,
              run(seed, plan_for_fake(seed), second).hash);
  }
}

}  // namespace
}  // namespace baton::sim
