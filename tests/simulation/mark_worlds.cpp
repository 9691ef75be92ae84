// Every world counts its marks in its own process; the sums are in memory that all of them share.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "base/assert.h"
#include "base/mark.h"
#include "tests/simulation/many.h"
#include "tests/simulation/marks.h"
#include "tests/simulation/orders.h"
#include "tests/simulation/scenarios.h"
#include "tests/simulation/shared_array.h"
#include "tests/simulation/single_fault.h"
#include "tests/simulation/swarm_beyond.h"

namespace baton::sim {
namespace {

struct Ring {
  std::string name;
  std::uint64_t worlds = 0;
  std::function<Case(std::uint64_t)> make;
};

constexpr std::uint64_t seed_of_faults = 1;
constexpr std::uint64_t more_at_once = 500;
constexpr std::uint64_t nowhere = UINT64_MAX;
constexpr std::uint64_t worlds_max = std::uint64_t{1} << 32U;  // of a ring

struct Seen {
  std::atomic<std::uint64_t> times{0};
  std::atomic<std::uint64_t> worlds{0};
  std::atomic<std::uint64_t> first{nowhere};  // ring * worlds_max + number
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "it is shared by processes");

// --- the worlds

Ring scripts() {
  std::vector<std::pair<const Scenario*, std::uint64_t>> all;
  for (const Scenario& scenario : scenarios()) {
    if (scenario.script.empty()) continue;
    for (std::uint64_t seed = 1; seed <= scenario.seeds; ++seed) all.emplace_back(&scenario, seed);
  }
  const std::uint64_t count = all.size();
  return {"named scripts", count, [all = std::move(all)](std::uint64_t number) {
            const auto& [scenario, seed] = all[number];
            Case world{.seed = seed, .plan = plan_of(*scenario), .options = {}, .replay = {}};
            world.replay = fmt::format("--replay {} --script {}", seed, scenario->name);
            return world;
          }};
}

Ring swarm(std::uint64_t first, std::uint64_t worlds) {
  return {"worlds by seed", worlds, [first](std::uint64_t number) {
            const std::uint64_t seed = first + number;
            Case world{.seed = seed, .plan = swarm_plan(seed), .options = {}, .replay = {}};
            world.replay = fmt::format("--replay {}", seed);
            return world;
          }};
}

Ring beyond(std::uint64_t worlds) {
  return {"beyond the model", worlds, [](std::uint64_t number) {
            const std::uint64_t seed = number + 1;
            Case world{.seed = seed, .plan = beyond_plan(seed), .options = {}, .replay = {}};
            world.replay = fmt::format("--replay {} --beyond", seed);
            return world;
          }};
}

Ring single_faults(const Scenario& scenario, std::uint64_t events) {
  const SingleFaults faults(scenario, seed_of_faults, events);
  const std::string name(scenario.name);
  return {name + " with single faults", faults.worlds(), [faults, name](std::uint64_t number) {
            Case world{.seed = seed_of_faults,
                       .plan = faults.plan(number),
                       .options = ring_options(),
                       .replay = {}};
            world.replay =
                fmt::format("--replay {} --script {} --fault {} --event {}", seed_of_faults, name,
                            faults.kind(number).name, faults.event(number));
            return world;
          }};
}

Ring orders(std::uint64_t worlds) {
  worlds = std::min(worlds, orders_count());
  return {
      "orders of a small scope", worlds, [worlds](std::uint64_t number) {
        const std::uint64_t order = number * orders_count() / worlds;
        const std::uint64_t seed = order_seed(order, 0);
        Case world{
            .seed = seed, .plan = order_plan(order, 0), .options = ring_options(), .replay = {}};
        world.replay = fmt::format("--replay {} --order {} --timing 0", seed, order);
        return world;
      }};
}

std::vector<Ring> rings_of(const MarkLimits& limits) {
  std::vector<Ring> rings = {scripts(), swarm(1, limits.seeds), beyond(limits.beyond)};
  for (const Scenario& scenario : short_scripts()) {
    rings.push_back(single_faults(scenario, limits.events));
  }
  rings.push_back(orders(limits.orders));
  return rings;
}

// --- what they reached

class Sums {
 public:
  Sums() : seen_(marks().size()) {
    for (std::size_t i = 0; i < marks().size(); ++i) index_[marks()[i].name] = i;
  }

  // What the world that has just ended reached.
  void add(std::uint64_t ring, std::uint64_t number) {
    for (const auto& [name, times] : take_marks()) {
      const auto found = index_.find(name);
      BATON_ASSERT(found != index_.end(), "a test compares the list with the sources");
      Seen& seen = seen_.all()[found->second];
      seen.times += times;
      ++seen.worlds;
      const std::uint64_t here = ring * worlds_max + number;
      std::uint64_t first = seen.first;
      while (here < first && !seen.first.compare_exchange_weak(first, here)) {
      }
    }
  }
  std::span<const Seen> all() { return seen_.all(); }

 private:
  std::map<std::string_view, std::size_t> index_;
  SharedArray<Seen> seen_;
};

std::uint64_t missing_in(std::span<const Seen> all) {
  std::uint64_t missing = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].first == nowhere && marks()[i].unreachable_yet.empty()) ++missing;
  }
  return missing;
}

// Returns how many marks should have been reached and were not.
std::uint64_t report(std::span<const Seen> all, const std::vector<Ring>& rings) {
  fmt::print("{:>9} {:>7}  {:<40}{}\n", "times", "worlds", "mark", "first by baton-sim …");
  std::uint64_t reached = 0;
  std::string never;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Mark& mark = marks()[i];
    const std::uint64_t first = all[i].first;
    const bool excused = !mark.unreachable_yet.empty();
    if (first == nowhere) {
      never += fmt::format("  {:<40}{}\n    {}\n", mark.name, mark.path,
                           excused ? mark.unreachable_yet : "NOT REACHED, and should be");
      continue;
    }
    ++reached;
    const Case world = rings[first / worlds_max].make(first % worlds_max);
    fmt::print("{:>9} {:>7}  {:<40}{}\n", all[i].times.load(), all[i].worlds.load(), mark.name,
               world.replay);
    if (excused) never += fmt::format("  {} is reached: take it off the list\n", mark.name);
  }
  if (!never.empty()) fmt::print("never reached:\n{}", never);
  const std::uint64_t missing = missing_in(all);
  fmt::print("{} marks, {} reached, {} known not to be, {} missing\n", all.size(), reached,
             all.size() - reached - missing, missing);
  return missing;
}

}  // namespace

std::uint64_t look_for_marks(const MarkLimits& limits) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<Ring> rings = rings_of(limits);
  Sums sums;
  take_marks();  // of the runs that have counted the events
  std::uint64_t worlds = 0;
  std::uint64_t broken = 0;
  std::uint64_t more = 0;
  for (std::uint64_t ring = 0; ring < rings.size(); ++ring) {
    ManyOptions options{.processes = limits.processes};
    options.after_each = [&sums, ring](std::uint64_t number, const Outcome&) {
      sums.add(ring, number);
    };
    const Tally total = run_many(rings[ring].worlds, rings[ring].make, options);
    worlds += total.done;
    broken += total.failed + (total.crashed ? 1 : 0);
    if (total.failed > 0 || total.crashed) fmt::print("a rule was broken: {}\n", rings[ring].name);
    const bool last = ring + 1 == rings.size();
    if (last && more < limits.more && missing_in(sums.all()) > 0) {
      rings.push_back(swarm(limits.seeds + more + 1, std::min(more_at_once, limits.more - more)));
      more += rings.back().worlds;
    }
  }
  const std::uint64_t missing = report(sums.all(), rings);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{} worlds, {} broke a rule; {:.0f} s\n", worlds, broken, took.count());
  return missing + broken;
}

}  // namespace baton::sim
