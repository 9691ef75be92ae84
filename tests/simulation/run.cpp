#include "tests/simulation/run.h"

#include <fmt/format.h>

#include "tests/simulation/director.h"

namespace baton::sim {

RunOptions ring_options() {
  return {.sink = {}, .end_well = true, .proof_requests = 6};
}

Outcome run(std::uint64_t seed, const Plan& plan, Factory& factory, const RunOptions& options) {
  Outcome outcome;
  {
    Cluster cluster(seed, plan.settings, factory);
    World& world = cluster.world();
    if (options.sink) world.trace().print_to(options.sink);
    Director director(cluster);
    cluster.create();
    director.play(plan.script);
    outcome.script_from = director.marked_at();
    outcome.script_to = world.steps();
    if (options.end_well) director.end_well(options.proof_requests);
    outcome.violation = world.violation();
    if (outcome.violation) outcome.last_lines = world.trace().last(60);
    outcome.hash = world.trace().hash();
    outcome.steps = world.steps();
    outcome.virtual_time = world.now() - TimePoint{};
    outcome.acknowledged = cluster.oracle().acknowledged();
    outcome.reads = cluster.oracle().reads_checked();
  }
  return outcome;
}

// Halves first, then ever smaller pieces, as delta debugging does it.
Script shrink(std::uint64_t seed, Plan plan, const MakeFactory& make, const std::string& rule,
              std::size_t runs_max) {
  std::size_t runs = 0;
  const auto breaks = [&](const Script& script) {
    ++runs;
    const auto factory = make();
    const Outcome outcome = run(seed, Plan{plan.settings, script}, *factory);
    return outcome.violation && outcome.violation->rule == rule;
  };
  Script best = plan.script;
  std::size_t piece = std::max<std::size_t>(best.size() / 2, 1);
  while (runs < runs_max) {
    bool shorter = false;
    for (std::size_t at = 0; at < best.size() && runs < runs_max;) {
      Script candidate = best;
      const auto from = candidate.begin() + static_cast<std::ptrdiff_t>(at);
      const auto to =
          candidate.begin() + static_cast<std::ptrdiff_t>(std::min(at + piece, candidate.size()));
      const Duration skipped = from->strikes_at ? Duration{} : from->after;
      candidate.erase(from, to);
      if (at < candidate.size() && !candidate[at].strikes_at) candidate[at].after += skipped;
      if (breaks(candidate)) {
        best = std::move(candidate);
        shorter = true;
      } else {
        at += piece;
      }
    }
    if (piece == 1 && !shorter) break;
    if (piece > 1) piece /= 2;
  }
  return best;
}

std::string to_text(std::uint64_t seed, const Outcome& outcome, std::size_t lines) {
  if (!outcome.violation) return fmt::format("seed {}: all rules kept", seed);
  const Violation& v = *outcome.violation;
  std::string text = fmt::format("seed {}: {}\n  {}\n  step {}, at {:.6f} s\n", seed, v.rule,
                                 v.what, v.step, static_cast<double>(v.at.nanoseconds) * 1e-9);
  const std::size_t skip =
      outcome.last_lines.size() > lines ? outcome.last_lines.size() - lines : 0;
  for (std::size_t i = skip; i < outcome.last_lines.size(); ++i) {
    text += "    " + outcome.last_lines[i] + "\n";
  }
  return text;
}

}  // namespace baton::sim
