// One run of one world, and what to do with one that broke a rule.
#pragma once

#include <optional>

#include "tests/simulation/swarm.h"

namespace baton::sim {

struct Outcome {
  std::optional<Violation> violation;
  std::vector<std::string> last_lines;  // of the trace, when there is a violation
  std::uint64_t hash = 0;
  std::uint64_t steps = 0;
  Duration virtual_time{};
  std::uint64_t acknowledged = 0;
  std::uint64_t reads = 0;
  // The world's steps at the script's mark (or beginning) and at its end.
  std::uint64_t script_from = 0;
  std::uint64_t script_to = 0;
};

struct RunOptions {
  Trace::Sink sink;                   // every event as text, when set
  bool end_well = true;               // the question of liveness
  std::uint64_t proof_requests = 40;  // served in the end, when all is well
};

// For rings of many small worlds: a short proof of service.
RunOptions ring_options();

Outcome run(std::uint64_t seed, const Plan& plan, Factory& factory, const RunOptions& options = {});

// Leaves out steps as long as the same rule is still broken. `make` gives a fresh factory a run.
using MakeFactory = std::function<std::unique_ptr<Factory>()>;
Script shrink(std::uint64_t seed, Plan plan, const MakeFactory& make, const std::string& rule,
              std::size_t runs_max);

// What a person needs: rule, sentence, last lines.
std::string to_text(std::uint64_t seed, const Outcome& outcome, std::size_t lines);

}  // namespace baton::sim
