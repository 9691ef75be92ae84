// Worlds by seed in which a disk does what no promise covers (docs/reliability.md "Beyond the
// model"): each begins every act with two good copies, and demands that what can be detected is
// detected or refused, that nothing which cannot is spread, and that nobody crashes, hangs or lets
// two nodes write.
#pragma once

#include "tests/simulation/swarm.h"

namespace baton::sim {

Plan beyond_plan(std::uint64_t seed);

}  // namespace baton::sim
