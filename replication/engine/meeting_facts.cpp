#include "replication/engine/meeting_facts.h"

#include "base/mark.h"
#include "base/mutant.h"

namespace baton::replication {

namespace {

// A daemon restarted under its guest takes the baton again where its peer knows no newer epoch
// (design §4 "Restart"). The host ran on, so its copy has all that was acknowledged: it counts as
// the holder that §5 prefers, and does not first become the target of a copy that cannot write.
bool resumes(const std::string& name, const wire::State& state, const wire::State& other) {
  return state.resume_primary && state.complete && state.epoch.holder == name && !other.holding &&
         state.epoch.number >= other.epoch.number;
}

// Of two holders the one that wrote nothing since they parted yields (design §4 "Restart"): what
// its clients were answered, the other has, too.
bool wrote_nothing_since(const wire::State& state, const wire::State& other) {
  if (!state.holding || !other.holding || state.wrote_alone) return false;
  if (mutant("idle-primary-stays")) return false;
  return other.wrote_alone || other.epoch.number > state.epoch.number;
}

// A Primary that gave the baton away and lost the link before it heard that it was taken is none
// any more when it meets the new holder (schedules: primary-made-target is for those who may
// write), or who was that before it was restarted (schedules: writes-behind-an-unheard-grant).
Role role_of(const std::string& name, const wire::State& state, const wire::State& other) {
  const bool taken = other.holding || other.epoch.holder != name;
  const bool gave_it_away = !state.holding && taken && other.epoch.number > state.epoch.number;
  if (state.primary && gave_it_away) reached("baton-given-away-unheard");
  const bool idle = wrote_nothing_since(state, other);
  if (state.primary && idle) reached("idle-primary-yields");
  // Its copy is not the one that its clients rely on.
  const bool served = state.served && !state.holding;
  const bool relied_on = !gave_it_away && !idle && !served;
  return state.primary && relied_on ? Role::primary : Role::secondary;
}

}  // namespace

bool fills_anew(const wire::State& state, const wire::State& other) {
  return state.gives_up && other.holding && other.complete;
}

CopyFacts copy_facts(const std::string& name, const wire::State& state, const wire::State& other) {
  CopyFacts facts;
  facts.name = name;
  facts.lineage = state.lineage;
  const bool anew = fills_anew(state, other);
  facts.towards = anew && state.towards.empty() ? state.lineage : state.towards;
  facts.complete = state.complete && !anew;
  facts.adopted = state.adopted;
  facts.discard_my_data = state.discard_my_data;
  facts.undo_first = state.undo_first;
  facts.holder = state.holding || resumes(name, state, other);
  facts.role = role_of(name, state, other);
  facts.arrival = static_cast<Arrival>(state.arrival);
  facts.writer = state.writer;
  facts.epoch = state.epoch.number;
  facts.last_holder = state.epoch.holder == name;
  facts.old_session = is_from_the_past(state.session, other.confirmed);
  facts.slot_base = state.slot_base;
  facts.slot_told = state.slot_told;
  return facts;
}

BatonFacts baton_facts(const std::string& name, const wire::State& state, bool two_primaries) {
  return {.name = name,
          .epoch = state.epoch,
          .holding = state.holding,
          .role = state.primary ? Role::primary : Role::secondary,
          .served = state.served && !state.holding,
          .wrote_alone = state.wrote_alone,
          .resume_primary = state.resume_primary,
          .two_primaries = two_primaries};
}

}  // namespace baton::replication
