// Goal: the plan's tables are complete and unambiguous. Method: every state x every event, every
// decision x every input, and the names that log, document and user see.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "control/migration/plan_tables.h"
#include "control/migration/report.h"

namespace baton::control::migration {
namespace {

State state_of(int index) {
  return static_cast<State>(index);
}
EventKind event_of(int index) {
  return static_cast<EventKind>(index);
}

TEST(PlanTable, every_state_and_event_has_exactly_one_row) {
  for (int s = 0; s < state_count; ++s) {
    for (int e = 0; e < event_count; ++e) {
      int matches = 0;
      for (const Row& row : rows()) {
        if (row.event == event_of(e) && row.states.contains(state_of(s))) ++matches;
      }
      EXPECT_LE(matches, 1) << name_of(state_of(s)) << " x " << name_of(event_of(e));
      EXPECT_FALSE(row_for(state_of(s), event_of(e)).name.empty());
    }
  }
}

TEST(PlanTable, defaults_stand_in_the_order_of_the_events) {
  for (int e = 0; e < event_count; ++e) {
    EXPECT_EQ(default_rows()[static_cast<std::size_t>(e)].event, event_of(e));
    EXPECT_TRUE(default_rows()[static_cast<std::size_t>(e)].states.empty());
  }
}

TEST(PlanTable, a_final_state_takes_no_further_step) {
  for (int s = 0; s < state_count; ++s) {
    if (!final_states().contains(state_of(s))) continue;
    for (int e = 0; e < event_count; ++e) {
      EXPECT_EQ(row_for(state_of(s), event_of(e)).kind, RowKind::refusal);
    }
  }
}

TEST(PlanTable, every_decision_has_a_row_for_every_input_and_uses_every_row) {
  std::set<std::string_view> used;
  for (int d = 1; d < decision_count; ++d) {
    for (int bits = 0; bits < 512; ++bits) {
      for (int s = 0; s <= static_cast<int>(Source::lost); ++s) {
        for (int t = 0; t <= static_cast<int>(Destination::gone); ++t) {
          Facts facts;
          facts.source = static_cast<Source>(s);
          facts.destination = static_cast<Destination>(t);
          facts.guest_was_running = (bits & 1) != 0;
          facts.source_stopped = (bits & 2) != 0;
          facts.cancel_requested = (bits & 4) != 0;
          facts.postcopy_asked = (bits & 128) != 0;
          facts.all_arrived = (bits & 256) != 0;
          const PlanOptions options{.only_check = (bits & 32) != 0,
                                    .ask_for_port = (bits & 8) != 0,
                                    .quit_source = (bits & 16) != 0,
                                    .postcopy = (bits & 64) != 0};
          used.insert(decide(static_cast<Decision>(d), facts, options).name);
        }
      }
    }
  }
  for (const DecisionRow& row : decision_rows()) EXPECT_TRUE(used.contains(row.name)) << row.name;
}

TEST(PlanTable, every_state_that_waits_for_a_qemu_has_a_deadline) {
  for (int s = 0; s < state_count; ++s) {
    const State state = state_of(s);
    const auto action = entry_action(state);
    const bool waits_for_storage = action && *action <= Action::storage_take_back;
    const bool waits = state != State::idle && !final_states().contains(state);
    EXPECT_EQ(patience_of(state) != Patience::none, waits && !waits_for_storage) << name_of(state);
    if (patience_of(state) != Patience::none) {
      EXPECT_NE(row_for(state, EventKind::deadline).kind, RowKind::refusal) << name_of(state);
    }
  }
}

TEST(PlanTable, the_source_is_told_to_quit_only_where_the_guest_runs_at_the_destination) {
  for (const Row& row : rows()) {
    EXPECT_NE(row.goal.state, State::retiring) << row.name;
  }
  for (const DecisionRow& row : decision_rows()) {
    const bool leads_there =
        row.goal.state == State::retiring || row.goal.state == State::finishing;
    const bool may = row.decision == Decision::retire || row.decision == Decision::unfinished;
    if (leads_there) EXPECT_TRUE(may) << row.name;
  }
}

// A text that the user may see in this row's place.
const MigrationNames names{"vm1", "alpha", "beta"};

TEST(PlanTable, every_failure_has_a_sentence_that_names_no_placeholder) {
  std::set<std::string_view> failures{"too_late_to_cancel", "already_over", "source_not_retired"};
  for (const Row& row : rows()) {
    if (row.kind == RowKind::fail) failures.insert(row.name);
  }
  for (const DecisionRow& row : decision_rows()) {
    if (row.kind == RowKind::fail) failures.insert(row.name);
  }
  for (const std::string_view row : failures) {
    const std::string sentence = sentence_of(row, names, "the detail");
    EXPECT_FALSE(sentence.empty()) << row;
    EXPECT_EQ(sentence.find('{'), std::string::npos) << row;
  }
}

TEST(PlanTable, every_outcome_says_where_the_guest_is) {
  for (const State outcome : {State::moved, State::stayed, State::lost, State::divided,
                              State::undecided, State::checked}) {
    const std::string text = summary_of(outcome, "switch_overdue", "granted", names, "");
    EXPECT_NE(text.find("The switch was not over in time. "), std::string::npos) << text;
    EXPECT_TRUE(text.find("alpha") != std::string::npos || text.find("beta") != std::string::npos)
        << text;
  }
}

TEST(PlanTable, every_state_has_a_phase_to_show) {
  for (int s = 0; s < state_count; ++s) EXPECT_FALSE(phase_of(state_of(s)).empty());
}

}  // namespace
}  // namespace baton::control::migration
