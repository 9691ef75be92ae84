// A pair that works while it is recorded: writes of all kinds, a lost and found peer, a copy that
// is detached and attached, nodes that stop and start, a handover.
#pragma once

#include <array>
#include <string>

#include "tests/crash/host.h"

namespace baton::crash {

struct Recording {
  std::uint64_t seed = 0;
  Log log;
  // Of A and B, before the first event.
  std::array<sim::SparseImage, node_count> data;
  std::array<sim::SparseImage, node_count> metadata;
  std::array<std::uint64_t, node_count> boot;
};

struct Workload {
  std::uint64_t seed = 1;
  int scale = 1;  // of the number of requests
  Defect defect;
};

// Throws when the pair does not do what it is asked.
Recording record(FileBay& bay, const Workload& workload);

}  // namespace baton::crash
