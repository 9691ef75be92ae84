// The coordinator's ears: what the QEMUs say, and what is shown of it.
#include "control/migration/coordinator.h"
#include "control/migration/qmp_words.h"

namespace baton::control::migration {
namespace {

// Between the events and our hearing of them lie two sockets; the stamps may be that much apart.
constexpr Duration clock_slack = std::chrono::milliseconds(5);

}  // namespace

void Coordinator::qmp_reply(Side side, std::uint64_t id, const Result<boost::json::value>& value) {
  const bool source = side == Side::source;
  if (source && id == poll_id_) {
    poll_id_ = 0;
    if (value) take_progress(*value);
    return;
  }
  const Awaited& awaited = source ? awaited_source_ : awaited_destination_;
  if (id != awaited.id) return;  // the plan has gone on without it
  if (awaited.action == Action::destination_locate && value) {
    if (const auto port = port_in(*value)) options_.uri = options_.uri.with_port(*port);
  }
  Heard heard = heard_from(awaited.action, value);
  post(heard.kind, std::move(heard.detail));
}

void Coordinator::qmp_event(Side side, const QmpEvent& event) {
  std::optional<Heard> heard = heard_from(side, event);
  if (!heard) return;
  const Moment moment{clock_.now(), event.at};
  if (heard->kind == EventKind::source_stopped) {
    stopped_ = moment;
    source_resumed_.reset();
  }
  // Of two that resume, the one that the storage let go on counts; report() knows which.
  if (heard->kind == EventKind::source_resumed) source_resumed_ = moment;
  if (heard->kind == EventKind::destination_resumed) destination_resumed_ = moment;
  post(heard->kind, std::move(heard->detail));
}

void Coordinator::qmp_lost(Side side, const std::string& reason) {
  post(side == Side::source ? EventKind::source_lost : EventKind::destination_lost, reason);
}

void Coordinator::poll_progress() {
  next_poll_ = clock_.now() + options_.deadlines.poll;
  if (poll_id_ == 0) poll_id_ = source_.submit("query-migrate");
}

void Coordinator::take_progress(const boost::json::value& reply) {
  qemu_error_ = string_at(reply, "error-desc");
  if (const std::uint64_t milliseconds = number_at(reply, "downtime")) {
    qemu_downtime_ = std::chrono::milliseconds(milliseconds);
  }
  const boost::json::object* body = reply.if_object();
  const boost::json::value* ram = body == nullptr ? nullptr : body->if_contains("ram");
  if (ram == nullptr) return;
  const std::uint64_t before = ram_.transferred_bytes;
  ram_.transferred_bytes = number_at(*ram, "transferred");
  ram_.remaining_bytes = number_at(*ram, "remaining");
  ram_.total_bytes = number_at(*ram, "total");
  ram_.dirty_pages_per_second = number_at(*ram, "dirty-pages-rate");
  ram_.expected_downtime_ms = number_at(reply, "expected-downtime");
  if (patience_of(plan_.state()) == Patience::stall) {
    if (ram_.transferred_bytes != before) post(EventKind::progress);
    show_progress();
  }
}

void Coordinator::show_progress() {
  observer_.migration_progress({.state = plan_.state(),
                                .phase = phase_of(plan_.state()),
                                .ram = ram_,
                                .elapsed = clock_.now() - began_});
}

MigrationReport Coordinator::report() const {
  MigrationReport report;
  report.outcome = plan_.state();
  report.reason = plan_.reason();
  report.last_row = last_row_;
  // "failed" says nothing where QEMU has told more.
  const bool bare = detail_.empty() || detail_ == "failed";
  report.sentence = summary_of(report.outcome, report.reason, last_row_, options_.names,
                               bare && !qemu_error_.empty() ? qemu_error_ : detail_);
  const bool there = report.outcome == State::moved || report.outcome == State::divided;
  const std::optional<Moment>& resumed = there ? destination_resumed_ : source_resumed_;
  if (stopped_ && resumed) {
    const Duration heard = resumed->heard - stopped_->heard;
    const Duration stamped = resumed->stamped - stopped_->stamped;
    // Two hosts' clocks: a pause that is negative, or longer than we watched, is not one.
    report.pause_by_event_stamps = stamped.count() >= 0 && stamped <= heard + clock_slack;
    report.guest_pause = report.pause_by_event_stamps ? stamped : heard;
  }
  report.storage_offer = storage_offer_;
  report.storage_grant = storage_grant_;
  report.total = clock_.now() - began_;
  report.ram = ram_;
  report.qemu_downtime = qemu_downtime_;
  return report;
}

}  // namespace baton::control::migration
