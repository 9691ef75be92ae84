#include "control/migration/coordinator.h"

#include <algorithm>

#include "control/migration/qmp_words.h"

namespace baton::control::migration {
namespace {

// Once all is decided: for the replies to commands that nothing depends on (the destination's quit,
// QEMU's description of an error). A QEMU that reads the end of our connection before the command
// may drop the command.
constexpr Duration settle_patience = std::chrono::seconds(2);

}  // namespace

Coordinator::Coordinator(Loop& loop, Clock& clock, QmpChannel& source, QmpChannel& destination,
                         StorageHandover& storage, MigrationObserver& observer,
                         MigrationOptions options)
    : clock_(clock),
      storage_(storage),
      observer_(observer),
      options_(std::move(options)),
      plan_(PlanOptions{.only_check = options_.only_check,
                        .ask_for_port = options_.uri.leaves_port_open(),
                        .quit_source = options_.quit_source,
                        .postcopy = options_.postcopy}),
      source_(Side::source, source, loop, *this),
      destination_(Side::destination, destination, loop, *this),
      arrived_(loop),
      scope_(loop) {}

Task<MigrationReport> Coordinator::drive(EventKind first) {
  began_ = clock_.now();
  scope_.spawn(source_.receive_all());
  scope_.spawn(source_.send_all());
  scope_.spawn(destination_.receive_all());
  scope_.spawn(destination_.send_all());
  post(first);
  while (!plan_.over()) {
    if (queue_.empty()) {
      co_await wait_for_events();
      continue;
    }
    const Pending event = std::move(queue_.front());
    queue_.pop_front();
    handle(event);
  }
  co_await settle();
  source_.close();
  destination_.close();
  co_await scope_.join();
  co_return report();
}

// Until something was posted, or a deadline or the time to look at the progress has come.
Task<> Coordinator::wait_for_events() {
  const TimePoint wake = std::min(deadline_, next_poll_);
  co_await arrived_.wait_until(clock_, wake);
  const TimePoint now = clock_.now();
  if (now >= next_poll_) look_again();
  // What was heard in the meantime counts first: a late timer is no evidence (rule 11).
  if (queue_.empty() && now >= deadline_) {
    // A drain without end (a disk that hangs): rather a cancel that may be lost than none.
    if (cancel_held_) {
      release_held_cancel();
      co_return;
    }
    deadline_ = TimePoint::never();
    post(EventKind::deadline);
  }
}

void Coordinator::look_again() {
  if (plan_.state() == State::cancelling) return release_stuck_cancel();
  poll_progress();
}

// A migrate_cancel that QEMU 7.2 executes just when its drain ends is lost, and with it the guest:
// migration_maybe_pause() has looked for a cancel already, gives up the lock, and then waits for a
// migrate-continue. One that names the state `cancelling` ends that wait, and the cancel takes its
// course; where nothing waits, QEMU refuses it or forgets it. Said again until the source has
// answered, since one that comes before the wait is forgotten, too.
void Coordinator::release_stuck_cancel() {
  next_poll_ = clock_.now() + options_.deadlines.poll;
  if (cancel_held_) return;
  const QmpCommand command = go_on_cancelling();
  source_.submit(command.name, command.arguments);
}

Task<> Coordinator::settle() {
  const TimePoint end = clock_.now() + settle_patience;
  // Only query-migrate knows why a migration failed; it also has the final figures.
  if (!plan_.reason().empty() && awaited_source_.id != 0) poll_progress();
  while (!source_.settled() && clock_.now() < end) {
    co_await source_.changed().wait_until(clock_, end);
  }
  while (!destination_.settled() && clock_.now() < end) {
    co_await destination_.changed().wait_until(clock_, end);
  }
}

void Coordinator::post(EventKind kind, std::string detail) {
  queue_.push_back({kind, std::move(detail)});
  arrived_.notify_all();
}

Result<> Coordinator::cancel() {
  if (plan_.can_cancel()) {
    post(EventKind::cancel);
    return {};
  }
  const std::string_view row = plan_.over() ? "already_over" : "too_late_to_cancel";
  return failure(sentence_of(row, options_.names, {}));
}

void Coordinator::handle(const Pending& event) {
  const bool on_course = plan_.reason().empty();
  const Step step = plan_.on(event.kind);
  last_row_ = step.row;
  if (on_course && !plan_.reason().empty()) detail_ = event.detail;
  if (step.rearm_deadline) rearm_deadline();
  observer_.migration_step(step, event.kind, event.detail);
  if (step.to != step.from) show_progress();
  for (const Action action : step.actions) begin(action);
  if (cancel_held_ && !source_is_draining()) release_held_cancel();
}

// Between its STOP and pre-switchover.
bool Coordinator::source_is_draining() const {
  return plan_.facts().source == Source::moving && plan_.facts().source_stopped;
}

void Coordinator::release_held_cancel() {
  cancel_held_ = false;
  if (plan_.state() != State::cancelling) return;  // it failed by itself meanwhile
  submit(Action::source_cancel);
  rearm_deadline();
}

void Coordinator::begin(Action action) {
  if (is_storage(action)) return begin_storage(action);
  // The last look at QEMU's figures, before it quits with them.
  if (action == Action::source_quit) poll_progress();
  // The lock is held during the drain, so its very end is when a cancel sent meanwhile comes to its
  // turn: the one moment when it gets stuck (release_stuck_cancel()). After it there is no such.
  if (action == Action::source_cancel && source_is_draining()) {
    cancel_held_ = true;
    return;
  }
  submit(action);
}

void Coordinator::submit(Action action) {
  const QmpCommand command =
      command_of(action, {.uri = options_.uri.text(), .postcopy = options_.postcopy});
  const bool source = command.side == Side::source;
  QmpSession& session = source ? source_ : destination_;
  const std::uint64_t id = session.submit(command.name, command.arguments);
  (source ? awaited_source_ : awaited_destination_) = {id, action};
}

void Coordinator::begin_storage(Action action) {
  storage_began_ = clock_.now();
  switch (action) {
    case Action::storage_prepare:
      return scope_.spawn(prepare());
    case Action::storage_offer:
      return scope_.spawn(offer());
    default:
      return scope_.spawn(move_baton(action));
  }
}

Task<> Coordinator::prepare() {
  const Result<> ready = co_await storage_.prepare(storage_began_ + options_.deadlines.prepare);
  if (ready) {
    post(EventKind::prepared);
  } else {
    post(EventKind::refused, ready.error().message);
  }
}

Task<> Coordinator::offer() {
  const Result<> made =
      co_await storage_.quiesce_and_offer(storage_began_ + options_.deadlines.offer);
  storage_offer_ = clock_.now() - storage_began_;
  if (made) {
    post(EventKind::offered);
  } else {
    post(EventKind::offer_failed, made.error().message);
  }
}

Task<> Coordinator::move_baton(Action action) {
  const TimePoint began = storage_began_;
  const bool granting = action == Action::storage_grant;
  const Deadlines& limits = options_.deadlines;
  Task<HandoverAnswer> verb = granting ? storage_.grant(began + limits.grant)
                                       : storage_.take_back(began + limits.take_back);
  const HandoverAnswer answer = co_await std::move(verb);
  if (granting) storage_grant_ = clock_.now() - began;
  switch (answer.baton) {
    case BatonAt::source:
      post(EventKind::baton_at_source, answer.reason);
      break;
    case BatonAt::destination:
      post(EventKind::baton_at_destination, answer.reason);
      break;
    case BatonAt::undecided:
      post(EventKind::baton_undecided, answer.reason);
      break;
  }
}

void Coordinator::rearm_deadline() {
  const Deadlines& limits = options_.deadlines;
  const TimePoint now = clock_.now();
  const Patience patience = patience_of(plan_.state());
  switch (patience) {
    case Patience::none:
      deadline_ = TimePoint::never();
      break;
    case Patience::reply:
      deadline_ = now + limits.reply;
      break;
    case Patience::stall:
      deadline_ = now + limits.stall;
      break;
    case Patience::switch_over:
      deadline_ = now + limits.switch_over;
      break;
    case Patience::cancel:
      deadline_ = now + limits.cancel;
      break;
    case Patience::quit:
      deadline_ = now + limits.quit;
      break;
  }
  const bool looking = patience == Patience::stall || plan_.state() == State::cancelling;
  next_poll_ = looking ? std::min(next_poll_, now + limits.poll) : TimePoint::never();
}

}  // namespace baton::control::migration
