// Goal: docs/migration-coordinator.md shows the machine as it is. Method: the tables are printed
// again and compared; BATON_UPDATE_DOCUMENTS=1 writes them instead.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

const std::string document = BATON_SOURCE_DIR "/docs/migration-coordinator.md";
const std::string begin_mark = "<!-- generated from control/migration/plan_*.cpp: begin -->\n";
const std::string end_mark = "<!-- generated: end -->\n";

std::string goal_text(const Goal& goal) {
  if (goal.state) return std::string(name_of(*goal.state));
  if (goal.decision == Decision::stay) return "(waits on)";
  return fmt::format("*{}?*", name_of(goal.decision));
}

template <class Enum>
std::string set_text(SetOf<Enum> set, int count) {
  if (set.empty()) return "any";
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (!set.contains(static_cast<Enum>(i))) continue;
    text += (text.empty() ? "" : ", ") + std::string(name_of(static_cast<Enum>(i)));
  }
  return text;
}

// Rows that differ in the event only are one line of the table.
std::string rows_text() {
  std::string text = "| state | event | row | leads to |\n|---|---|---|---|\n";
  struct Line {
    std::string states, events, name, goal;
  };
  std::vector<Line> lines;
  for (const Row& row : rows()) {
    const Line line{set_text(row.states, state_count), std::string(name_of(row.event)),
                    std::string(row.name), goal_text(row.goal)};
    const bool same = !lines.empty() && lines.back().states == line.states &&
                      lines.back().name == line.name && lines.back().goal == line.goal;
    if (same) {
      lines.back().events += ", " + line.events;
    } else {
      lines.push_back(line);
    }
  }
  for (const Line& line : lines) {
    text +=
        fmt::format("| {} | {} | `{}` | {} |\n", line.states, line.events, line.name, line.goal);
  }
  return text;
}

std::string defaults_text() {
  std::map<std::string, std::string> events;  // by row
  for (const Row& row : default_rows()) {
    const std::string key = fmt::format("`{}` | {}", row.name,
                                        row.kind == RowKind::noted ? "noted, waits on" : "refused");
    events[key] += (events[key].empty() ? "" : ", ") + std::string(name_of(row.event));
  }
  std::string text = "| event | row | meaning |\n|---|---|---|\n";
  for (const auto& [key, list] : events) text += fmt::format("| {} | {} |\n", list, key);
  return text;
}

std::string decisions_text() {
  std::string text;
  Decision current = Decision::stay;
  for (const DecisionRow& row : decision_rows()) {
    if (row.decision != current) {
      current = row.decision;
      const std::string_view flag = flag_of(current);
      text += fmt::format("\n**{}?**\n\n| source | destination | {} | row | leads to |\n",
                          name_of(current), flag.empty() ? "-" : flag);
      text += "|---|---|---|---|---|\n";
    }
    text += fmt::format("| {} | {} | {} | `{}` | {} |\n",
                        set_text(row.sources, static_cast<int>(Source::lost) + 1),
                        set_text(row.destinations, static_cast<int>(Destination::gone) + 1),
                        row.flag ? (*row.flag ? "yes" : "no") : "", row.name, goal_text(row.goal));
  }
  return text;
}

std::string states_text() {
  std::string text = "| state | entering it does | deadline |\n|---|---|---|\n";
  for (int i = 0; i < state_count; ++i) {
    const State state = static_cast<State>(i);
    const auto action = entry_action(state);
    constexpr const char* patience[] = {"-", "reply", "stall", "switch over", "cancel", "quit"};
    const bool storage = action && *action <= Action::storage_take_back;
    text += fmt::format(
        "| {} | {} | {} |\n", name_of(state), action ? name_of(*action) : "-",
        storage ? "the verb's own" : patience[static_cast<std::size_t>(patience_of(state))]);
  }
  return text;
}

std::string generated() {
  return fmt::format(
      "{}### States\n\n{}\n### Rows\n\n{}\n### Everywhere else\n\nIn a final state every event is "
      "refused with `{}`; in the others, where no row above names it:\n\n{}\n### Decisions\n\nThe "
      "first row that holds counts.\n{}{}",
      begin_mark, states_text(), rows_text(), final_row().name, defaults_text(), decisions_text(),
      end_mark);
}

TEST(PlanDocument, shows_the_machine_as_it_is) {
  std::ifstream in(document);
  ASSERT_TRUE(in) << document;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t begin = text.find(begin_mark);
  const std::size_t end = text.find(end_mark);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::size_t stop = end + end_mark.size();
  if (std::getenv("BATON_UPDATE_DOCUMENTS") != nullptr) {
    std::ofstream(document) << text.substr(0, begin) << generated() << text.substr(stop);
    GTEST_SKIP() << "written anew";
  }
  EXPECT_EQ(text.substr(begin, stop - begin), generated())
      << "the tables have changed: run this test with BATON_UPDATE_DOCUMENTS=1 and read the text "
         "around them again";
}

}  // namespace
}  // namespace baton::control::migration
