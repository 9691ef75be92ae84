// The crash explorer by hand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/mutant.h"
#include "tests/crash/explorer.h"

namespace baton::crash {
namespace {

struct Options {
  Workload workload;
  std::uint64_t seeds = 1;
  Exploration exploration{.points = 200, .cases_at_point = 8};
  bool all = false;
  std::string points;
  std::string replay;
  std::string mutant;
  std::string folder = folder_for_recovery();
  bool events = false;
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

int replay(FileBay& bay, const Recording& recording, const Options& options) {
  const auto crash = parse_case(options.replay);
  if (!crash) {
    fmt::print(stderr, "baton-crash: {} is no case\n", options.replay);
    return 2;
  }
  const HostImages images = images_of(recording, *crash);
  fmt::print("crash before {}; {} and {} writes of A and B may be there or not\n",
             recording.log.describe(crash->point), images[0].uncertain, images[1].uncertain);
  const auto finding = recover(bay, recording, *crash, images);
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

}  // namespace
}  // namespace baton::crash

int main(int argc, char** argv) {
  using namespace baton::crash;
  Options options;
  CLI::App app("Records a pair of nodes on real files, crashes it at every point, recovers.");
  app.add_option("--seed", options.workload.seed, "of the recording");
  app.add_option("--seeds", options.seeds, "so many recordings, from --seed on");
  app.add_option("--scale", options.workload.scale, "times as many requests");
  app.add_flag("--all", options.all, "every point, every case");
  app.add_option("--draws", options.exploration.draws, "of each case that is by chance");
  app.add_option("--points", options.points, "only these, A..B");
  app.add_option("--sample", options.exploration.points, "at most so many points; 0: all");
  app.add_option("--cases", options.exploration.cases_at_point,
                 "at most so many at a point; 0: all");
  app.add_option("--replay", options.replay, "one case, as a failure names it");
  app.add_option("--mutant", options.mutant, "a one-line defect; preset mutants only");
  app.add_option("--folder", options.folder, "for the files");
  app.add_option("--most-failures", options.most_failures, "so many are printed");
  app.add_flag("--events", options.events, "print the recording");
  CLI11_PARSE(app, argc, argv);
  if (options.all) options.exploration.points = options.exploration.cases_at_point = 0;
  if (!parse_points(options.points, options.exploration)) {
    fmt::print(stderr, "baton-crash: --points A..B\n");
    return 2;
  }
  if (!options.mutant.empty() && !baton::mutants_compiled_in) {
    fmt::print(stderr, "baton-crash: built without mutants; use the preset mutants\n");
    return 2;
  }
  baton::choose_mutant(options.mutant);
  FileBay bay(options.folder);
  if (!options.replay.empty()) return replay(bay, record(bay, options.workload), options);
  std::uint64_t failures = 0;
  for (std::uint64_t i = 0; i < options.seeds; ++i, ++options.workload.seed) {
    failures += run(bay, options);
  }
  return failures == 0 ? 0 : 1;
}
