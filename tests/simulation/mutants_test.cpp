// Goal: the list of mutants and the switches in the sources are the same, so that no defect goes
// untried and none is tried that is not there. Method: look for the switches in the sources.
#include "tests/simulation/mutants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/simulation/scenarios.h"
#include "tests/simulation/single_fault.h"
#include "tests/simulation/sources.h"

namespace baton::sim {
namespace {

std::vector<std::string> names_in_the_list() {
  std::vector<std::string> names;
  for (const Mutant& mutant : mutants()) names.emplace_back(mutant.name);
  std::ranges::sort(names);
  return names;
}

TEST(Mutants, in_the_list_are_those_in_the_sources) {
  EXPECT_EQ(names_in_the_list(), calls_in_the_sources("mutant"));
}

TEST(Mutants, are_many_and_each_has_one_place) {
  const std::vector<std::string> names = calls_in_the_sources("mutant");
  EXPECT_GE(names.size(), 20U);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(Mutants, name_scripts_that_exist) {
  for (const Mutant& mutant : mutants()) {
    EXPECT_FALSE(mutant.naive.empty()) << mutant.name;
    EXPECT_TRUE(mutant.fault.empty() || find_fault(mutant.fault) != nullptr) << mutant.name;
    if (mutant.script.empty()) continue;
    const Scenario* scenario = find_scenario(mutant.script);
    ASSERT_NE(scenario, nullptr) << mutant.name << " names " << mutant.script;
    EXPECT_FALSE(scenario->script.empty()) << mutant.script;
  }
}

}  // namespace
}  // namespace baton::sim
