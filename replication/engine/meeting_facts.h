// What two nodes have told each other about themselves, as the verdicts want it (core/lineage.h,
// core/baton.h). `state` is of the node that is called `name`, `other` of the one it meets; both
// sides compute both, from the same two messages.
#pragma once

#include <string>

#include "replication/core/baton.h"
#include "replication/core/lineage.h"
#include "replication/wire/codec.h"

namespace baton::replication {

// Invalidated by an operator, and the other one is a holder to be filled from. One that has just
// come up is none yet: it may be the older copy (archived seed 1004380).
bool fills_anew(const wire::State& state, const wire::State& other);

CopyFacts copy_facts(const std::string& name, const wire::State& state, const wire::State& other);
BatonFacts baton_facts(const std::string& name, const wire::State& state, bool two_primaries);

}  // namespace baton::replication
