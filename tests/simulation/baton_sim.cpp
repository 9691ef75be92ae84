// baton-sim: runs worlds. One seed is one world; every seed replays exactly.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/mutant.h"
#include "tests/simulation/engine_factory.h"
#include "tests/simulation/mutants.h"
#include "tests/simulation/run.h"
#include "tests/simulation/scenarios.h"
#include "tests/simulation/swarm_beyond.h"

namespace baton::sim {
namespace {

struct Arguments {
  std::string seed, seeds, replay, script, script_file, mutant;
  bool beyond = false;
  bool trace = false;
  bool list = false;
  bool no_shrink = false;
  bool every_mutant = false;
  std::uint64_t mutant_seeds = TrialLimits().seeds;
  int jobs = 1;
  std::uint64_t most_failures = 5;
};

std::unique_ptr<Factory> make_factory() {
  return std::make_unique<EngineFactory>();
}

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
}

// The words that reproduce a run; printed with every failure.
std::string replay_command(const Arguments& a, std::uint64_t seed) {
  std::string text = fmt::format("baton-sim --replay {} --trace", seed);
  if (a.beyond) text += " --beyond";
  if (!a.script.empty()) text += " --script " + a.script;
  if (!a.script_file.empty()) text += " --script-file " + a.script_file;
  if (!a.mutant.empty()) text += " --mutant " + a.mutant;
  return text;
}

Plan plan_for(const Arguments& a, std::uint64_t seed) {
  if (!a.script.empty()) {
    const Scenario* scenario = find_scenario(a.script);
    if (scenario == nullptr) throw std::invalid_argument("no script is called " + a.script);
    if (scenario->script.empty()) {
      throw std::invalid_argument(fmt::format("{} waits for {}", a.script, scenario->missing));
    }
    return plan_of(*scenario);
  }
  Plan plan = a.beyond ? beyond_plan(seed) : swarm_plan(seed);
  if (!a.script_file.empty()) {
    std::ifstream file(a.script_file);
    if (!file) throw std::invalid_argument("cannot read " + a.script_file);
    std::stringstream text;
    text << file.rdbuf();
    plan.script = parse_script(text.str());
  }
  return plan;
}

// One world, one line; on failure the rule, the shortest script and the command.
bool run_seed(const Arguments& a, std::uint64_t seed, bool verbose) {
  const Plan plan = plan_for(a, seed);
  RunOptions options;
  if (a.trace) options.sink = print_line;
  EngineFactory factory;
  const Outcome outcome = run(seed, plan, factory, options);
  if (!outcome.violation) {
    if (verbose) {
      fmt::print("seed {}: kept all rules; {} steps, {:.1f} s, {} writes, {} reads, hash {:016x}\n",
                 seed, outcome.steps, static_cast<double>(outcome.virtual_time.count()) * 1e-9,
                 outcome.acknowledged, outcome.reads, outcome.hash);
    }
    return true;
  }
  fmt::print("{}", to_text(seed, outcome, a.trace ? 0 : 30));
  fmt::print("  hash {:016x}\n", outcome.hash);
  if (!a.no_shrink && !a.trace) {
    const Script shortest = shrink(seed, plan, make_factory, outcome.violation->rule, 300);
    fmt::print("  shortest script that still breaks the rule ({} of {} steps):\n{}",
               shortest.size(), plan.script.size(), to_text(shortest));
  }
  fmt::print("  replay: {}\n", replay_command(a, seed));
  std::fflush(stdout);
  return false;
}

struct Share {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
};

// Seeds first, first + stride … in this process.
Share run_share(const Arguments& a, std::uint64_t first, std::uint64_t last, std::uint64_t stride) {
  Share share;
  for (std::uint64_t seed = first; seed <= last; seed += stride) {
    ++share.done;
    if (!run_seed(a, seed, false)) ++share.failed;
    if (share.failed >= a.most_failures) break;
  }
  return share;
}

// Worlds share no state, but the engine's frame pool is per thread: processes keep them apart, and
// an assertion of the engine ends one of them only.
int run_many(const Arguments& a, std::uint64_t first, std::uint64_t last) {
  const auto began = std::chrono::steady_clock::now();
  const auto jobs = static_cast<std::uint64_t>(std::max(a.jobs, 1));
  Share total;
  bool crashed = false;
  if (jobs == 1) {
    total = run_share(a, first, last, 1);
  } else {
    std::vector<std::pair<pid_t, int>> children;
    for (std::uint64_t job = 0; job < jobs; ++job) {
      int ends[2];
      if (::pipe(ends) != 0) return 1;
      std::fflush(stdout);
      const pid_t child = ::fork();
      if (child == 0) {
        const Share share = run_share(a, first + job, last, jobs);
        std::fflush(stdout);
        const bool told = ::write(ends[1], &share, sizeof share) == sizeof share;
        ::_exit(told ? 0 : 1);
      }
      ::close(ends[1]);
      children.emplace_back(child, ends[0]);
    }
    for (const auto& [child, end] : children) {
      Share share;
      if (::read(end, &share, sizeof share) != sizeof share) crashed = true;
      total.done += share.done;
      total.failed += share.failed;
      ::close(end);
      int status = 0;
      ::waitpid(child, &status, 0);
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{} worlds, {} broke a rule{}; {:.1f} s, {:.0f} worlds per second\n", total.done,
             total.failed, crashed ? ", a process crashed" : "", took.count(),
             static_cast<double>(total.done) / took.count());
  if (!a.mutant.empty() && jobs == 1) {
    fmt::print("mutant {}: {}{}\n", a.mutant, total.failed > 0 ? "caught" : "NOT CAUGHT",
               mutant_was_reached() ? "" : " (its place was never reached)");
  }
  return total.failed > 0 || crashed ? 1 : 0;
}

void list_scripts() {
  for (const Scenario& scenario : scenarios()) {
    fmt::print("{:<40}{}\n", scenario.name,
               scenario.script.empty() ? fmt::format("waits for {}", scenario.missing) : "");
  }
}

int main_of(const Arguments& a) {
  if (a.list) return list_scripts(), 0;
  if ((a.every_mutant || !a.mutant.empty()) && !mutants_compiled_in) {
    throw std::invalid_argument("this build has no mutants: use the preset `mutants`");
  }
  if (a.every_mutant) {
    return try_mutants({.seeds = a.mutant_seeds, .processes = a.jobs}) == 0 ? 0 : 1;
  }
  choose_mutant(a.mutant);
  if (!a.seeds.empty()) {
    const auto dots = a.seeds.find("..");
    if (dots == std::string::npos) throw std::invalid_argument("--seeds FIRST..LAST");
    return run_many(a, std::stoull(a.seeds.substr(0, dots)), std::stoull(a.seeds.substr(dots + 2)));
  }
  const std::string seed = !a.replay.empty() ? a.replay : a.seed.empty() ? "1" : a.seed;
  return run_seed(a, std::stoull(seed), true) ? 0 : 1;
}

}  // namespace
}  // namespace baton::sim

int main(int argc, char** argv) {
  CLI::App app(
      "Runs worlds of the simulator: two nodes, links, disks, clients and faults by seed.");
  baton::sim::Arguments a;
  app.add_option("--seed", a.seed, "run one world");
  app.add_option("--seeds", a.seeds, "run many, FIRST..LAST");
  app.add_option("--replay", a.replay, "run one world again; does not shrink");
  app.add_option("-j", a.jobs, "processes for --seeds and --mutants");
  app.add_flag("--beyond", a.beyond, "worlds in which disks do what no promise covers");
  app.add_option("--script", a.script, "a named script instead of the seed's own");
  app.add_option("--script-file", a.script_file, "a script in a file instead of the seed's own");
  app.add_option("--mutant", a.mutant, "switch a one-line defect on (preset `mutants`)");
  app.add_flag("--mutants", a.every_mutant,
               "try every one-line defect until a rule is broken (preset `mutants`); fails if one "
               "is not noticed");
  app.add_option("--mutant-seeds", a.mutant_seeds, "worlds for each of --mutants at most")
      ->capture_default_str();
  app.add_option("--most-failures", a.most_failures, "stop after so many failures");
  app.add_flag("--trace", a.trace, "print every event");
  app.add_flag("--no-shrink", a.no_shrink, "do not look for a shorter script");
  app.add_flag("--list", a.list, "name the scripts");
  CLI11_PARSE(app, argc, argv);
  if (!a.replay.empty()) a.no_shrink = true;
  try {
    return baton::sim::main_of(a);
  } catch (const std::exception& error) {
    fmt::print(stderr, "baton-sim: {}\n", error.what());
    return 2;
  }
}
