// What each event means in each state. Read it from top to bottom as a migration goes; the defaults
// at the end say what an event means where no row names it.
#include <array>

#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

using S = State;
using E = EventKind;
using D = Decision;
constexpr RowKind go = RowKind::go;
constexpr RowKind fail = RowKind::fail;
constexpr RowKind noted = RowKind::noted;
constexpr RowKind refusal = RowKind::refusal;

// Nothing that could not be left standing was done yet.
constexpr StateSet setup{S::preparing,     S::checking_source,    S::checking_destination,
                         S::arming_source, S::arming_destination, S::listening,
                         S::locating};
constexpr StateSet sending{S::starting, S::transferring, S::postcopy_asked};
constexpr StateSet before_the_offer = setup | sending;
// The source QEMU was allowed to go on, or went on by itself.
constexpr StateSet switching{S::continuing, S::switching};
constexpr StateSet inquiring{S::inquiring_source, S::inquiring_guest};
constexpr StateSet told_to_run{S::starting_destination};
constexpr StateSet finals{S::moved, S::stayed, S::lost, S::divided, S::undecided, S::checked};

// clang-format off
constexpr auto table = std::to_array<Row>({

    // Before the guest is touched: every failure leaves everything as it was.
    {S::idle, E::start, "begin", S::preparing, go},
    {S::preparing, E::prepared, "storage_ready", S::checking_source, go},
    {S::preparing, E::refused, "storage_refuses", D::leave, fail},
    {S::checking_source, E::source_is_running, "source_runs", S::checking_destination, go},
    {S::checking_source, E::source_is_paused, "source_paused", S::checking_destination, go},
    {S::checking_source, E::source_is_unfit, "source_unfit", D::leave, fail},
    {S::checking_source, E::source_error, "source_refuses", D::leave, fail},
    {S::checking_destination, E::destination_is_waiting, "destination_waits", D::touch, go},
    {S::checking_destination, E::destination_is_running, "destination_in_use", D::leave, fail},
    {S::checking_destination, E::destination_is_paused, "destination_in_use", D::leave, fail},
    {S::checking_destination, E::destination_is_unfit, "destination_in_use", D::leave, fail},
    {S::checking_destination, E::destination_error, "destination_refuses", D::leave, fail},
    {S::arming_source, E::source_ok, "source_armed", S::arming_destination, go},
    {S::arming_source, E::source_error, "source_refuses", D::leave, fail},
    {S::arming_destination, E::destination_ok, "destination_armed", S::listening, go},
    {S::arming_destination, E::destination_error, "destination_refuses", D::leave, fail},
    {S::listening, E::destination_ok, "destination_listens", D::port, go},
    {S::listening, E::destination_error, "destination_cannot_listen", D::leave, fail},
    {S::locating, E::destination_located, "port_known", S::starting, go},
    {S::locating, E::destination_error, "port_unknown", D::leave, fail},

    // Memory moves, the guest runs at the source.
    {S::starting, E::source_ok, "transfer_begins", S::transferring, go},
    {S::starting, E::source_error, "source_cannot_migrate", D::leave, fail},
    {S::transferring, E::progress, "memory_moves", S::transferring, go},
    {S::transferring, E::source_passed, "memory_sent_once", D::pass, go},
    {S::postcopy_asked, E::progress, "memory_moves", S::postcopy_asked, go},
    {S::postcopy_asked, E::source_ok, "postcopy_follows", D::stay, noted},
    {S::postcopy_asked, E::source_error, "postcopy_refused", D::stay, noted},
    {sending, E::source_failed, "transfer_failed", D::leave, fail},
    {sending, E::source_pre_switchover, "source_pauses", S::offering, go},
    // A QEMU that ignores pause-before-switchover has switched without us. Its guest stopped after
    // an answered flush, and a QEMU that has completed does not write: an offer is still right. Not
    // so on the destination's RESUME alone: until the source completes, it may fail, resume and
    // write before the offer is made.
    {sending, E::source_completed, "source_skipped_the_pause", S::offering, go},
    {sending, E::source_postcopy, "source_skipped_the_pause", S::offering, go},
    {sending, E::source_postcopy_paused, "transfer_failed", D::leave, fail},
    {before_the_offer, E::cancel, "cancelled_in_time", D::leave, fail},
    {before_the_offer, E::source_lost, "source_lost_before_the_switch", D::leave, fail},
    {before_the_offer, E::destination_lost, "destination_lost_before_the_switch", D::leave, fail},
    {before_the_offer, E::destination_failed, "destination_lost_before_the_switch", D::leave, fail},
    {setup | S::starting, E::deadline, "no_answer", D::leave, fail},
    {S::transferring, E::deadline, "transfer_stalled", D::leave, fail},
    {S::postcopy_asked, E::deadline, "transfer_stalled", D::leave, fail},

    // The guest runs nowhere: the storage offers, then the source QEMU goes on.
    {S::offering, E::offered, "offer_made", D::may_switch, go},
    {S::offering, E::offer_failed, "offer_failed", D::leave, fail},
    {S::offering, E::cancel, "cancel_after_the_offer", D::stay, noted},
    {S::continuing, E::source_ok, "source_goes_on", S::switching, go},
    {switching, E::source_error, "source_will_not_go_on", S::withdrawing, fail},
    {switching, E::source_completed, "outcome_heard", D::outcome, go},
    {switching, E::source_failed, "outcome_heard", D::outcome, go},
    {switching, E::source_postcopy, "outcome_heard", D::outcome, go},
    {switching, E::source_postcopy_paused, "outcome_heard", D::outcome, go},
    {switching, E::source_resumed, "outcome_heard", D::outcome, go},
    {switching, E::source_lost, "outcome_heard", D::outcome, go},
    {switching, E::destination_completed, "outcome_heard", D::outcome, go},
    {switching, E::destination_resumed, "outcome_heard", D::outcome, go},
    {switching, E::destination_failed, "outcome_heard", D::outcome, go},
    {switching, E::destination_lost, "outcome_heard", D::outcome, go},
    {switching, E::deadline, "patience_over", D::overdue, go},

    // The storage has decided for the destination.
    {S::granting, E::baton_at_destination, "granted", D::granted, go},
    {S::granting, E::baton_at_source, "source_wrote_first", D::leave, fail},
    {S::granting, E::baton_undecided, "grant_unanswered", S::undecided, fail},
    {told_to_run, E::destination_ok, "destination_started", D::retire, go},
    {told_to_run, E::destination_resumed, "destination_started", D::retire, go},
    {told_to_run, E::destination_error, "destination_will_not_run", S::withdrawing, fail},
    {told_to_run, E::destination_failed, "destination_will_not_run", S::withdrawing, fail},
    {told_to_run, E::destination_lost, "destination_will_not_run", S::withdrawing, fail},
    {told_to_run, E::deadline, "destination_will_not_run", S::withdrawing, fail},
    {S::confirming, E::destination_is_running, "destination_confirmed", D::retire, go},
    {S::confirming, E::destination_resumed, "destination_confirmed", D::retire, go},
    {S::confirming, E::destination_is_paused, "destination_paused", S::lost, fail},
    {S::confirming, E::destination_is_waiting, "destination_unconfirmed", S::lost, fail},
    {S::confirming, E::destination_is_unfit, "destination_unconfirmed", S::lost, fail},
    {S::confirming, E::destination_error, "destination_unconfirmed", S::lost, fail},
    {S::confirming, E::destination_failed, "destination_unconfirmed", S::lost, fail},
    {S::confirming, E::destination_lost, "destination_unconfirmed", S::lost, fail},
    {S::confirming, E::deadline, "destination_unconfirmed", S::lost, fail},
    {S::finishing, E::source_completed, "source_finished", D::retire, go},
    {S::finishing, E::source_failed, "source_finished", D::retire, go},
    {S::finishing, E::source_resumed, "source_finished", D::retire, go},
    {S::finishing, E::source_lost, "source_finished", D::retire, go},
    {S::finishing, E::source_postcopy, "postcopy_begins", D::retire, go},
    {S::finishing, E::source_postcopy_paused, "source_finished", D::retire, go},
    {S::finishing, E::deadline, "source_slow_to_finish", D::unfinished, go},
    {S::postcopy, E::progress, "memory_is_fetched", S::postcopy, go},
    {S::postcopy, E::source_completed, "source_finished", D::retire, go},
    {S::postcopy, E::destination_completed, "memory_has_arrived", D::retire, go},
    {S::postcopy, E::source_failed, "memory_path_lost", S::divided, fail},
    {S::postcopy, E::source_postcopy_paused, "memory_path_lost", S::divided, fail},
    {S::postcopy, E::destination_postcopy_paused, "memory_path_lost", S::divided, fail},
    {S::postcopy, E::deadline, "memory_fetched_no_more", S::divided, fail},
    {S::retiring, E::source_ok, "source_retired", S::moved, go},
    {S::retiring, E::source_lost, "source_retired", S::moved, go},
    {S::retiring, E::source_error, "source_not_retired", S::moved, go},
    {S::retiring, E::deadline, "source_not_retired", S::moved, go},

    // Back to the source: the storage first, then its QEMU.
    {S::withdrawing, E::baton_at_source, "source_keeps_the_baton", D::leave, go},
    {S::withdrawing, E::baton_at_destination, "destination_keeps_the_baton", D::kept, go},
    {S::withdrawing, E::baton_undecided, "withdrawal_unanswered", S::undecided, fail},
    {S::cancelling, E::source_failed, "source_cancelled", D::leave, go},
    {S::cancelling, E::source_postcopy_paused, "source_cut_off", D::leave, go},
    {S::cancelling, E::source_resumed, "source_resumed", D::leave, go},
    {S::cancelling, E::source_completed, "cancelled_too_late", D::leave, go},
    {S::cancelling, E::source_lost, "source_lost_while_cancelling", D::leave, fail},
    {S::cancelling, E::deadline, "source_slow_to_cancel", S::stayed, fail},
    {S::resuming, E::source_ok, "source_runs_again", S::stayed, go},
    {S::resuming, E::source_resumed, "source_runs_again", S::stayed, go},
    {S::resuming, E::source_error, "source_will_not_run", S::stayed, fail},
    {S::resuming, E::source_lost, "source_will_not_run", S::stayed, fail},
    {S::resuming, E::deadline, "source_will_not_run", S::stayed, fail},

    // What an earlier coordinator left is found out, then treated as a switch with no patience
    // left.
    {S::idle, E::recover, "look_around", S::inquiring_source, go},
    {S::inquiring_source, E::source_none, "nothing_to_recover", S::stayed, go},
    {S::inquiring_source, E::source_active, "source_found", S::inquiring_destination, go},
    {S::inquiring_source, E::source_pre_switchover, "source_found", S::inquiring_destination, go},
    {S::inquiring_source, E::source_device, "source_found", S::inquiring_destination, go},
    {S::inquiring_source, E::source_completed, "source_found", S::inquiring_destination, go},
    {S::inquiring_source, E::source_failed, "source_found", S::inquiring_guest, go},
    {S::inquiring_source, E::source_postcopy, "source_found", S::inquiring_destination, go},
    {S::inquiring_source, E::source_postcopy_paused, "source_found", S::inquiring_destination, go},
    {S::inquiring_guest, E::source_is_running, "source_found", S::inquiring_destination, go},
    {S::inquiring_guest, E::source_is_paused, "source_found", S::inquiring_destination, go},
    {S::inquiring_guest, E::source_is_unfit, "source_found", S::inquiring_destination, go},
    {inquiring, E::source_error, "source_silent", S::inquiring_destination, go},
    {inquiring, E::source_lost, "source_silent", S::inquiring_destination, go},
    {inquiring, E::deadline, "source_silent", S::inquiring_destination, go},
    {S::inquiring_destination, E::destination_is_running, "destination_found", D::found, go},
    {S::inquiring_destination, E::destination_is_paused, "destination_found", D::found, go},
    {S::inquiring_destination, E::destination_is_waiting, "destination_found", D::found, go},
    {S::inquiring_destination, E::destination_is_unfit, "destination_silent", D::found, go},
    {S::inquiring_destination, E::destination_error, "destination_silent", D::found, go},
    {S::inquiring_destination, E::destination_lost, "destination_silent", D::found, go},
    {S::inquiring_destination, E::deadline, "destination_silent", D::found, go},
});

constexpr auto defaults = std::to_array<Row>({

    {{}, E::start, "already_begun", D::stay, refusal},
    {{}, E::recover, "already_begun", D::stay, refusal},
    {{}, E::cancel, "too_late_to_cancel", D::stay, refusal},
    {{}, E::deadline, "no_deadline_here", D::stay, refusal},
    {{}, E::progress, "late_progress", D::stay, refusal},
    {{}, E::source_passed, "memory_sent_again", D::stay, noted},
    {{}, E::prepared, "storage_not_asked", D::stay, refusal},
    {{}, E::refused, "storage_not_asked", D::stay, refusal},
    {{}, E::offered, "storage_not_asked", D::stay, refusal},
    {{}, E::offer_failed, "storage_not_asked", D::stay, refusal},
    {{}, E::baton_at_source, "storage_not_asked", D::stay, refusal},
    {{}, E::baton_at_destination, "storage_not_asked", D::stay, refusal},
    {{}, E::baton_undecided, "storage_not_asked", D::stay, refusal},
    {{}, E::source_ok, "late_reply", D::stay, refusal},
    {{}, E::source_error, "late_reply", D::stay, refusal},
    {{}, E::destination_ok, "late_reply", D::stay, refusal},
    {{}, E::destination_error, "late_reply", D::stay, refusal},
    {{}, E::source_is_running, "late_reply", D::stay, refusal},
    {{}, E::source_is_paused, "late_reply", D::stay, refusal},
    {{}, E::source_is_unfit, "late_reply", D::stay, refusal},
    {{}, E::destination_is_waiting, "late_reply", D::stay, refusal},
    {{}, E::destination_is_running, "late_reply", D::stay, refusal},
    {{}, E::destination_is_paused, "late_reply", D::stay, refusal},
    {{}, E::destination_is_unfit, "late_reply", D::stay, refusal},
    {{}, E::source_none, "late_reply", D::stay, refusal},
    {{}, E::source_active, "source_migrates", D::stay, noted},
    {{}, E::source_pre_switchover, "source_paused_already", D::stay, noted},
    {{}, E::source_device, "source_switches", D::stay, noted},
    {{}, E::source_completed, "source_done", D::stay, noted},
    {{}, E::source_failed, "source_gave_up", D::stay, noted},
    {{}, E::source_postcopy, "source_serves_memory", D::stay, noted},
    {{}, E::source_postcopy_paused, "source_cut_off", D::stay, noted},
    {{}, E::destination_located, "late_reply", D::stay, refusal},
    {{}, E::destination_completed, "destination_loaded", D::stay, noted},
    {{}, E::destination_failed, "destination_gave_up", D::stay, noted},
    {{}, E::destination_postcopy_paused, "destination_cut_off", D::stay, noted},
    {{}, E::source_stopped, "source_guest_stopped", D::stay, noted},
    {{}, E::source_resumed, "source_guest_resumed", D::stay, noted},
    {{}, E::destination_resumed, "destination_guest_resumed", D::stay, noted},
    {{}, E::source_lost, "source_out_of_reach", D::stay, noted},
    {{}, E::destination_lost, "destination_out_of_reach", D::stay, noted},
});
// clang-format on
static_assert(defaults.size() == event_count);

constexpr Row over{finals, E::start, "already_over", D::stay, refusal};

}  // namespace

std::span<const Row> rows() {
  return table;
}
std::span<const Row> default_rows() {
  return defaults;
}
const Row& final_row() {
  return over;
}
StateSet final_states() {
  return finals;
}

const Row& row_for(State state, EventKind event) {
  if (finals.contains(state)) return over;
  for (const Row& row : table) {
    if (row.event == event && row.states.contains(state)) return row;
  }
  return defaults[static_cast<std::size_t>(event)];
}

}  // namespace baton::control::migration
