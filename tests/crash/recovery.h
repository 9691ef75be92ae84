// Two hosts come back after a crash: their files are made, production code opens them, the engines
// settle, and what is then there is held against what the client was told.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/crash_image.h"
#include "tests/crash/expectation.h"

namespace baton::crash {

// One crash: at a point of a recording, each host with its fate.
struct Crash {
  std::uint64_t point = 0;
  std::array<Fate, node_count> fate{};
  std::array<Keep, node_count> keep{};
  std::uint64_t number = 0;  // of the random stream

  bool both() const { return fate[0] != Fate::absent && fate[1] != Fate::absent; }
  friend bool operator==(const Crash&, const Crash&) = default;
};

// The first crash falls into the recording, each further one into the recovery from the one before.
using Crashes = std::vector<Crash>;

// Words that `parse_crashes` reads: "812:power-cut/torn:killed/subset:3+57:killed/torn:...".
std::string to_text(const Crashes& crashes);
std::optional<Crashes> parse_crashes(const std::string& text);

using HostImages = std::array<HostImage, node_count>;
HostImages images_of(const Recording& recording, const Crash& crash);

struct Finding {
  std::string rule;  // which of the promises
  std::string what;  // one sentence
  std::vector<std::string> journal;
};

// Hosts that have crashed, and what they must still have.
struct Wreck {
  std::uint64_t seed = 0;
  HostImages images;
  std::array<Fate, node_count> fate{};
  const Expectation& expected;
  std::array<Floor, node_count> on_disk{};  // on each disk, before anybody has looked at it
  std::array<Floor, node_count> claimed{};  // on each copy that calls itself UpToDate by itself
  Floor settled = Floor::none;              // on both, once they are in sync
};
Wreck wreck_of(const Recording& recording, const Crash& crash, const Expectation& expected);

struct Recovered {
  std::optional<Finding> finding;  // nothing: everything is as it must be
  Log log;                         // of what the recovery did to the disks
};
Recovered recover(FileBay& bay, const Wreck& wreck);

// The recovery itself as a recording, and a crash of it.
Recording recording_of(const Wreck& wreck, Log log);
Wreck wreck_again(const Wreck& before, const Recording& recovery, const Crash& crash);

}  // namespace baton::crash
