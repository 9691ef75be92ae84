// The rare paths of the product that carry a mark (base/mark.h), and the worlds that have to reach
// each of them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace baton::sim {

struct Mark {
  std::string_view name;
  std::string_view path;  // what has happened there
  // Why no world reaches it yet; empty for all that some world has to reach.
  std::string_view unreachable_yet = {};
};

const std::vector<Mark>& marks();

struct MarkLimits {
  std::uint64_t seeds = 1000;   // worlds by seed
  std::uint64_t more = 8000;    // of them, while a mark is missing that should not be
  std::uint64_t beyond = 500;   // and beyond the model
  std::uint64_t events = 20;    // of each short script, every fault at each of them
  std::uint64_t orders = 3000;  // of the small scope, taken evenly
  int processes = 1;
};

// Runs every named script and so many other worlds, prints how often each mark was reached and by
// which world first, and names those that never were. Returns how many of these should have been,
// plus the worlds that broke a rule. Only with the preset `mutants`.
std::uint64_t look_for_marks(const MarkLimits& limits);

}  // namespace baton::sim
