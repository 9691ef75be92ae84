// The tables behind plan.h: open to the plan itself, to the document and to the exhaustive tests.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include "control/migration/plan.h"

namespace baton::control::migration {

// A set of enumerators, so that a row that holds for many of them is written once.
template <class Enum>
class SetOf {
 public:
  constexpr SetOf() = default;
  constexpr SetOf(Enum one) : bits_(bit(one)) {}
  constexpr SetOf(std::initializer_list<Enum> all) {
    for (const Enum one : all) bits_ |= bit(one);
  }
  constexpr bool contains(Enum one) const { return (bits_ & bit(one)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr SetOf operator|(SetOf a, SetOf b) {
    a.bits_ |= b.bits_;
    return a;
  }

 private:
  static constexpr std::uint32_t bit(Enum one) { return 1U << static_cast<unsigned>(one); }
  std::uint32_t bits_ = 0;
};
using StateSet = SetOf<State>;

enum class Decision : std::uint8_t {
  stay,        // none: wait on in the same state
  touch,       // everything is checked: is something to be changed, too?
  port,        // after migrate-incoming: is the port known?
  pass,        // memory was sent once: postcopy?
  may_switch,  // the offer is made: let the source QEMU go on?
  outcome,     // while both QEMUs finish: wait, grant or take back?
  overdue,     // the same with no patience left
  found,       // the same, of what an earlier coordinator left
  granted,     // the destination has the baton by our word: does it run?
  kept,        // the destination had taken the baton before it could be taken back
  retire,      // the guest runs at the destination: does the source QEMU have to go?
  unfinished,  // the same, of one that does not say that it has completed
  leave,       // the baton is at the source: what does its guest need to run?
};
inline constexpr int decision_count = 13;

// Where a row leads: to a state or to a decision.
struct Goal {
  constexpr Goal(State next) : state(next) {}
  constexpr Goal(Decision next) : decision(next) {}
  std::optional<State> state;
  Decision decision = Decision::stay;
};

struct Row {
  StateSet states;
  EventKind event;
  std::string_view name;
  Goal goal;
  RowKind kind;
};

// Rows for particular states. At most one holds for any state and event (tested).
std::span<const Row> rows();
// What the event means everywhere else; one for each event, in their order.
std::span<const Row> default_rows();
// For every event in a final state.
const Row& final_row();
// The one that holds.
const Row& row_for(State state, EventKind event);

// One row of a decision. An empty set, or no flag, holds for everything.
struct DecisionRow {
  Decision decision;
  std::string_view name;
  SetOf<Source> sources;
  SetOf<Destination> destinations;
  std::optional<bool> flag;
  Goal goal;
  RowKind kind;
};

// In order: the first that holds counts. Complete for every input (tested).
std::span<const DecisionRow> decision_rows();
const DecisionRow& decide(Decision decision, const Facts& facts, const PlanOptions& options);
// What `flag` means in a decision: "cancelled", "the guest was running", ...; empty: not used.
std::string_view flag_of(Decision decision);

std::string_view name_of(Decision decision);

// What entering a state does; besides it, the decision `leave` tells the destination QEMU to quit.
std::optional<Action> entry_action(State state);
StateSet final_states();

}  // namespace baton::control::migration
