// The enumerators as the log, the document and the tests spell them: as the code does.
#include <array>

#include "base/assert.h"
#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

template <class Enum, std::size_t count>
std::string_view look_up(const std::array<std::string_view, count>& names, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  BATON_ASSERT(index < count, "every enumerator has a name (static_assert below each table)");
  return names[index];
}

constexpr auto states = std::to_array<std::string_view>({"idle",
                                                         "inquiring_source",
                                                         "inquiring_guest",
                                                         "inquiring_destination",
                                                         "preparing",
                                                         "checking_source",
                                                         "checking_destination",
                                                         "arming_source",
                                                         "arming_destination",
                                                         "listening",
                                                         "locating",
                                                         "starting",
                                                         "transferring",
                                                         "postcopy_asked",
                                                         "offering",
                                                         "continuing",
                                                         "switching",
                                                         "granting",
                                                         "confirming",
                                                         "starting_destination",
                                                         "finishing",
                                                         "postcopy",
                                                         "retiring",
                                                         "withdrawing",
                                                         "cancelling",
                                                         "resuming",
                                                         "moved",
                                                         "stayed",
                                                         "lost",
                                                         "divided",
                                                         "undecided",
                                                         "checked"});
static_assert(states.size() == static_cast<std::size_t>(State::checked) + 1);

constexpr auto events = std::to_array<std::string_view>({"start",
                                                         "recover",
                                                         "cancel",
                                                         "deadline",
                                                         "progress",
                                                         "source_passed",
                                                         "prepared",
                                                         "refused",
                                                         "offered",
                                                         "offer_failed",
                                                         "baton_at_source",
                                                         "baton_at_destination",
                                                         "baton_undecided",
                                                         "source_ok",
                                                         "source_error",
                                                         "destination_ok",
                                                         "destination_error",
                                                         "source_is_running",
                                                         "source_is_paused",
                                                         "source_is_unfit",
                                                         "destination_is_waiting",
                                                         "destination_is_running",
                                                         "destination_is_paused",
                                                         "destination_is_unfit",
                                                         "source_none",
                                                         "source_active",
                                                         "source_pre_switchover",
                                                         "source_device",
                                                         "source_completed",
                                                         "source_failed",
                                                         "source_postcopy",
                                                         "source_postcopy_paused",
                                                         "destination_located",
                                                         "destination_completed",
                                                         "destination_failed",
                                                         "destination_postcopy_paused",
                                                         "source_stopped",
                                                         "source_resumed",
                                                         "destination_resumed",
                                                         "source_lost",
                                                         "destination_lost"});
static_assert(events.size() == static_cast<std::size_t>(EventKind::destination_lost) + 1);

constexpr auto actions = std::to_array<std::string_view>(
    {"storage_prepare", "storage_offer", "storage_grant", "storage_take_back",
     "source_query_status", "source_query_migrate", "source_set_capabilities", "source_migrate",
     "source_start_postcopy", "source_continue", "source_cancel", "source_cont", "source_quit",
     "destination_query_status", "destination_set_capabilities", "destination_incoming",
     "destination_locate", "destination_cont", "destination_quit"});
static_assert(actions.size() == static_cast<std::size_t>(Action::destination_quit) + 1);

constexpr auto sources =
    std::to_array<std::string_view>({"idle", "moving", "paused", "switching", "serving", "cut_off",
                                     "parted", "completed", "resumed", "failed", "lost"});
static_assert(sources.size() == static_cast<std::size_t>(Source::lost) + 1);

constexpr auto destinations =
    std::to_array<std::string_view>({"fresh", "listening", "loaded", "resumed", "gone"});
static_assert(destinations.size() == static_cast<std::size_t>(Destination::gone) + 1);

constexpr auto decisions = std::to_array<std::string_view>(
    {"stay", "touch", "port", "pass", "may_switch", "outcome", "overdue", "found", "granted",
     "kept", "retire", "unfinished", "leave"});
static_assert(decisions.size() == static_cast<std::size_t>(Decision::leave) + 1);

static_assert(states.size() == state_count && events.size() == event_count &&
              decisions.size() == decision_count);

}  // namespace

std::string_view name_of(State value) {
  return look_up(states, value);
}
std::string_view name_of(EventKind value) {
  return look_up(events, value);
}
std::string_view name_of(Action value) {
  return look_up(actions, value);
}
std::string_view name_of(Source value) {
  return look_up(sources, value);
}
std::string_view name_of(Destination value) {
  return look_up(destinations, value);
}
std::string_view name_of(Decision value) {
  return look_up(decisions, value);
}

}  // namespace baton::control::migration
