// Goal: the list of mutants and the switches in the sources are the same, so that no defect goes
// untried and none is tried that is not there. Method: look for the switches in the sources.
#include "tests/simulation/mutants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/simulation/scenarios.h"
#include "tests/simulation/single_fault.h"

namespace baton::sim {
namespace {

std::vector<std::string> switches_in_the_sources() {
  static const std::regex place("\\bmutant\\(\"([^\"]*)\"\\)");
  std::vector<std::string> names;
  for (const char* folder : {"base", "blockdev", "nbd_server", "replication", "control"}) {
    const auto root = std::filesystem::path(BATON_SOURCE_DIR) / folder;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      if (entry.path().filename() == "mutant.h") continue;  // its example
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      const std::string source = text.str();
      for (auto at = std::sregex_iterator(source.begin(), source.end(), place);
           at != std::sregex_iterator(); ++at) {
        names.push_back((*at)[1]);
      }
    }
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> names_in_the_list() {
  std::vector<std::string> names;
  for (const Mutant& mutant : mutants()) names.emplace_back(mutant.name);
  std::ranges::sort(names);
  return names;
}

TEST(Mutants, in_the_list_are_those_in_the_sources) {
  EXPECT_EQ(names_in_the_list(), switches_in_the_sources());
}

TEST(Mutants, are_many_and_each_has_one_place) {
  const std::vector<std::string> names = switches_in_the_sources();
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
