// A line on stderr that says how far many worlds have come: on a terminal once a second in place,
// elsewhere once a minute, for the log of a night.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "tests/simulation/run.h"
#include "tests/simulation/shared_array.h"

namespace baton::sim {

class Progress {
 public:
  explicit Progress(std::uint64_t worlds);

  // After each world, in whichever process ran it.
  void ran(const Outcome& outcome);
  // Ends the line.
  void end();
  double seconds() const;

 private:
  struct Counts {
    std::atomic<std::uint64_t> done = 0;
    std::atomic<std::uint64_t> failed = 0;
    std::atomic<std::int64_t> told_at = 0;  // steady clock, of the last line
  };
  void tell(std::uint64_t done);

  std::uint64_t worlds_;
  bool terminal_;
  std::chrono::steady_clock::time_point began_;
  SharedArray<Counts> counts_;
};

}  // namespace baton::sim
