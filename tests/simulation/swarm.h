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
Plan swarm_plan(std::uint64_t seed);

}  // namespace baton::sim
