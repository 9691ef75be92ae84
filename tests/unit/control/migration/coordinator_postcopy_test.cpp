// Goal: in postcopy nobody ends, or cancels, a QEMU that has what the other one still needs
// (docs/migration-coordinator.md "Postcopy"). Method: as in coordinator_test.cpp; the simulated
// QEMUs do what QEMU 7.2 was seen to do.
#include <gtest/gtest.h>

#include <string>

#include "coordinator_fixture.h"

namespace baton::control::migration {
namespace {

TEST_F(Migration, a_guest_that_outruns_the_network_moves_by_postcopy) {
  move_by_postcopy([this] { all_memory_arrives(); });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::moved);
  EXPECT_EQ(report.reason, "");
  EXPECT_EQ(after_start(), (Log{"alpha migrate-start-postcopy", "storage offer",
                                "alpha migrate-continue", "storage grant", "alpha quit"}));
  EXPECT_EQ(report.guest_pause, Duration(milliseconds(4)));
}

TEST_F(Migration, nobody_switches_early_who_did_not_ask_for_it) {
  move_by_postcopy([] {});
  postcopy = false;
  EXPECT_EQ(run().reason, "transfer_stalled");
  EXPECT_EQ(after_start(), (Log{"alpha migrate_cancel"}));
}

TEST_F(Migration, a_source_whose_memory_is_fetched_is_not_ended) {
  int polls = 0;
  move_by_postcopy([this, &polls] {
    source.on("query-migrate", [this, &polls] {
      source.reply_ok(R"({"status": "postcopy-active", "ram": {"transferred": )" +
                      std::to_string(++polls * 1000) + R"(, "remaining": 7, "total": 9000}})");
      if (polls == 400) all_memory_arrives();  // 80 s: longer than any patience
    });
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::moved);
  EXPECT_GE(report.total, Duration(seconds(79)));
  EXPECT_EQ(log.back(), "alpha quit");
}

TEST_F(Migration, a_path_lost_in_postcopy_leaves_both_QEMUs_and_says_so) {
  move_by_postcopy([this] {
    source.status("postcopy-paused");
    destination.status("postcopy-paused");
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::divided);
  EXPECT_EQ(report.reason, "memory_path_lost");
  EXPECT_EQ(log.back(), "storage grant");
  EXPECT_NE(report.sentence.find("do not end that one"), std::string::npos);
  EXPECT_EQ(report.guest_pause, Duration(milliseconds(4)));
}

TEST_F(Migration, memory_that_is_fetched_no_more_leaves_both_QEMUs) {
  move_by_postcopy([] {});
  EXPECT_EQ(run().reason, "memory_fetched_no_more");
  EXPECT_EQ(log.back(), "storage grant");
}

// QEMU 7.2 obeys cancel and then cont there, but not once its destination is gone.
TEST_F(Migration, a_postcopy_that_never_arrives_is_cancelled_before_its_destination_is_ended) {
  move_by_postcopy([] {});
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("postcopy-active");
  });
  source.on("migrate_cancel", [this] {
    source.reply_ok();
    source.status("cancelled");
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.reason, "switch_overdue");
  const Log end{"storage take_back", "alpha migrate_cancel", "alpha cont", "beta quit"};
  ASSERT_GE(log.size(), end.size());
  EXPECT_EQ(Log(log.end() - 4, log.end()), end);
}

TEST_F(Migration, a_source_that_cannot_go_back_behind_postcopy_is_named) {
  move_by_postcopy([] {});
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("postcopy-active");
    destination.die();
    source.status("postcopy-paused");
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.last_row, "source_cannot_go_back");
  EXPECT_EQ(log.back(), "storage take_back");
}

}  // namespace
}  // namespace baton::control::migration
