// What a few of the worlds by seed have besides, written into the finished script from streams of
// random numbers of its own, so that the other steps keep their times and theirs.
#pragma once

#include "tests/simulation/prng.h"
#include "tests/simulation/script.h"

namespace baton::sim {

void drop_clients(Prng random, Script& script);
void detach_and_attach(Prng random, Script& script);
void add_verifies(Prng random, Script& script);
void hold_syncs(Prng random, Script& script);
void add_resumes(Prng random, Script& script);
void add_fencing(Prng random, Script& script);
void add_windows(Prng random, Script& script);
void add_sharing(Prng random, Script& script);

}  // namespace baton::sim
