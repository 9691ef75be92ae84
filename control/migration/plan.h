// The migration coordinator's decisions, pure: events in, actions out
// (docs/migration-coordinator.md draws the machine; a test keeps the drawing true).
//
// One principle carries every row: **the storage decides which guest goes on, the coordinator makes
// the guests agree with it.** Until the destination guest runs, the source node keeps the baton and
// has only offered it (design §4, "Who asks" (b)): whichever guest writes first decides, and the
// other one cannot write any more. So a failure is never answered by guessing which QEMU lives, but
// by asking the storage to grant or to take back, and by then running the guest on the side that
// the storage named. A QEMU is told to quit only when the baton is known to be with the other one.
//
// The machine is two kinds of tables. Rows (plan_rows.cpp) say what each event means in each state.
// Where that depends on what else is known (Facts), a row leads to a decision, a table of its own
// (plan_decisions.cpp). Row names are the words of the log, of the document and of the tests.
//
// What is not here: QMP's syntax (qmp.h), who carries the actions out (coordinator.h), the storage
// (storage_handover.h).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace baton::control::migration {

enum class State : std::uint8_t {
  idle,
  inquiring_source,       // recovery: what does the source QEMU say of its migration?
  inquiring_guest,        // recovery: it has failed; does its guest run?
  inquiring_destination,  // recovery: what does the destination QEMU do?
  preparing,              // the storage checks that it could hand over; nothing is changed
  checking_source,
  checking_destination,
  arming_source,  // capabilities
  arming_destination,
  listening,             // migrate-incoming
  locating,              // the destination chose its port: which one?
  starting,              // migrate
  transferring,          // memory is copied while the guest runs at the source
  postcopy_asked,        // migrate-start-postcopy: the same, until QEMU switches of itself
  offering,              // source QEMU in pre-switchover: quiesce, offer
  continuing,            // migrate-continue sent
  switching,             // both QEMUs finish; the guest runs nowhere, then at the destination
  granting,              // the coordinator's word: the destination runs
  confirming,            // the destination took the baton by a write: does its QEMU really run?
  starting_destination,  // cont, for a destination that was started with -S
  finishing,             // the guest runs at the destination: the source QEMU has yet to complete
  postcopy,              // the same, and the destination fetches memory from the source
  retiring,              // quit the source QEMU
  withdrawing,  // take the offer (or the unused baton) back, before anything else is undone
  cancelling,   // migrate_cancel; the source QEMU resumes its guest
  resuming,     // cont at the source, after it had completed
  moved,        // final: the guest runs at the destination
  stayed,       // final: the guest belongs to the source
  lost,         // final: the disk is at the destination, whose QEMU is gone
  divided,      // final: the guest runs at the destination, some of its memory is at the source
  undecided,    // final: the nodes must hear each other first; neither QEMU was touched
  checked,      // final: it could have begun, and nothing was changed
};
inline constexpr int state_count = 32;

enum class EventKind : std::uint8_t {
  start,    // move the guest
  recover,  // an earlier coordinator died: finish or undo what it left
  cancel,   // an operator's word
  deadline,
  progress,       // memory is moving
  source_passed,  // all memory was sent once, and some of it has changed since
  // the storage's answers
  prepared,
  refused,
  offered,
  offer_failed,  // nothing is offered, the source admits writes as before
  baton_at_source,
  baton_at_destination,
  baton_undecided,
  // QMP: the reply to the last command
  source_ok,
  source_error,
  destination_ok,
  destination_error,
  // QMP: query-status
  source_is_running,
  source_is_paused,
  source_is_unfit,
  destination_is_waiting,  // inmigrate
  destination_is_running,
  destination_is_paused,
  destination_is_unfit,
  // QMP: query-migrate and MIGRATION events
  source_none,
  source_active,
  source_pre_switchover,
  source_device,
  source_completed,
  source_failed,           // or cancelled
  source_postcopy,         // the destination has the guest, and fetches memory
  source_postcopy_paused,  // the path between them is gone
  destination_located,
  destination_completed,
  destination_failed,
  destination_postcopy_paused,
  // QMP: other events
  source_stopped,
  source_resumed,
  destination_resumed,
  // the connection to a QMP is gone: the QEMU may be dead or merely out of reach
  source_lost,
  destination_lost,
};
inline constexpr int event_count = 41;

enum class Action : std::uint8_t {
  storage_prepare,
  storage_offer,
  storage_grant,
  storage_take_back,
  source_query_status,
  source_query_migrate,
  source_set_capabilities,
  source_migrate,
  source_start_postcopy,
  source_continue,
  source_cancel,
  source_cont,
  source_quit,
  destination_query_status,
  destination_set_capabilities,
  destination_incoming,
  destination_locate,
  destination_cont,
  destination_quit,
};

// Which deadline runs in a state. `none` where the storage works: its verbs bring their own.
enum class Patience : std::uint8_t { none, reply, stall, switch_over, cancel, quit };

// What is known of each QEMU, beyond the state.
enum class Source : std::uint8_t {
  idle,       // no migration of ours
  moving,     // copying memory; the guest runs
  paused,     // pre-switchover: stopped, drained, flushed
  switching,  // told to go on; writes nothing any more unless it fails
  serving,    // postcopy: the destination fetches memory; writes nothing any more
  cut_off,    // the same, without a path to the destination; it can do nothing else any more
  parted,     // cancelled in postcopy: its guest is stopped, and would obey cont
  completed,  // postmigrate: writes nothing unless told to cont
  resumed,    // its guest runs again, its migration has not ended yet
  failed,     // failed or cancelled: its guest runs again, or is about to
  lost,
};
enum class Destination : std::uint8_t { fresh, listening, loaded, resumed, gone };

struct Facts {
  Source source = Source::idle;
  Destination destination = Destination::fresh;
  bool guest_was_running = true;
  bool source_stopped = false;  // a STOP without a RESUME after it
  bool cancel_requested = false;
  bool discarded = false;  // the destination was told to quit
  bool postcopy_asked = false;
  bool all_arrived = false;  // the destination has all of the memory
  friend bool operator==(const Facts&, const Facts&) = default;
};

struct PlanOptions {
  bool only_check = false;    // end where something would be changed
  bool ask_for_port = false;  // the uri leaves the port to the destination
  bool quit_source = true;    // after the move; otherwise its stopped QEMU is left to the user
  bool postcopy = false;      // switch when memory was sent once, and fetch the rest
};

enum class RowKind : std::uint8_t {
  go,       // a step of the plan
  fail,     // the first one taken is the reason of the outcome
  noted,    // changes Facts at most; whoever waits goes on waiting
  refusal,  // makes no sense here and changes nothing; for `cancel` the user is told
};

struct Step {
  std::string_view row;  // of plan_rows.cpp or, after a decision, of plan_decisions.cpp
  RowKind kind = RowKind::noted;
  State from = State::idle;
  State to = State::idle;
  std::vector<Action> actions;  // in this order
  bool rearm_deadline = false;  // with patience_of(to)
};

class Plan {
 public:
  explicit Plan(PlanOptions options = {}) : options_(options) {}

  // Never fails: every event has a row in every state.
  Step on(EventKind event);

  // Whether `cancel` would be heeded now.
  bool can_cancel() const;

  State state() const { return state_; }
  const Facts& facts() const { return facts_; }
  bool over() const;
  // The row that turned the plan away from its course; empty while there was none.
  std::string_view reason() const { return reason_; }

  friend bool operator==(const Plan& a, const Plan& b) {
    return a.state_ == b.state_ && a.facts_ == b.facts_;
  }

 private:
  void note(EventKind event);
  void note_source(EventKind event);
  bool recovering_source() const;
  bool serves() const;
  void note_destination(EventKind event);
  void enter(State next, Step& step);
  void discard_destination(Step& step);

  PlanOptions options_;
  State state_ = State::idle;
  Facts facts_;
  std::string_view reason_;
};

Patience patience_of(State state);
std::string_view name_of(State state);
std::string_view name_of(EventKind event);
std::string_view name_of(Action action);
std::string_view name_of(Source source);
std::string_view name_of(Destination destination);

}  // namespace baton::control::migration
