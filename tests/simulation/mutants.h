// The one-line defects that the simulator must notice (base/mutant.h), and the trial of each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baton::sim {

struct Mutant {
  std::string_view name;
  std::string_view naive;   // what the naive code does
  std::string_view script;  // of scenarios(), tried before the seeds; empty: none
  // Of fault_kinds(): the script is tried with it at each of its events, instead of with each of
  // its seeds.
  std::string_view fault = {};
  // Of a world whose settings and steps are known to show it, tried before the first ones: with the
  // latencies and contents of `timing`, then with others.
  std::uint64_t seed = 0;
  std::uint64_t timing = 0;
  bool clones = false;  // with that one (crash_clones.h)
};

const std::vector<Mutant>& mutants();

struct TrialLimits {
  std::uint64_t timings = 200;  // of a world that is known to show it
  std::uint64_t seeds = 2000;   // a mutant that keeps the rules in so many worlds is not caught
  int processes = 1;
  std::string only = {};  // this one; empty: all
};

// Tries every mutant, prints a line for each, and returns how many were not caught or never
// reached. Only with the preset `mutants`.
std::size_t try_mutants(const TrialLimits& limits);

}  // namespace baton::sim
