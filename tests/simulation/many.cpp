// Worlds share no state, but the engine's frame pool is per thread: processes keep them apart, and
// an assertion of the engine ends one of them only.
#include "tests/simulation/many.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <system_error>

#include "tests/simulation/engine_factory.h"

namespace baton::sim {
namespace {

constexpr std::size_t shrinking_runs = 300;

using MakeCase = std::function<Case(std::uint64_t)>;

// Worlds first, first + stride … in this process.
Tally run_share(std::uint64_t first, std::uint64_t stride, std::uint64_t count,
                const MakeCase& make, const ManyOptions& options) {
  Tally tally;
  for (std::uint64_t number = first; number < count; number += stride) {
    Outcome outcome;
    ++tally.done;
    if (!run_case(make(number), options.shrink, outcome)) ++tally.failed;
    if (options.after_each) options.after_each(number, outcome);
    if (tally.failed >= options.most_failures) break;
  }
  return tally;
}

struct Worker {
  pid_t process = 0;
  int results = -1;
};

Worker begin(std::uint64_t first, std::uint64_t stride, std::uint64_t count, const MakeCase& make,
             const ManyOptions& options) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  std::fflush(stdout);
  const pid_t process = ::fork();
  if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (process == 0) {
    const Tally tally = run_share(first, stride, count, make, options);
    std::fflush(stdout);
    const bool told = ::write(ends[1], &tally, sizeof tally) == sizeof tally;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  return {process, ends[0]};
}

}  // namespace

bool run_case(const Case& world, bool shrink, Outcome& outcome) {
  EngineFactory factory;
  outcome = run(world.seed, world.plan, factory, world.options);
  if (!outcome.violation) return true;
  fmt::print("{}", to_text(world.seed, outcome, world.options.sink ? 0 : 30));
  fmt::print("  hash {:016x}\n", outcome.hash);
  if (shrink) {
    const auto make_factory = [] { return std::make_unique<EngineFactory>(); };
    const Script shortest = baton::sim::shrink(world.seed, world.plan, make_factory,
                                               outcome.violation->rule, shrinking_runs);
    fmt::print("  shortest script that still breaks the rule ({} of {} steps):\n{}",
               shortest.size(), world.plan.script.size(), to_text(shortest));
  }
  fmt::print("  replay: {}\n", world.replay);
  std::fflush(stdout);
  return false;
}

Tally run_many(std::uint64_t count, const MakeCase& make, const ManyOptions& options) {
  const auto processes = static_cast<std::uint64_t>(std::max(options.processes, 1));
  if (processes == 1) return run_share(0, 1, count, make, options);
  std::vector<Worker> workers;
  workers.reserve(processes);
  for (std::uint64_t number = 0; number < processes; ++number) {
    workers.push_back(begin(number, processes, count, make, options));
  }
  Tally total;
  for (const Worker& worker : workers) {
    Tally share;
    if (::read(worker.results, &share, sizeof share) != sizeof share) total.crashed = true;
    total.done += share.done;
    total.failed += share.failed;
    ::close(worker.results);
    int status = 0;
    ::waitpid(worker.process, &status, 0);
  }
  return total;
}

}  // namespace baton::sim
