// Runs many worlds, in several processes side by side, and tells of those that break a rule.
#pragma once

#include "tests/simulation/run.h"

namespace baton::sim {

struct Case {
  std::uint64_t seed = 1;
  Plan plan;
  RunOptions options;
  std::string replay;  // the words that run it again, for people
};

struct ManyOptions {
  int processes = 1;
  std::uint64_t most_failures = 5;  // of each process
  bool shrink = false;
  // After each world, in the process that ran it.
  std::function<void(std::uint64_t number, const Outcome& outcome)> after_each = {};
};

struct Tally {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  bool crashed = false;  // a process ended before its time: an assertion
};

// Runs it on the production engine. On failure prints rule, last lines, with `shrink` the shortest
// script, and how to replay it; returns false then.
bool run_case(const Case& world, bool shrink, Outcome& outcome);

// Worlds 0 to count-1; `make` gives one by its number.
Tally run_many(std::uint64_t count, const std::function<Case(std::uint64_t)>& make,
               const ManyOptions& options);

}  // namespace baton::sim
