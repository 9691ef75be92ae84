// Each mutant has a process of its own: an assertion of the engine that it trips ends that one
// only.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>

#include "base/mutant.h"
#include "tests/simulation/engine_factory.h"
#include "tests/simulation/mutants.h"
#include "tests/simulation/run.h"
#include "tests/simulation/scenarios.h"
#include "tests/simulation/shared_array.h"
#include "tests/simulation/single_fault.h"
#include "tests/simulation/swarm_beyond.h"

namespace baton::sim {
namespace {

// The seeds of a script draw latencies and contents: other interleavings of the same schedule.
constexpr std::uint64_t script_seeds = 10;
// A defect may make one turn endless, which no virtual clock sees.
constexpr unsigned trial_seconds = 300;

// Written by the mutant's process, read by ours when it has ended, however it did.
struct Trial {
  pid_t process = 0;
  bool ended = false;
  bool reached = false;
  bool in_script = false;
  bool beyond = false;
  std::uint64_t world = 0;  // whose steps were tried, if `seed` only draws latencies
  std::uint64_t seed = 0;   // the last one tried
  std::uint64_t event = 0;  // at which a fault struck, or 0
  std::array<char, 64> rule{};
  int signal = 0;

  bool crashed() const { return signal == SIGABRT; }
  bool caught() const { return crashed() || (reached && rule[0] != '\0'); }
};

bool breaks_a_rule(const Mutant& mutant, std::uint64_t seed, const Plan& plan, Trial& trial) {
  trial.seed = seed;
  EngineFactory factory;
  choose_mutant(std::string(mutant.name));
  const Outcome outcome = run(seed, plan, factory);
  const bool reached = mutant_was_reached();
  trial.reached = trial.reached || reached;
  if (!outcome.violation || !reached) return false;
  // A world that breaks a rule without the defect says nothing about it.
  choose_mutant("");
  if (run(seed, plan, factory).violation) return false;
  const std::string& rule = outcome.violation->rule;
  rule.copy(trial.rule.data(), trial.rule.size() - 1);
  return true;
}

// Where the events lie the engine without the defect says.
bool breaks_a_rule_at_an_event(const Mutant& mutant, std::uint64_t seed, const Plan& plan,
                               Trial& trial) {
  choose_mutant("");
  EngineFactory factory;
  const Events events = count_events(seed, plan, factory);
  for (std::uint64_t i = 0; i < events.count; ++i) {
    trial.event = events.first + i;
    const Plan hurt = with_fault(plan, *find_fault(mutant.fault), trial.event);
    if (breaks_a_rule(mutant, seed, hurt, trial)) return true;
  }
  trial.event = 0;
  return false;
}

void try_one(const Mutant& mutant, const TrialLimits& limits, Trial& trial) {
  if (!mutant.script.empty()) {
    const Plan plan = plan_of(*find_scenario(mutant.script));
    trial.in_script = true;
    for (std::uint64_t seed = 1; seed <= script_seeds; ++seed) {
      const bool caught = mutant.fault.empty()
                              ? breaks_a_rule(mutant, seed, plan, trial)
                              : breaks_a_rule_at_an_event(mutant, seed, plan, trial);
      if (caught) return;
    }
  }
  trial.in_script = false;
  if (mutant.seed != 0) {
    Plan plan = swarm_plan(mutant.seed, false);
    plan.settings.clones = mutant.clones;
    trial.world = mutant.seed;
    if (breaks_a_rule(mutant, mutant.timing != 0 ? mutant.timing : mutant.seed, plan, trial))
      return;
    for (std::uint64_t timing = 1; timing <= limits.timings; ++timing) {
      if (breaks_a_rule(mutant, timing, plan, trial)) return;
    }
    trial.world = 0;
  }
  for (std::uint64_t seed = 1; seed <= limits.seeds; ++seed) {
    trial.beyond = false;
    if (breaks_a_rule(mutant, seed, swarm_plan(seed), trial)) return;
    trial.beyond = true;
    if (breaks_a_rule(mutant, seed, beyond_plan(seed), trial)) return;
  }
}

void begin(const Mutant& mutant, const TrialLimits& limits, Trial& trial) {
  std::fflush(stdout);
  const pid_t process = ::fork();
  if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (process > 0) {
    trial.process = process;  // ours to write: the memory is shared
    return;
  }
  ::alarm(trial_seconds);
  // An assertion speaks of the defect, which is known.
  ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
  try_one(mutant, limits, trial);
  ::_exit(0);
}

void wait_for_one(std::span<Trial> trials) {
  int status = 0;
  const pid_t ended = ::wait(&status);
  for (Trial& trial : trials) {
    if (trial.process != ended) continue;
    trial.ended = true;
    trial.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
}

std::string result_of(const Mutant& mutant, const Trial& trial) {
  if (trial.signal != 0 && !trial.crashed()) {
    return fmt::format("NOT CAUGHT: ended by signal {} in seed {}", trial.signal, trial.seed);
  }
  if (!trial.caught()) {
    return fmt::format("NOT CAUGHT in {} seeds{}", trial.seed,
                       trial.reached ? "" : ": its place was never reached");
  }
  std::string where = fmt::format("{}seed {}", trial.beyond ? "beyond, " : "", trial.seed);
  if (trial.in_script) where = fmt::format("script {}, {}", mutant.script, where);
  if (trial.world != 0) where = fmt::format("seed {}, timing {}", trial.world, trial.seed);
  if (trial.event != 0) where += fmt::format(", {} at event {}", mutant.fault, trial.event);
  const char* rule = trial.crashed() ? "an assertion of the engine" : trial.rule.data();
  return fmt::format("{:<42}{}", rule, where);
}

}  // namespace

std::size_t try_mutants(const TrialLimits& limits) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<Mutant> list = mutants();
  if (!limits.only.empty()) {
    std::erase_if(list, [&](const Mutant& mutant) { return mutant.name != limits.only; });
  }
  SharedArray<Trial> shared(list.size());
  const std::span<Trial> trials = shared.all();
  const auto processes = static_cast<std::size_t>(std::max(limits.processes, 1));
  std::size_t begun = 0;
  std::size_t running = 0;
  std::size_t caught = 0;
  for (std::size_t next = 0; next < list.size();) {
    for (; begun < list.size() && running < processes; ++begun, ++running) {
      begin(list[begun], limits, trials[begun]);
    }
    wait_for_one(trials);
    --running;
    // In the order of the list.
    for (; next < list.size() && trials[next].ended; ++next) {
      fmt::print("{:<34}{}\n", list[next].name, result_of(list[next], trials[next]));
      if (trials[next].caught()) ++caught;
    }
    std::fflush(stdout);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{} mutants, {} caught; {:.0f} s\n", list.size(), caught, took.count());
  return list.size() - caught;
}

}  // namespace baton::sim
