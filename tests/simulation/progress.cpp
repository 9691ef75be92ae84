#include "tests/simulation/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace baton::sim {

using std::chrono::steady_clock;

Progress::Progress(std::uint64_t worlds)
    : worlds_(worlds), terminal_(::isatty(2) != 0), began_(steady_clock::now()), counts_(1) {
  counts_.all()[0].told_at = began_.time_since_epoch().count();
}

double Progress::seconds() const {
  return std::chrono::duration<double>(steady_clock::now() - began_).count();
}

void Progress::ran(const Outcome& outcome) {
  Counts& counts = counts_.all()[0];
  const std::uint64_t done = ++counts.done;
  if (outcome.violation) ++counts.failed;
  const steady_clock::duration pause =
      terminal_ ? std::chrono::seconds(1) : std::chrono::seconds(60);
  const std::int64_t now = steady_clock::now().time_since_epoch().count();
  std::int64_t told_at = counts.told_at;
  if (now - told_at < pause.count()) return;
  // One of the processes tells.
  if (counts.told_at.compare_exchange_strong(told_at, now)) tell(done);
}

void Progress::tell(std::uint64_t done) {
  fmt::print(stderr, "{}{} of {} worlds, {} broke a rule, {:.0f} per second{}",
             terminal_ ? "\r" : "", done, worlds_, counts_.all()[0].failed.load(),
             static_cast<double>(done) / seconds(), terminal_ ? " " : "\n");
  std::fflush(stderr);
}

void Progress::end() {
  if (terminal_) fmt::print(stderr, "\r{:70}\r", "");
}

}  // namespace baton::sim
