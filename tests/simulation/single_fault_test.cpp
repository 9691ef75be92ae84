// Goal: no single fault breaks a rule, whatever the moment it strikes in. Method: each short
// script, each kind of fault, events of the script taken evenly; baton-sim --every-event takes all
// of them.
#include "tests/simulation/single_fault.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/simulation/engine_factory.h"

namespace baton::sim {
namespace {

constexpr std::uint64_t seed = 1;
constexpr std::uint64_t events_at_most =
    200;  // of a script; a bit more than a minute for all of them
constexpr int failures_shown = 3;

class SingleFault : public testing::TestWithParam<Scenario> {};

TEST_P(SingleFault, at_any_event_keeps_every_rule) {
  const SingleFaults faults(GetParam(), seed, events_at_most);
  ASSERT_GT(faults.events(), 0U);
  int failures = 0;
  for (std::uint64_t number = 0; number < faults.worlds() && failures < failures_shown; ++number) {
    EngineFactory factory;
    const Outcome outcome = run(seed, faults.plan(number), factory, ring_options());
    EXPECT_FALSE(outcome.violation)
        << to_text(seed, outcome, 30)
        << fmt::format("replay: baton-sim --replay {} --trace --script {} --fault {} --event {}\n",
                       seed, GetParam().name, faults.kind(number).name, faults.event(number));
    failures += outcome.violation ? 1 : 0;
  }
  fmt::print("{}: {} kinds of faults at {} of {} events\n", GetParam().name, fault_kinds().size(),
             faults.events_taken(), faults.events());
}

std::string test_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

INSTANTIATE_TEST_SUITE_P(Simulation, SingleFault, testing::ValuesIn(short_scripts()),
                         [](const auto& info) { return test_name(info.param.name); });

// Events that are taken evenly begin with the first, and none is taken twice.
TEST(SingleFaults, takes_each_kind_at_each_event_once) {
  for (const std::uint64_t at_most : {std::uint64_t{7}, std::uint64_t{UINT64_MAX}}) {
    const SingleFaults faults(short_scripts().front(), seed, at_most);
    std::set<std::pair<std::string_view, std::uint64_t>> met;
    for (std::uint64_t number = 0; number < faults.worlds(); ++number) {
      met.emplace(faults.kind(number).name, faults.event(number));
    }
    EXPECT_EQ(met.size(), faults.worlds());
    EXPECT_EQ(faults.worlds(), faults.events_taken() * fault_kinds().size());
    EXPECT_EQ(faults.events_taken(), std::min(at_most, faults.events()));
    EXPECT_LE(faults.event(faults.worlds() - 1), faults.event(0) + faults.events() - 1);
  }
}

// The step of the world is the one that was asked for: before it both runs are the same.
TEST(SingleFaults, strike_at_their_event) {
  const SingleFaults faults(*find_scenario("short-handover"), seed, 5);
  for (std::uint64_t number = 0; number < faults.worlds(); ++number) {
    EngineFactory factory;
    std::vector<std::string> lines;
    RunOptions options = ring_options();
    options.end_well = false;
    options.sink = [&lines](const std::string& line) { lines.push_back(line); };
    run(seed, plan_of(*find_scenario("short-handover")), factory, options);
    const std::vector<std::string> alone = std::exchange(lines, {});
    run(seed, faults.plan(number), factory, options);
    const auto strikes = [](const std::string& line) {
      return line.find("strike: @") != std::string::npos;
    };
    const auto strike = std::ranges::find_if(lines, strikes);
    ASSERT_NE(strike, lines.end()) << faults.kind(number).name;
    EXPECT_TRUE(std::equal(lines.begin(), strike, alone.begin())) << faults.kind(number).name;
  }
}

TEST(Script, refuses_a_strike_that_would_wait) {
  EngineFactory factory;
  Plan plan;
  plan.script = parse_script("primary A force\n@100 wait-sync\n");
  EXPECT_THROW(run(seed, plan, factory), std::invalid_argument);
}

}  // namespace
}  // namespace baton::sim
