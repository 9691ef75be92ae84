// Goal: the engine passes the schedules that break naive designs, each by its name, and a few
// hundred random worlds. Method: scripts on the simulated cluster; every rule of design §3 that the
// oracle knows is looked at after every step, and the end of each run asks for liveness.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/simulation/engine_factory.h"
#include "tests/simulation/run.h"
#include "tests/simulation/scenarios.h"
#include "tests/simulation/swarm_beyond.h"

namespace baton::sim {
namespace {

class Schedule : public testing::TestWithParam<Scenario> {};

TEST_P(Schedule, keeps_every_rule) {
  const Scenario& scenario = GetParam();
  if (scenario.script.empty()) GTEST_SKIP() << "waits for " << scenario.missing;
  // The seed draws latencies and contents: another interleaving of the same script.
  for (std::uint64_t seed = 1; seed <= scenario.seeds; ++seed) {
    EngineFactory factory;
    const Outcome outcome = run(seed, plan_of(scenario), factory);
    ASSERT_FALSE(outcome.violation)
        << to_text(seed, outcome, 40)
        << fmt::format("replay: baton-sim --replay {} --trace --script {}\n", seed, scenario.name);
  }
}

std::string test_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

INSTANTIATE_TEST_SUITE_P(Simulation, Schedule, testing::ValuesIn(scenarios()),
                         [](const auto& info) { return test_name(info.param.name); });

// A link that is lost, or replaced by another, at any moment of the settlement must not lose the
// operator's word: without it the split brain comes back and waits for him again.
TEST(Simulation, data_to_be_discarded_is_discarded_whenever_the_link_breaks) {
  constexpr std::string_view split = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=10 reads=0 flushes=0
promote B force
burst B requests=10 reads=0 flushes=0
heal
wait-split-brain
demote B force
connect B discard
+{}us cut reset
+1ms heal
wait-sync
)";
  for (int moment = 0; moment <= 6000; moment += 60) {
    EngineFactory factory;
    Plan plan;
    plan.script = parse_script(fmt::format(split, moment));
    const Outcome outcome = run(1, plan, factory);
    ASSERT_FALSE(outcome.violation) << to_text(1, outcome, 60) << "moment " << moment << " us";
  }
}

// In pieces, so that a failure does not hide the seeds behind it.
class Swarm : public testing::TestWithParam<int> {};

TEST_P(Swarm, keeps_every_rule) {
  constexpr std::uint64_t seeds = 50;
  const std::uint64_t first = static_cast<std::uint64_t>(GetParam()) * seeds + 1;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    EngineFactory factory;
    const Plan plan = swarm_plan(seed);
    const Outcome outcome = run(seed, plan, factory);
    EXPECT_FALSE(outcome.violation)
        << to_text(seed, outcome, 30)
        << fmt::format(
               "shrink it: baton-sim --seed {0}; replay it: baton-sim --replay {0} --trace\n",
               seed);
  }
}

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int swarm_pieces = 8;  // some twenty times slower
#else
constexpr int swarm_pieces = 40;
#endif
INSTANTIATE_TEST_SUITE_P(Simulation, Swarm, testing::Range(0, swarm_pieces));

class SwarmBeyond : public testing::TestWithParam<int> {};

TEST_P(SwarmBeyond, detects_or_refuses_and_never_lies) {
  constexpr std::uint64_t seeds = 50;
  const std::uint64_t first = static_cast<std::uint64_t>(GetParam()) * seeds + 1;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    EngineFactory factory;
    const Outcome outcome = run(seed, beyond_plan(seed), factory);
    EXPECT_FALSE(outcome.violation)
        << to_text(seed, outcome, 30)
        << fmt::format(
               "shrink it: baton-sim --beyond --seed {0}; replay it: baton-sim --beyond "
               "--replay {0} --trace\n",
               seed);
  }
}

INSTANTIATE_TEST_SUITE_P(Simulation, SwarmBeyond, testing::Range(0, 6));

TEST(Simulation, gives_the_same_hash_for_the_same_seed_with_the_engine) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EngineFactory first;
    EngineFactory second;
    const Plan plan = swarm_plan(seed);
    EXPECT_EQ(run(seed, plan, first).hash, run(seed, plan, second).hash) << "seed " << seed;
    const Plan beyond = beyond_plan(seed);
    EXPECT_EQ(run(seed, beyond, first).hash, run(seed, beyond, second).hash) << "beyond " << seed;
  }
}

TEST(Script, survives_being_written_down_and_read_again) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Plan plan = swarm_plan(seed);
    const std::string text = to_text(plan.script);
    EXPECT_EQ(to_text(parse_script(text)), text);
    const std::string beyond = to_text(beyond_plan(seed).script);
    EXPECT_EQ(to_text(parse_script(beyond)), beyond);
  }
}

TEST(Script, names_the_line_that_it_does_not_understand) {
  EXPECT_THROW(parse_script("promote A\nexplode B\n"), std::invalid_argument);
  EXPECT_THROW(parse_script("+5x promote A"), std::invalid_argument);
}

}  // namespace
}  // namespace baton::sim
