// Goal: what was once hard stays kept. Method: each seed that ever broke a rule, once more.
#include "tests/simulation/archived_seeds.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/simulation/engine_factory.h"
#include "tests/simulation/run.h"
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

class Archived : public testing::TestWithParam<ArchivedSeed> {};

TEST_P(Archived, seed_keeps_every_rule) {
  const ArchivedSeed& archived = GetParam();
  EngineFactory factory;
  const Outcome outcome = run(archived.seed, swarm_plan(archived.seed), factory);
  EXPECT_FALSE(outcome.violation) << to_text(archived.seed, outcome, 30)
                                  << "once: " << archived.showed
                                  << fmt::format("\nshrink it: baton-sim --seed {}\n",
                                                 archived.seed);
}

INSTANTIATE_TEST_SUITE_P(Simulation, Archived, testing::ValuesIn(archived_seeds()),
                         [](const auto& info) { return std::to_string(info.param.seed); });

TEST(ArchivedSeeds, name_scripts_that_exist) {
  for (const ArchivedSeed& archived : archived_seeds()) {
    EXPECT_FALSE(archived.showed.empty()) << archived.seed;
    if (archived.script.empty()) continue;
    const Scenario* scenario = find_scenario(archived.script);
    ASSERT_NE(scenario, nullptr) << archived.seed << " names " << archived.script;
    EXPECT_FALSE(scenario->script.empty()) << archived.script;
  }
}

}  // namespace
}  // namespace baton::sim
