// Every single fault at every event of a script (quality.md B8).
//
// A script is played once without a fault, and the steps that the world takes from its mark to its
// end are its events. Then it is played again for each kind of fault and each event, with that
// fault after that event, and whatever repairs it somewhat later. The statements of the script are
// not looked at then (script.h); the rules are, and liveness at the end.
#pragma once

#include <string_view>
#include <vector>

#include "tests/simulation/run.h"
#include "tests/simulation/scenarios.h"

namespace baton::sim {

struct FaultKind {
  std::string_view name;
  std::string_view steps;  // of a script, each to strike at the event
};

// Disk errors are guarded: they strike when the other copy is good, at the event or after it
// (Cluster::may_fail). What a power cut may take from the last good copy the oracle knows.
const std::vector<FaultKind>& fault_kinds();
const FaultKind* find_fault(std::string_view name);

// The events of the script with this seed.
struct Events {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
Events count_events(std::uint64_t seed, const Plan& plan, Factory& factory);

Plan with_fault(Plan plan, const FaultKind& kind, std::uint64_t event);

// One script with every kind of fault at events taken evenly, `at_most` of them.
class SingleFaults {
 public:
  SingleFaults(const Scenario& scenario, std::uint64_t seed, std::uint64_t at_most);

  std::uint64_t worlds() const { return taken_ * fault_kinds().size(); }
  std::uint64_t events() const { return events_.count; }
  std::uint64_t events_taken() const { return taken_; }
  // Neighbours in number differ in the kind.
  const FaultKind& kind(std::uint64_t world) const;
  std::uint64_t event(std::uint64_t world) const;
  Plan plan(std::uint64_t world) const { return with_fault(plan_, kind(world), event(world)); }

 private:
  Plan plan_;
  Events events_;
  std::uint64_t taken_;
};

}  // namespace baton::sim
