// The crash explorer: every point of a recording, every way to crash there that makes a difference.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/recovery.h"

namespace baton::crash {

struct Exploration {
  std::uint64_t first_point = 0;
  std::uint64_t last_point = never;
  // At most so many points, evenly; and so many crashes at each, by chance. 0: all.
  std::uint64_t points = 0;
  std::uint64_t crashes_at_point = 0;
  // Draws of each policy that is by chance.
  std::uint64_t draws = 1;
  // So many crashes of each recovery of a pair, too.
  std::uint64_t again = 0;
  bool stop_at_first = false;
};

struct Failure {
  Crashes crashes;
  Finding finding;
};

struct Explored {
  std::uint64_t points = 0;
  std::uint64_t points_in_all = 0;
  std::uint64_t crashes = 0;  // of the recording, recovered
  std::uint64_t again = 0;    // of recoveries, recovered
  std::uint64_t equal = 0;    // left out: the same files as another crash at that point
  std::vector<Failure> failures;

  std::string summary() const;
};

// All crashes at a point: how the two hosts come to their ends, and what their disks keep.
std::vector<Crash> crashes_at(std::uint64_t point, std::uint64_t draws);

// Each crash in turn; what the last of them, or an earlier one, has broken.
std::optional<Finding> replay(FileBay& bay, const Recording& recording, const Crashes& crashes);

using OnFailure = std::function<void(const Failure&)>;
Explored explore(FileBay& bay, const Recording& recording, const Exploration& exploration,
                 const OnFailure& on_failure = {});

// For a person, with the command that replays it.
std::string to_text(const Failure& failure, const Recording& recording, int scale);

// Where files cost least: a filesystem in memory, if there is one.
std::string folder_for_recovery();

}  // namespace baton::crash
