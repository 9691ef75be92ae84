// Goal: the list of marks and the marks in the sources are the same, so that the report of those
// never reached is about all of them. Method: look for the marks in the sources.
#include "tests/simulation/marks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/simulation/sources.h"

namespace baton::sim {
namespace {

std::vector<std::string> names_in_the_list() {
  std::vector<std::string> names;
  for (const Mark& mark : marks()) names.emplace_back(mark.name);
  std::ranges::sort(names);
  return names;
}

TEST(Marks, in_the_list_are_those_in_the_sources) {
  EXPECT_EQ(names_in_the_list(), calls_in_the_sources("reached"));
}

TEST(Marks, have_one_place_each_and_say_what_has_happened_there) {
  const std::vector<std::string> names = calls_in_the_sources("reached");
  EXPECT_GE(names.size(), 50U);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  for (const Mark& mark : marks()) EXPECT_FALSE(mark.path.empty()) << mark.name;
}

}  // namespace
}  // namespace baton::sim
