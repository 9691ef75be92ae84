// baton-sim: runs worlds. One seed is one world; every seed replays exactly.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/mark.h"
#include "base/mutant.h"
#include "tests/simulation/many.h"
#include "tests/simulation/marks.h"
#include "tests/simulation/mutants.h"
#include "tests/simulation/orders.h"
#include "tests/simulation/progress.h"
#include "tests/simulation/scenarios.h"
#include "tests/simulation/shared_array.h"
#include "tests/simulation/single_fault.h"
#include "tests/simulation/swarm_beyond.h"

namespace baton::sim {
namespace {

using MakeCase = std::function<Case(std::uint64_t)>;

struct Arguments {
  std::string seed, seeds, replay, script, script_file, mutant, fault, order;
  bool beyond = false;
  bool clones = false;
  bool trace = false;
  bool list = false;
  bool no_shrink = false;
  bool every_mutant = false;
  bool every_event = false;
  bool every_order = false;
  std::uint64_t event = 0;
  std::uint64_t events_at_most = UINT64_MAX;
  std::uint64_t timing = 0;
  std::uint64_t timings = 1;
  bool hashes = false;
  bool marks = false;
  MarkLimits mark_limits;
  std::uint64_t mutant_seeds = TrialLimits().seeds;
  int jobs = 1;
  std::uint64_t most_failures = 5;
};

const Scenario& scenario_of(const std::string& name) {
  const Scenario* scenario = find_scenario(name);
  if (scenario == nullptr) throw std::invalid_argument("no script is called " + name);
  if (scenario->script.empty()) {
    throw std::invalid_argument(fmt::format("{} waits for {}", name, scenario->missing));
  }
  return *scenario;
}

Script script_in(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return parse_script(text.str());
}

// What the arguments and a seed describe.
Case case_for(const Arguments& a, std::uint64_t seed) {
  Case world{.seed = seed, .plan = {}, .options = {}, .replay = {}};
  world.replay = fmt::format("baton-sim --replay {} --trace", seed);
  if (!a.order.empty()) {
    const std::uint64_t order = std::stoull(a.order);
    if (order >= orders_count()) throw std::invalid_argument("no order has this number");
    world.plan = order_plan(order, a.timing);
    world.options = ring_options();
    world.replay += fmt::format(" --order {} --timing {}", order, a.timing);
  } else if (!a.script.empty()) {
    world.plan = plan_of(scenario_of(a.script));
    world.replay += " --script " + a.script;
  } else {
    world.plan = a.beyond ? beyond_plan(seed) : swarm_plan(seed);
    if (a.beyond) world.replay += " --beyond";
    if (!a.script_file.empty()) {
      world.plan.script = script_in(a.script_file);
      world.replay += " --script-file " + a.script_file;
    }
  }
  if (a.clones) {
    world.plan.settings.clones = true;
    world.replay += " --clones";
  }
  if (!a.fault.empty()) {
    const FaultKind* kind = find_fault(a.fault);
    if (kind == nullptr) throw std::invalid_argument("no fault is called " + a.fault);
    world.plan = with_fault(std::move(world.plan), *kind, a.event);
    world.options = ring_options();
    world.replay += fmt::format(" --fault {} --event {}", a.fault, a.event);
  }
  if (!a.mutant.empty()) world.replay += " --mutant " + a.mutant;
  if (a.trace) {
    world.options.sink = [](const std::string& line) { fmt::print("{}\n", line); };
  }
  return world;
}

int run_one(const Arguments& a, std::uint64_t seed) {
  Outcome outcome;
  if (!run_case(case_for(a, seed), !a.no_shrink && !a.trace, outcome)) return 1;
  fmt::print("seed {}: kept all rules; {} steps, {:.1f} s, {} writes, {} reads, hash {:016x}\n",
             seed, outcome.steps, static_cast<double>(outcome.virtual_time.count()) * 1e-9,
             outcome.acknowledged, outcome.reads, outcome.hash);
  return 0;
}

// Numbers 0 to count-1 as worlds, and one line for all of them.
int run_all(const Arguments& a, std::uint64_t count, const MakeCase& make, bool shrink) {
  Progress progress(count);
  ManyOptions options{
      .processes = a.jobs, .most_failures = a.most_failures, .shrink = shrink && !a.no_shrink};
  options.after_each = [&progress](std::uint64_t /*number*/, const Outcome& outcome) {
    progress.ran(outcome);
  };
  const Tally total = run_many(count, make, options);
  const double took = progress.seconds();
  progress.end();
  fmt::print("{} worlds, {} broke a rule{}; {:.1f} s, {:.0f} worlds per second\n", total.done,
             total.failed, total.crashed ? ", a process crashed" : "", took,
             static_cast<double>(total.done) / took);
  if (!a.mutant.empty() && a.jobs == 1) {
    fmt::print("mutant {}: {}{}\n", a.mutant, total.failed > 0 ? "caught" : "NOT CAUGHT",
               mutant_was_reached() ? "" : " (its place was never reached)");
  }
  return total.failed > 0 || total.crashed ? 1 : 0;
}

// A line for each, in the order of the seeds: for comparing two builds.
int run_hashes(const Arguments& a, std::uint64_t first, std::uint64_t count, const MakeCase& make) {
  SharedArray<std::uint64_t> hashes(count);
  const std::span<std::uint64_t> all = hashes.all();
  ManyOptions options{.processes = a.jobs, .most_failures = a.most_failures};
  options.after_each = [all](std::uint64_t number, const Outcome& outcome) {
    all[number] = outcome.hash;
  };
  const Tally total = run_many(count, make, options);
  for (std::uint64_t number = 0; number < count; ++number) {
    fmt::print("seed {} {:016x}\n", first + number, all[number]);
  }
  return total.failed > 0 || total.crashed ? 1 : 0;
}

int run_seeds(const Arguments& a) {
  const auto dots = a.seeds.find("..");
  if (dots == std::string::npos) throw std::invalid_argument("--seeds FIRST..LAST");
  const std::uint64_t first = std::stoull(a.seeds.substr(0, dots));
  const std::uint64_t last = std::stoull(a.seeds.substr(dots + 2));
  if (last < first) throw std::invalid_argument("--seeds FIRST..LAST");
  const auto make = [&](std::uint64_t number) { return case_for(a, first + number); };
  if (a.hashes) return run_hashes(a, first, last - first + 1, make);
  return run_all(a, last - first + 1, make, true);
}

// One of the short scripts, or --script.
int run_every_event(const Arguments& a) {
  const std::uint64_t seed = a.seed.empty() ? 1 : std::stoull(a.seed);
  std::vector<Scenario> chosen = short_scripts();
  if (!a.script.empty()) chosen = {scenario_of(a.script)};
  int failed = 0;
  for (const Scenario& scenario : chosen) {
    const SingleFaults faults(scenario, seed, a.events_at_most);
    fmt::print("{}: {} kinds of faults at {} of {} events\n", scenario.name, fault_kinds().size(),
               faults.events_taken(), faults.events());
    const auto make = [&](std::uint64_t number) {
      Arguments one = a;
      one.script = scenario.name;
      one.fault = faults.kind(number).name;
      one.event = faults.event(number);
      return case_for(one, seed);
    };
    failed |= run_all(a, faults.worlds(), make, false);
  }
  return failed;
}

int run_every_order(const Arguments& a) {
  const std::uint64_t worlds = orders_count() * a.timings;
  fmt::print("{} orders with {} timings each, from timing {}\n", orders_count(), a.timings,
             a.timing);
  const auto make = [&](std::uint64_t number) {
    Arguments one = a;
    one.order = std::to_string(number % orders_count());
    one.timing = a.timing + number / orders_count();
    return case_for(one, order_seed(number % orders_count(), one.timing));
  };
  return run_all(a, worlds, make, false);
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
  if (a.marks && !marks_compiled_in) {
    throw std::invalid_argument("this build has no marks: use the preset `mutants`");
  }
  if (a.marks) {
    MarkLimits limits = a.mark_limits;
    limits.processes = a.jobs;
    return look_for_marks(limits) == 0 ? 0 : 1;
  }
  if (a.every_mutant) {
    return try_mutants({.seeds = a.mutant_seeds, .processes = a.jobs, .only = a.mutant}) == 0 ? 0
                                                                                              : 1;
  }
  choose_mutant(a.mutant);
  if (a.every_event) return run_every_event(a);
  if (a.every_order) return run_every_order(a);
  if (!a.seeds.empty()) return run_seeds(a);
  const std::string seed = !a.replay.empty() ? a.replay : a.seed.empty() ? "1" : a.seed;
  return run_one(a, std::stoull(seed));
}

}  // namespace
}  // namespace baton::sim

int main(int argc, char** argv) {
  CLI::App app(
      "Runs worlds of the simulator: two nodes, links, disks, clients and faults by seed.");
  baton::sim::Arguments a;
  app.add_option("--seed", a.seed, "run one world");
  app.add_option("--seeds", a.seeds, "run many, FIRST..LAST");
  app.add_flag("--hashes", a.hashes, "with --seeds: one line `seed N hash` for each, no more");
  app.add_option("--replay", a.replay, "run one world again; does not shrink");
  app.add_option("-j", a.jobs, "processes, for all that runs many worlds");
  app.add_flag("--clones", a.clones, "recovery on clones of the disks at every write of metadata");
  app.add_flag("--beyond", a.beyond, "worlds in which disks do what no promise covers");
  app.add_option("--script", a.script, "a named script instead of the seed's own");
  app.add_option("--script-file", a.script_file, "a script in a file instead of the seed's own");
  app.add_option("--mutant", a.mutant, "switch a one-line defect on (preset `mutants`)");
  app.add_flag("--mutants", a.every_mutant,
               "try every one-line defect until a rule is broken (preset `mutants`); fails if one "
               "is not noticed");
  app.add_option("--mutant-seeds", a.mutant_seeds, "worlds for each of --mutants at most")
      ->capture_default_str();
  app.add_flag("--marks", a.marks,
               "count how often each rare path is reached (preset `mutants`); fails if one never "
               "is");
  app.add_option("--mark-seeds", a.mark_limits.seeds, "worlds by seed for --marks")
      ->capture_default_str();
  app.add_option("--mark-more", a.mark_limits.more,
                 "more worlds by seed for --marks, while a mark is missing")
      ->capture_default_str();
  app.add_option("--mark-beyond", a.mark_limits.beyond, "worlds beyond the model for --marks")
      ->capture_default_str();
  app.add_option("--mark-events", a.mark_limits.events,
                 "events of each short script for --marks, with every fault")
      ->capture_default_str();
  app.add_option("--mark-orders", a.mark_limits.orders, "orders of the small scope for --marks")
      ->capture_default_str();
  app.add_flag("--every-event", a.every_event,
               "every kind of fault at every event of --script, or of each short script");
  app.add_option("--events", a.events_at_most,
                 "so many events of a script with --every-event, taken evenly");
  app.add_option("--fault", a.fault, "a fault that strikes the script at --event");
  app.add_option("--event", a.event, "the step of the world after which --fault strikes");
  app.add_flag("--every-order", a.every_order,
               "three writes, a flush and up to two operations or crashes, in every order");
  app.add_option("--timings", a.timings, "worlds for each order of --every-order")
      ->capture_default_str();
  app.add_option("--timing", a.timing, "which timing of an order; the first of --timings")
      ->capture_default_str();
  app.add_option("--order", a.order, "one of the orders, by its number");
  app.add_option("--most-failures", a.most_failures, "each process stops after so many failures")
      ->capture_default_str();
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
