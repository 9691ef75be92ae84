// The crash explorer by hand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>

#include "base/mutant.h"
#include "tests/crash/explorer.h"

namespace baton::crash {
namespace {

struct Options {
  Workload workload;
  std::uint64_t seeds = 1;
  Exploration exploration{.points = 200, .crashes_at_point = 8, .again = 1};
  bool all = false;
  std::string points;
  std::string replay;
  std::string mutant;
  std::string folder = folder_for_recovery();
  bool events = false;
  bool every_mutant = false;
  std::uint64_t most_failures = 5;
};

bool parse_points(const std::string& text, Exploration& exploration) {
  if (text.empty()) return true;
  unsigned long long first = 0;
  unsigned long long last = 0;
  if (std::sscanf(text.c_str(), "%llu..%llu", &first, &last) != 2) return false;
  exploration.first_point = first;
  exploration.last_point = last;
  exploration.points = 0;
  return true;
}

int replay(FileBay& bay, const Options& options) {
  const auto crashes = parse_crashes(options.replay);
  if (!crashes) {
    fmt::print(stderr, "baton-crash: --replay takes what a failure has printed\n");
    return 2;
  }
  const Recording recording = record(bay, options.workload);
  fmt::print("crash before {}\n", recording.log.describe(crashes->front().point));
  const auto finding = replay(bay, recording, *crashes);
  if (!finding) {
    fmt::print("recovered\n");
    return 0;
  }
  for (const std::string& line : finding->journal) fmt::print("  {}\n", line);
  fmt::print("{}: {}\n", finding->rule, finding->what);
  return 1;
}

// One recording and what is to be done with it; how many crashes failed.
std::uint64_t run(FileBay& bay, const Options& options) {
  const auto began = std::chrono::steady_clock::now();
  const Recording recording = record(bay, options.workload);
  if (options.events) {
    for (std::uint64_t event = 0; event < recording.log.events(); ++event) {
      fmt::print("{}\n", recording.log.describe(event));
    }
    return 0;
  }
  std::uint64_t told = 0;
  const Explored explored =
      explore(bay, recording, options.exploration, [&](const Failure& failure) {
        if (++told <= options.most_failures) {
          fmt::print("{}", to_text(failure, recording, options.workload.scale));
        }
      });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("seed {}: {}; {:.0f} s\n", recording.seed, explored.summary(), took.count());
  std::fflush(stdout);
  return explored.failures.size();
}

// One-line defects (base/mutant.h) that a crash brings to light. The others want a fault that is
// none, or one that no recording has: the simulator's (tests/simulation/mutants.cpp).
constexpr std::array noticed_mutants = {
    "ack-before-peer",
    "ack-before-local",
    "activity-log-not-flushed",
    "skip-dirty-bit",
    "fua-ignored",
    "trim-not-replicated",
    "flush-not-forwarded",
    "flush-answered-unflushed",
    "unflushed-forgotten",
    "generation-not-persisted",
    "told-tip-not-counted",
    "peer-bits-ignored",
    "crashed-copy-preferred",
    "restarted-copy-is-up-to-date",
    "superblock-not-flushed",
    "second-superblock-ignored",
    // Only when the recovery is cut off, too.
    "superblock-in-place",
    "doubt-forgotten",
};

// How many go unnoticed.
std::size_t try_mutants(FileBay& bay, Options options) {
  std::size_t noticed = 0;
  options.exploration.stop_at_first = true;
  options.exploration.points = 400;
  options.exploration.crashes_at_point = 10;
  options.exploration.again = 2;
  for (const char* const mutant : noticed_mutants) {
    choose_mutant(mutant);
    const Recording recording = record(bay, options.workload);
    const Explored explored = explore(bay, recording, options.exploration);
    const bool reached = mutant_was_reached();
    choose_mutant("");
    fmt::print("{:<30}", mutant);
    if (explored.failures.empty()) {
      fmt::print("NOT NOTICED: {}{}\n", reached ? "" : "never reached; ", explored.summary());
      continue;
    }
    ++noticed;
    const Failure& failure = explored.failures.front();
    fmt::print("{:<10}{}\n", failure.finding.rule, to_text(failure.crashes));
    std::fflush(stdout);
  }
  fmt::print("{} mutants, {} noticed\n", noticed_mutants.size(), noticed);
  return noticed_mutants.size() - noticed;
}

// What the words of the command line ask for; the exit status.
int carry_out(Options& options) {
  FileBay bay(options.folder);
  if (options.every_mutant) return try_mutants(bay, options) == 0 ? 0 : 1;
  choose_mutant(options.mutant);
  if (!options.replay.empty()) return replay(bay, options);
  std::uint64_t failures = 0;
  for (std::uint64_t i = 0; i < options.seeds; ++i, ++options.workload.seed) {
    failures += run(bay, options);
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace baton::crash

int main(int argc, char** argv) {
  using namespace baton::crash;
  Options options;
  CLI::App app("Records a pair of nodes on real files, crashes it at every point, recovers.");
  app.add_option("--seed", options.workload.seed, "of the recording");
  app.add_option("--seeds", options.seeds, "so many recordings, from --seed on");
  app.add_option("--scale", options.workload.scale, "times as many requests");
  app.add_flag("--all", options.all, "every point, every crash");
  app.add_option("--draws", options.exploration.draws, "of each crash that is by chance");
  app.add_option("--points", options.points, "only these, A..B");
  app.add_option("--sample", options.exploration.points, "at most so many points; 0: all");
  app.add_option("--crashes", options.exploration.crashes_at_point,
                 "at most so many at a point; 0: all");
  app.add_option("--again", options.exploration.again, "crashes of each recovery of a pair");
  app.add_option("--replay", options.replay, "what a failure has printed");
  app.add_option("--mutant", options.mutant, "a one-line defect; preset mutants only");
  app.add_flag("--mutants", options.every_mutant, "all that it has to notice; preset mutants only");
  app.add_option("--folder", options.folder, "for the files");
  app.add_option("--most-failures", options.most_failures, "so many are printed");
  app.add_flag("--events", options.events, "print the recording");
  CLI11_PARSE(app, argc, argv);
  if (options.all) options.exploration.points = options.exploration.crashes_at_point = 0;
  if (!parse_points(options.points, options.exploration)) {
    fmt::print(stderr, "baton-crash: --points A..B\n");
    return 2;
  }
  const bool wants_mutants = options.every_mutant || !options.mutant.empty();
  if (wants_mutants && !baton::mutants_compiled_in) {
    fmt::print(stderr, "baton-crash: built without mutants; use the preset mutants\n");
    return 2;
  }
  try {
    return carry_out(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "baton-crash: {}\n", error.what());
    return 1;
  }
}
