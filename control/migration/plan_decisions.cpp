// Where a row depends on what else is known: tables over the two QEMUs, the first row that holds
// counts. The baton is at the source, at most offered, until a row here says `granting`.
#include <array>

#include "base/assert.h"
#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

using S = State;
using D = Decision;
using Src = Source;
using Dst = Destination;
using From = SetOf<Source>;
using To = SetOf<Destination>;
constexpr RowKind go = RowKind::go;
constexpr RowKind fail = RowKind::fail;
constexpr RowKind noted = RowKind::noted;
constexpr auto any = std::nullopt;

constexpr From alive_again{Source::resumed, Source::failed};
// It copies or serialises: its own verdict is still to come.
constexpr From busy{Source::idle, Source::moving, Source::paused, Source::switching};
// In postcopy it writes nothing any more, whatever comes.
constexpr From serving{Source::serving, Source::cut_off};
constexpr From finished{Source::completed, Source::lost};
constexpr From stopped_for_good{Source::completed, Source::parted};
constexpr To silent{Destination::fresh, Destination::listening};

// clang-format off
constexpr auto table = std::to_array<DecisionRow>({

    {D::touch, "only_checked", {}, {}, true, S::checked, go},
    {D::touch, "all_is_ready", {}, {}, false, S::arming_source, go},

    {D::port, "destination_chose_the_port", {}, {}, true, S::locating, go},
    {D::port, "port_was_given", {}, {}, false, S::starting, go},

    {D::pass, "postcopy_is_wanted", {}, {}, true, S::postcopy_asked, go},
    {D::pass, "precopy_goes_on", {}, {}, false, D::stay, noted},

    // Whether the destination runs already makes no difference: a source that is neither paused nor
    // done may have written before the offer was made, and then only its guest may go on.
    // A QEMU that is told to go on and then fails resumes its guest by itself, and the offer harms
    // nobody meanwhile. So the destination is not probed here: it would only lengthen the pause.
    {D::may_switch, "switched_without_us", {Src::completed, Src::serving}, {}, any, D::outcome, go},
    {D::may_switch, "cancelled_after_the_offer", {}, {}, true, S::withdrawing, fail},
    {D::may_switch, "destination_lost_in_the_pause", {}, Dst::gone, any, S::withdrawing, fail},
    {D::may_switch, "both_ready", Src::paused, {}, any, S::continuing, go},
    {D::may_switch, "source_left_the_pause", {}, {}, any, S::withdrawing, fail},

    // RESUME at the destination is the evidence for the coordinator's word; it comes only after the
    // whole state has arrived. Which of two running guests goes on is then for the storage to say.
    {D::outcome, "destination_runs", {}, Dst::resumed, any, S::granting, go},
    // The destination was started with -S, or the guest was paused.
    {D::outcome, "destination_complete", finished, Dst::loaded, any, S::granting, go},
    {D::outcome, "source_runs_again_by_itself", alive_again, {}, any, S::withdrawing, fail},
    {D::outcome, "source_cancelled_in_postcopy", Src::parted, {}, any, S::withdrawing, fail},
    {D::outcome, "destination_lost_in_the_switch", finished | serving, Dst::gone, any,
     S::withdrawing, fail},
    {D::outcome, "source_still_busy", busy | serving, {}, any, S::switching, noted},
    {D::outcome, "destination_still_busy", finished, silent, any, S::switching, noted},

    {D::overdue, "destination_runs", {}, Dst::resumed, any, S::granting, go},
    {D::overdue, "destination_complete", finished, Dst::loaded, any, S::granting, go},
    {D::overdue, "switch_overdue", {}, {}, any, S::withdrawing, fail},

    {D::found, "found_destination_running", {}, Dst::resumed, any, S::granting, go},
    {D::found, "found_destination_complete", finished, Dst::loaded, any, S::granting, go},
    {D::found, "found_unfinished", {}, {}, any, S::withdrawing, fail},

    {D::granted, "destination_has_it_and_runs", {}, Dst::resumed, any, D::retire, go},
    {D::granted, "destination_has_it_and_waits", {}, Dst::loaded, true,
     S::starting_destination, go},
    {D::granted, "destination_has_it_and_stays_paused", {}, Dst::loaded, false, D::retire, go},
    // It has not written in its epoch as far as we know: the storage can still take it back.
    {D::granted, "destination_lost_after_the_grant", {}, {}, any, S::withdrawing, fail},

    {D::kept, "destination_wrote_first", {}, Dst::resumed, any, D::retire, go},
    {D::kept, "destination_took_it_unheard", {}, silent, any, S::confirming, go},
    {D::kept, "destination_wrote_and_is_gone", {}, {}, any, S::lost, fail},

    {D::retire, "memory_is_at_the_source", Src::serving, {}, any, S::postcopy, go},
    {D::retire, "memory_path_lost", {Src::cut_off, Src::parted}, {}, any, S::divided, fail},
    // It completes once it has heard that the destination runs, and has its figures to tell then.
    {D::retire, "source_still_finishing", busy, {}, any, S::finishing, go},
    {D::retire, "source_out_of_reach", Src::lost, {}, any, S::moved, go},
    {D::retire, "source_is_left_to_the_user", Src::completed, {}, false, S::moved, go},
    {D::retire, "source_must_go", {}, {}, any, S::retiring, go},

    // Else a source that merely did not say that it serves would be ended with its guest's memory.
    {D::unfinished, "memory_may_be_at_the_source", {}, {}, true, S::divided, fail},
    {D::unfinished, "all_memory_arrived", {}, {}, false, S::retiring, go},

    {D::leave, "source_untouched", Src::idle, {}, any, S::stayed, go},
    {D::leave, "source_lost", Src::lost, {}, any, S::stayed, go},
    {D::leave, "source_stopped_for_good", stopped_for_good, {}, true, S::resuming, go},
    {D::leave, "source_was_paused_before", stopped_for_good, {}, any, S::stayed, go},
    {D::leave, "source_cannot_go_back", Src::cut_off, {}, any, S::stayed, fail},
    {D::leave, "source_about_to_resume", Src::failed, {}, true, S::cancelling, go},
    {D::leave, "source_goes_on", Src::failed, {}, any, S::stayed, go},
    {D::leave, "source_still_migrates", {}, {}, any, S::cancelling, go},
});
// clang-format on

bool flag(Decision decision, const Facts& facts, const PlanOptions& options) {
  switch (decision) {
    case D::touch:
      return options.only_check;
    case D::port:
      return options.ask_for_port;
    case D::pass:
      return options.postcopy && facts.guest_was_running;
    case D::may_switch:
      return facts.cancel_requested;
    case D::granted:
      return facts.guest_was_running;
    case D::retire:
      return options.quit_source;
    case D::unfinished:
      return facts.postcopy_asked && !facts.all_arrived;
    case D::leave:
      return facts.guest_was_running && (facts.source_stopped || facts.source == Source::completed);
    default:
      return false;
  }
}

bool holds(const DecisionRow& row, Decision decision, const Facts& facts, bool flag_value) {
  return row.decision == decision && (row.sources.empty() || row.sources.contains(facts.source)) &&
         (row.destinations.empty() || row.destinations.contains(facts.destination)) &&
         (!row.flag || *row.flag == flag_value);
}

}  // namespace

std::span<const DecisionRow> decision_rows() {
  return table;
}

const DecisionRow& decide(Decision decision, const Facts& facts, const PlanOptions& options) {
  const bool flag_value = flag(decision, facts, options);
  for (const DecisionRow& row : table) {
    if (holds(row, decision, facts, flag_value)) return row;
  }
  BATON_ASSERT(false, "decision tables are complete: the exhaustive test tries every input");
  return table.front();
}

std::string_view flag_of(Decision decision) {
  switch (decision) {
    case D::touch:
      return "a dry run";
    case D::port:
      return "the uri leaves the port open";
    case D::pass:
      return "postcopy was asked for and the guest runs";
    case D::may_switch:
      return "cancelled";
    case D::granted:
      return "the guest was running";
    case D::retire:
      return "the source QEMU is to be quit";
    case D::unfinished:
      return "postcopy may have begun, and not all memory has arrived";
    case D::leave:
      return "the guest was running and is stopped";
    default:
      return "";
  }
}

}  // namespace baton::control::migration
