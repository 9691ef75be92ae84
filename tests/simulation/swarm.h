// Worlds by seed: each switches classes of faults and of operations on or off (swarm testing), and
// draws limits, sizes and times.
#pragma once

#include "tests/simulation/cluster.h"
#include "tests/simulation/script.h"

namespace baton::sim {

struct Plan {
  Settings settings;
  Script script;
};

Settings swarm_settings(std::uint64_t seed);
// `windows`: some have windows for a first write, too; what was found before they had keeps its
// steps without.
Plan swarm_plan(std::uint64_t seed, bool windows = true);

}  // namespace baton::sim
