#include "control/migration/plan.h"

#include "control/migration/plan_tables.h"

namespace baton::control::migration {

std::optional<Action> entry_action(State state) {
  switch (state) {
    case State::inquiring_source:
      return Action::source_query_migrate;
    case State::inquiring_guest:
      return Action::source_query_status;
    case State::inquiring_destination:
      return Action::destination_query_status;
    case State::preparing:
      return Action::storage_prepare;
    case State::checking_source:
      return Action::source_query_status;
    case State::checking_destination:
      return Action::destination_query_status;
    case State::arming_source:
      return Action::source_set_capabilities;
    case State::arming_destination:
      return Action::destination_set_capabilities;
    case State::listening:
      return Action::destination_incoming;
    case State::locating:
      return Action::destination_locate;
    case State::starting:
      return Action::source_migrate;
    case State::postcopy_asked:
      return Action::source_start_postcopy;
    case State::offering:
      return Action::storage_offer;
    case State::continuing:
      return Action::source_continue;
    case State::granting:
      return Action::storage_grant;
    case State::confirming:
      return Action::destination_query_status;
    case State::starting_destination:
      return Action::destination_cont;
    case State::retiring:
      return Action::source_quit;
    case State::withdrawing:
      return Action::storage_take_back;
    case State::cancelling:
      return Action::source_cancel;
    case State::resuming:
      return Action::source_cont;
    case State::idle:
    case State::transferring:
    case State::switching:
    case State::finishing:
    case State::postcopy:
    case State::moved:
    case State::stayed:
    case State::lost:
    case State::divided:
    case State::undecided:
    case State::checked:
      return std::nullopt;
  }
  return std::nullopt;
}

Patience patience_of(State state) {
  switch (state) {
    case State::inquiring_source:
    case State::inquiring_guest:
    case State::inquiring_destination:
    case State::checking_source:
    case State::checking_destination:
    case State::arming_source:
    case State::arming_destination:
    case State::listening:
    case State::locating:
    case State::starting:
    case State::confirming:
    case State::starting_destination:
      return Patience::reply;
    case State::transferring:
    case State::postcopy_asked:
    case State::postcopy:
      return Patience::stall;
    case State::continuing:
    case State::switching:
      return Patience::switch_over;
    case State::finishing:
    case State::cancelling:
    case State::resuming:
      return Patience::cancel;
    case State::retiring:
      return Patience::quit;
    default:
      return Patience::none;
  }
}

bool Plan::over() const {
  return final_states().contains(state_);
}

bool Plan::can_cancel() const {
  return row_for(state_, EventKind::cancel).kind != RowKind::refusal;
}

Step Plan::on(EventKind event) {
  const Row& row = row_for(state_, event);
  if (!over() && row.kind != RowKind::refusal) note(event);
  Step step{.row = row.name, .kind = row.kind, .from = state_, .to = state_};
  if (row.kind == RowKind::fail && reason_.empty()) reason_ = row.name;
  Goal goal = row.goal;
  bool leaving = false;
  while (!goal.state && goal.decision != Decision::stay) {
    leaving |= goal.decision == Decision::leave;
    const DecisionRow& decided = decide(goal.decision, facts_, options_);
    step.row = decided.name;
    step.kind = decided.kind;
    if (decided.kind == RowKind::fail && reason_.empty()) reason_ = decided.name;
    goal = decided.goal;
  }
  if (goal.state) enter(*goal.state, step);
  if (leaving) discard_destination(step);
  step.to = state_;
  return step;
}

// The baton stays at the source: a destination that was fed half a guest is of no more use, and one
// that runs must not. Nothing waits for it: the storage refuses its writes already. But a source
// that serves must have been cancelled first: one whose destination is gone obeys nothing any more.
void Plan::discard_destination(Step& step) {
  const bool fed = facts_.destination == Destination::listening ||
                   facts_.destination == Destination::loaded ||
                   facts_.destination == Destination::resumed;
  if (!fed || facts_.discarded || facts_.source == Source::serving) return;
  facts_.discarded = true;
  step.actions.push_back(Action::destination_quit);
}

void Plan::enter(State next, Step& step) {
  if (next == state_) {
    // Waiting on. Only memory that moves earns new patience.
    step.rearm_deadline = patience_of(next) == Patience::stall;
    return;
  }
  state_ = next;
  step.rearm_deadline = true;
  if (const auto action = entry_action(next)) step.actions.push_back(*action);
  // From the moment the command is sent it may have been obeyed.
  if (next == State::listening) facts_.destination = Destination::listening;
  if (next == State::starting) facts_.source = Source::moving;
  if (next == State::continuing) facts_.source = Source::switching;
  if (next == State::postcopy_asked) facts_.postcopy_asked = true;
}

void Plan::note(EventKind event) {
  switch (event) {
    case EventKind::cancel:
      facts_.cancel_requested = true;
      return;
    case EventKind::source_is_running:
      facts_.guest_was_running = true;
      return;
    case EventKind::source_is_paused:
      facts_.guest_was_running = false;
      return;
    case EventKind::deadline:
      if (recovering_source()) facts_.source = Source::lost;
      if (state_ == State::inquiring_destination) facts_.destination = Destination::gone;
      return;
    default:
      break;
  }
  note_source(event);
  note_destination(event);
}

void Plan::note_source(EventKind event) {
  const bool recovering = recovering_source();
  switch (event) {
    case EventKind::source_active:
      if (facts_.source == Source::idle) facts_.source = Source::moving;
      return;
    case EventKind::source_pre_switchover:
      facts_.source = Source::paused;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_device:
      facts_.source = Source::switching;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_completed:
      facts_.source = Source::completed;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_postcopy:
      facts_.source = Source::serving;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_postcopy_paused:
      facts_.source = Source::cut_off;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_failed:
      facts_.source = serves() ? Source::parted : Source::failed;
      return;
    case EventKind::source_error:
      if (state_ == State::starting) facts_.source = Source::idle;  // it never began
      if (recovering) facts_.source = Source::lost;
      return;
    case EventKind::source_is_unfit:  // postmigrate: cancelled in postcopy
      if (state_ == State::inquiring_guest) facts_.source = Source::parted;
      facts_.source_stopped |= recovering;
      return;
    case EventKind::source_stopped:
      facts_.source_stopped = true;
      return;
    case EventKind::source_resumed:
      facts_.source_stopped = false;
      if (facts_.source == Source::paused || facts_.source == Source::switching) {
        facts_.source = Source::resumed;
      }
      // Somebody said cont after it had completed; no other status will follow.
      if (facts_.source == Source::completed || facts_.source == Source::parted) {
        facts_.source = Source::failed;
      }
      return;
    case EventKind::source_lost:
      // What becomes of the memory says the destination, too.
      if (serves() && !recovering) return;
      // Before `migrate` there is nothing of ours in it that could be out of reach.
      if (facts_.source != Source::idle || recovering) facts_.source = Source::lost;
      return;
    default:
      return;
  }
}

bool Plan::recovering_source() const {
  return state_ == State::inquiring_source || state_ == State::inquiring_guest;
}

bool Plan::serves() const {
  return facts_.source == Source::serving || facts_.source == Source::cut_off;
}

void Plan::note_destination(EventKind event) {
  const bool recovering = state_ == State::inquiring_destination;
  switch (event) {
    case EventKind::destination_completed:
      if (facts_.destination != Destination::resumed) facts_.destination = Destination::loaded;
      facts_.all_arrived = true;
      if (serves()) facts_.source = Source::switching;  // it has yet to say that it has completed
      return;
    case EventKind::destination_resumed:
      facts_.destination = Destination::resumed;
      return;
    case EventKind::destination_failed:
    case EventKind::destination_lost:
      facts_.destination = Destination::gone;
      return;
    case EventKind::destination_is_running:
      if (recovering) facts_.destination = Destination::resumed;
      return;
    case EventKind::destination_is_paused:
      if (recovering) facts_.destination = Destination::loaded;
      return;
    case EventKind::destination_is_waiting:
      // After a migration that ended, a QEMU that waits was started for the next one.
      if (recovering && facts_.source != Source::failed)
        facts_.destination = Destination::listening;
      return;
    case EventKind::destination_is_unfit:
    case EventKind::destination_error:
      if (recovering) facts_.destination = Destination::gone;
      return;
    default:
      return;
  }
}

}  // namespace baton::control::migration
