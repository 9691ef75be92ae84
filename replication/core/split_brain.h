// Two histories: what is known of each side, and what an operator, or a policy, makes of it. Pure.
#pragma once

#include "replication/core/lineage.h"

namespace baton::replication {

// The last generation that both have; 0: none is known any more.
GenerationId last_common(const Lineage& self, const Lineage& peer);

// What decides where the blocks are that may differ between the two copies of a split brain.
struct ForkedCopy {
  Lineage lineage;
  bool complete = false;
  bool old_session = false;    // an older copy of itself, by what the other remembers
  GenerationId slot_base = 0;  // generation the other had when this side's bitmap began to fill
  GenerationId slot_told = 0;  // generation the other was told to adopt since
};

// True if the union of both bitmaps names every block in which the two copies may differ: each
// side's has been filling since the other had the very generation that the two last shared. Else
// any block may differ.
bool bitmaps_name_the_difference(const ForkedCopy& self, const ForkedCopy& peer);

}  // namespace baton::replication
