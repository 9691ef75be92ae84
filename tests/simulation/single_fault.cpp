#include "tests/simulation/single_fault.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/simulation/engine_factory.h"

namespace baton::sim {
namespace {

const std::vector<FaultKind> kinds = {
    // links; 10 s are beyond a peer's timeout
    {"reset", "cut reset\n +50ms heal\n"},
    {"silence", "cut silence\n +10s heal\n"},
    {"one-way-A", "cut one-way A\n +10s heal\n"},
    {"one-way-B", "cut one-way B\n +10s heal\n"},
    {"half-open-A", "half-open A\n"},
    {"half-open-B", "half-open B\n"},
    {"corrupt-A", "corrupt A\n"},
    {"corrupt-B", "corrupt B\n"},
    {"late-A", "slow-link A ms=500\n +5s heal\n"},
    {"late-B", "slow-link B ms=500\n +5s heal\n"},
    // processes and power
    {"kill-A", "kill A\n +20ms start A\n"},
    {"kill-B", "kill B\n +20ms start B\n"},
    {"power-lose-A", "power A lose\n +1s start A\n"},
    {"power-lose-B", "power B lose\n +1s start B\n"},
    {"power-keep-A", "power A keep\n +1s start A\n"},
    {"power-keep-B", "power B keep\n +1s start B\n"},
    {"power-tear-A", "power A tear\n +1s start A\n"},
    {"power-tear-B", "power B tear\n +1s start B\n"},
    {"pause-A", "pause A\n +8s resume A\n"},
    {"pause-B", "pause B\n +8s resume B\n"},
    // disks
    {"write-error-A", "fail A write guarded\n"},
    {"write-error-B", "fail B write guarded\n"},
    {"read-error-A", "fail A read guarded\n"},
    {"read-error-B", "fail B read guarded\n"},
    {"flush-error-A", "fail A flush guarded\n"},
    {"flush-error-B", "fail B flush guarded\n"},
    {"metadata-error-A", "fail A write meta guarded\n"},
    {"metadata-error-B", "fail B write meta guarded\n"},
    {"full-A", "fail A write enospc sticky guarded\n +2s mend A\n"},
    {"full-B", "fail B write enospc sticky guarded\n +2s mend B\n"},
    {"hang-A", "hang A guarded\n +3s mend A\n"},
    {"hang-B", "hang B guarded\n +10s mend B\n"},
    {"slow-disk-A", "slow-disk A ms=400 permille=500\n +5s slow-disk A permille=0\n"},
    {"slow-disk-B", "slow-disk B ms=400 permille=500\n +5s slow-disk B permille=0\n"},
};

}  // namespace

const std::vector<FaultKind>& fault_kinds() {
  return kinds;
}

const FaultKind* find_fault(std::string_view name) {
  const auto found = std::ranges::find(kinds, name, &FaultKind::name);
  return found == kinds.end() ? nullptr : &*found;
}

Events count_events(std::uint64_t seed, const Plan& plan, Factory& factory) {
  const Outcome outcome = run(seed, plan, factory, {.end_well = false});
  return {.first = outcome.script_from + 1, .count = outcome.script_to - outcome.script_from};
}

Plan with_fault(Plan plan, const FaultKind& kind, std::uint64_t event) {
  for (Step& step : parse_script(kind.steps)) {
    step.strikes_at = event;
    step.id += plan.script.size();
    plan.script.push_back(std::move(step));
  }
  return plan;
}

SingleFaults::SingleFaults(const Scenario& scenario, std::uint64_t seed, std::uint64_t at_most)
    : plan_(plan_of(scenario)) {
  EngineFactory factory;
  events_ = count_events(seed, plan_, factory);
  taken_ = std::min(events_.count, at_most);
}

const FaultKind& SingleFaults::kind(std::uint64_t world) const {
  return kinds[world % kinds.size()];
}

std::uint64_t SingleFaults::event(std::uint64_t world) const {
  return events_.first + world / kinds.size() * events_.count / taken_;
}

}  // namespace baton::sim
