// Goal: the coordinator does what the failure matrix of docs/migration-coordinator.md says, row by
// row. Method: simulated QEMUs, a scripted storage and a virtual clock; what was said to whom, in
// which order, is the result.
#include "control/migration/coordinator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "coordinator_fixture.h"

namespace baton::control::migration {
namespace {

TEST_F(Migration, moves_the_guest_in_the_order_of_the_document) {
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::moved);
  EXPECT_EQ(report.reason, "");
  EXPECT_EQ(log, (Log{"storage prepare", "alpha query-status", "beta query-status",
                      "alpha migrate-set-capabilities", "beta migrate-set-capabilities",
                      "beta migrate-incoming", "alpha migrate", "storage offer",
                      "alpha migrate-continue", "storage grant", "alpha quit"}));
  EXPECT_EQ(report.sentence, "The guest runs on beta.");
  EXPECT_EQ(report.guest_pause, Duration(milliseconds(4)));
  EXPECT_TRUE(report.pause_by_event_stamps);
  EXPECT_EQ(report.qemu_downtime, Duration(milliseconds(5)));
  EXPECT_TRUE(report.storage_offer && report.storage_grant);
}

TEST_F(Migration, two_hosts_whose_clocks_differ_still_report_the_pause) {
  destination.clock_error = std::chrono::seconds(-1);
  const MigrationReport report = run();
  EXPECT_FALSE(report.pause_by_event_stamps);
  EXPECT_EQ(report.guest_pause, Duration(milliseconds(4)));
}

TEST_F(Migration, asks_the_destination_for_the_port_it_chose) {
  uri = "tcp:10.0.0.2";
  destination.on("query-migrate", [this] {
    destination.reply_ok(R"({"socket-address": [{"port": "40001", "host": "10.0.0.2"}]})");
  });
  EXPECT_EQ(run().outcome, State::moved);
}

TEST_F(Migration, leaves_the_source_standing_where_told) {
  quit_source = false;
  EXPECT_EQ(run().outcome, State::moved);
  EXPECT_EQ(log.back(), "storage grant");
}

TEST_F(Migration, shows_how_memory_moves) {
  source.on("migrate", [this] {
    source.reply_ok();
    source.status("active");
  });
  int polls = 0;
  source.on("query-migrate", [&] {
    source.reply_ok(R"({"status": "active", "expected-downtime": 250, "ram": {"transferred": )" +
                    std::to_string(++polls * 1000) + R"(, "remaining": 7, "total": 9000}})");
    if (polls == 400) reach_the_pause();  // 80 s: longer than the patience with a stall
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::moved);
  EXPECT_GE(report.total, Duration(seconds(79)));
  bool seen = false;
  for (const MigrationProgress& progress : watcher.seen) {
    seen |= progress.phase == "copying memory" && progress.ram.transferred_bytes == 5000 &&
            progress.ram.remaining_bytes == 7 && progress.ram.total_bytes == 9000 &&
            progress.ram.expected_downtime_ms == 250;
  }
  EXPECT_TRUE(seen);
}

// Before the guest is touched.

TEST_F(Migration, a_dry_run_asks_everybody_and_changes_nothing) {
  only_check = true;
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::checked);
  EXPECT_EQ(report.sentence, "vm1 can be migrated from alpha to beta now; nothing was changed.");
  EXPECT_EQ(log, (Log{"storage prepare", "alpha query-status", "beta query-status"}));
}

TEST_F(Migration, a_dry_run_says_what_a_migration_would) {
  only_check = true;
  destination.run_state = "running";
  EXPECT_EQ(run().reason, "destination_in_use");
}

TEST_F(Migration, a_storage_that_cannot_is_asked_before_any_QEMU) {
  storage.refuse_prepare = "beta is Inconsistent; wait for the resync (batonctl wait-sync vm1)";
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(log, (Log{"storage prepare"}));
  EXPECT_EQ(report.sentence,
            "The storage cannot hand vm1 over: beta is Inconsistent; wait for the resync (batonctl "
            "wait-sync vm1). The guest was not touched; it goes on on alpha.");
}

TEST_F(Migration, a_QMP_socket_that_somebody_else_holds_is_no_answer) {
  SimulatedQemu& silent = destination;
  silent.on("query-status", [] {});
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.reason, "no_answer");
}

TEST_F(Migration, a_destination_that_runs_a_guest_is_refused) {
  destination.run_state = "running";
  EXPECT_EQ(run().reason, "destination_in_use");
  EXPECT_EQ(log.back(), "beta query-status");
}

TEST_F(Migration, a_source_whose_guest_has_moved_away_is_refused) {
  source.run_state = "postmigrate";
  EXPECT_EQ(run().reason, "source_unfit");
}

TEST_F(Migration, a_migrate_that_is_refused_ends_the_destination_only) {
  source.on("migrate", [this] { source.reply_error("There's a migration process in progress"); });
  const MigrationReport report = run();
  EXPECT_EQ(report.reason, "source_cannot_migrate");
  EXPECT_EQ(after_start(), (Log{"beta quit"}));
}

// Before the offer.

TEST_F(Migration, no_memory_that_moves_is_given_up) {
  source.on("migrate", [this] { source.reply_ok(); });
  EXPECT_EQ(run().reason, "transfer_stalled");
  EXPECT_EQ(after_start(), (Log{"alpha migrate_cancel"}));
}

TEST_F(Migration, a_FLUSH_that_fails_at_STOP_ends_at_the_source) {
  source.on("migrate", [this] {
    source.reply_ok();
    source.event("STOP");
    source.status("failed");
    source.event("RESUME");
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.reason, "transfer_failed");
}

// QEMU 7.2 stays in `cancelling`, its guest stopped, when the cancel comes at the end of its drain.
TEST_F(Migration, a_cancel_that_gets_stuck_in_the_drain_is_helped_on) {
  source.on("migrate", [this] {
    source.reply_ok();
    source.status("active");
    EXPECT_TRUE(coordinator->cancel());
  });
  int continued = 0;
  source.on("migrate_cancel", [this] {
    source.reply_ok();
    source.event("STOP");
    source.migration_status = "cancelling";
  });
  source.on("migrate-continue", [&] {
    source.reply_ok();
    if (++continued < 2) return;  // the first one came before the wait
    resume_source();
    source.status("cancelled");
  });
  const TimePoint began = clock.now();
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.reason, "cancelled_in_time");
  EXPECT_EQ(after_start(), (Log{"alpha migrate_cancel", "beta quit", "alpha migrate-continue",
                                "alpha migrate-continue"}));
  EXPECT_LT(clock.now() - began, seconds(4));  // two of them the patience for figures
}

TEST_F(Migration, a_destination_killed_while_memory_moves_cancels) {
  source.on("migrate", [this] {
    source.reply_ok();
    destination.die();
  });
  EXPECT_EQ(run().outcome, State::stayed);
  EXPECT_EQ(after_start(), (Log{"alpha migrate_cancel"}));
}

TEST_F(Migration, a_source_out_of_reach_while_memory_moves_ends_the_destination) {
  source.on("migrate", [this] {
    source.reply_ok();
    source.die();
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.reason, "source_lost_before_the_switch");
  EXPECT_EQ(after_start(), (Log{"beta quit"}));
}

// From the offer to migrate-continue: the storage first, then the QEMUs.

TEST_F(Migration, cancelled_in_pre_switchover_the_source_resumes) {
  storage.during_offer = [this] { EXPECT_TRUE(coordinator->cancel()); };
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(after_start(), (Log{"storage offer", "storage take_back", "alpha migrate_cancel"}));
  EXPECT_EQ(report.guest_pause, Duration(0));
}

TEST_F(Migration, destination_killed_in_pre_switchover_is_noticed_by_its_QMP) {
  storage.during_offer = [this] { destination.die(); };
  EXPECT_EQ(run().reason, "destination_lost_in_the_pause");
  EXPECT_EQ(after_start(), (Log{"storage offer", "storage take_back", "alpha migrate_cancel"}));
}

TEST_F(Migration, destination_killed_in_pre_switchover_unnoticed_the_source_resumes_by_itself) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("device");
    source.status("failed");
    resume_source();
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(report.reason, "source_runs_again_by_itself");
  const Log said = after_start();
  ASSERT_GE(said.size(), 3U);
  EXPECT_EQ(said[2], "storage take_back");
  EXPECT_EQ(std::count(said.begin(), said.end(), "alpha cont"), 0);
}

TEST_F(Migration, a_handover_that_the_storage_refuses_is_cancelled) {
  storage.refuse_offer = "beta did not flush within 6 s";
  EXPECT_EQ(run().reason, "offer_failed");
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate_cancel"}));
}

TEST_F(Migration, migrate_cancel_by_somebody_else_takes_the_offer_back) {
  storage.during_offer = [this] {
    resume_source();
    source.status("cancelled");
  };
  EXPECT_EQ(run().reason, "source_left_the_pause");
  EXPECT_EQ(after_start(), (Log{"storage offer", "storage take_back", "beta quit"}));
}

TEST_F(Migration, migrate_continue_in_the_wrong_state_takes_the_offer_back) {
  source.on("migrate-continue",
            [this] { source.reply_error("Migration not in expected state: pre-switchover"); });
  EXPECT_EQ(run().reason, "source_will_not_go_on");
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate-continue", "storage take_back",
                                "alpha migrate_cancel"}));
}

// After migrate-continue.

TEST_F(Migration, a_cancel_after_migrate_continue_is_refused_with_a_sentence) {
  std::string refusal;
  source.on("migrate-continue", [&] {
    const Result<> heeded = coordinator->cancel();
    refusal = heeded ? "heeded" : heeded.error().message;
    source.reply_ok();
    arrive();
  });
  EXPECT_EQ(run().outcome, State::moved);
  EXPECT_TRUE(refusal.starts_with("too late to cancel: vm1 is switching to beta")) << refusal;
}

TEST_F(Migration, destination_killed_after_the_source_completed_goes_back) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("completed");
    destination.die();
  });
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(after_start(),
            (Log{"storage offer", "alpha migrate-continue", "storage take_back", "alpha cont"}));
}

TEST_F(Migration, destination_killed_after_it_wrote_is_never_answered_by_the_older_memory) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("completed");
    destination.die();
  });
  storage.take_back_answer = BatonAt::destination;
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::lost);
  EXPECT_EQ(after_start().back(), "storage take_back");
  EXPECT_NE(report.sentence.find("start or continue the guest on beta"), std::string::npos);
}

TEST_F(Migration, a_destination_whose_disk_is_read_only_will_not_run_and_goes_back) {
  destination.on("cont", [this] { destination.reply_error("Block node is read-only"); });
  source.on("migrate-continue", [this] {
    source.reply_ok();
    destination.status("completed");
    source.status("completed");
  });
  storage.take_back_answer = BatonAt::source;
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate-continue", "storage grant",
                                "beta cont", "storage take_back", "alpha cont", "beta quit"}));
}

TEST_F(Migration, a_destination_started_with_S_runs_after_the_grant) {
  destination.on("cont", [this] {
    destination.event("RESUME");
    destination.reply_ok();
  });
  source.on("migrate-continue", [this] {
    source.reply_ok();
    destination.status("completed");
    source.status("completed");
  });
  EXPECT_EQ(run().outcome, State::moved);
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate-continue", "storage grant",
                                "beta cont", "alpha quit"}));
}

// The last acknowledgement is lost: the source fails and resumes while the destination runs.
TEST_F(Migration, of_two_that_run_the_storage_lets_the_destination_go_on) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    destination.event("RESUME");
  });
  storage.during_grant = [this] {
    source.status("failed");
    resume_source();
  };
  EXPECT_EQ(run().outcome, State::moved);
  EXPECT_EQ(log.back(), "alpha quit");
}

TEST_F(Migration, of_two_that_run_the_storage_lets_the_source_go_on_that_wrote_first) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    destination.event("RESUME");
  });
  storage.during_grant = [this] {
    source.status("failed");
    resume_source();
  };
  storage.grant_answer = BatonAt::source;
  storage.take_back_answer = BatonAt::source;
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(log.back(), "beta quit");
}

TEST_F(Migration, a_destination_that_wrote_unheard_is_confirmed_before_the_source_quits) {
  source.on("migrate-continue", [this] {
    source.reply_ok();
    source.status("completed");
    destination.run_state = "running";
  });
  storage.take_back_answer = BatonAt::destination;
  EXPECT_EQ(run().outcome, State::moved);
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate-continue", "storage take_back",
                                "beta query-status", "alpha quit"}));
}

TEST_F(Migration, a_link_cut_in_the_grant_touches_neither_QEMU) {
  storage.grant_answer = BatonAt::undecided;
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::undecided);
  EXPECT_EQ(log.back(), "storage grant");
  EXPECT_FALSE(report.sentence.empty());
}

TEST_F(Migration, a_switch_that_never_ends_goes_back) {
  source.on("migrate-continue", [this] { source.reply_ok(); });
  const MigrationReport report = run();
  EXPECT_EQ(report.reason, "switch_overdue");
  EXPECT_EQ(after_start(), (Log{"storage offer", "alpha migrate-continue", "storage take_back",
                                "alpha migrate_cancel"}));
}

TEST_F(Migration, a_source_that_will_not_quit_is_named) {
  source.on("quit", [] {});
  const MigrationReport report = run();
  EXPECT_EQ(report.outcome, State::moved);
  EXPECT_NE(report.sentence.find("The QEMU on alpha has not quit"), std::string::npos);
}

// An earlier coordinator died.

TEST_F(Migration, recovery_in_pre_switchover_takes_back_and_cancels) {
  source.migration_status = "pre-switchover";
  stopped_ = true;
  const MigrationReport report = run(true);
  EXPECT_EQ(report.outcome, State::stayed);
  EXPECT_EQ(log, (Log{"beta query-status", "storage take_back", "alpha migrate_cancel"}));
}

TEST_F(Migration, recovery_grants_to_a_destination_that_runs) {
  source.migration_status = "completed";
  destination.run_state = "running";
  EXPECT_EQ(run(true).outcome, State::moved);
  EXPECT_EQ(log, (Log{"beta query-status", "storage grant", "alpha quit"}));
}

TEST_F(Migration, recovery_runs_the_source_whose_destination_is_gone) {
  source.migration_status = "completed";
  destination.die();
  EXPECT_EQ(run(true).outcome, State::stayed);
  EXPECT_EQ(log, (Log{"storage take_back", "alpha cont"}));
}

TEST_F(Migration, recovery_without_the_other_host_takes_the_guest_back) {
  source.migration_status = "pre-switchover";
  stopped_ = true;
  LostQmpChannel lost("the other node is not connected");
  unreachable = &lost;
  EXPECT_EQ(run(true).outcome, State::stayed);
  EXPECT_EQ(log, (Log{"storage take_back", "alpha migrate_cancel"}));
}

TEST_F(Migration, recovery_of_nothing_touches_nothing) {
  const MigrationReport report = run(true);
  EXPECT_EQ(report.sentence, "No migration was left unfinished.");
  EXPECT_TRUE(log.empty());
}

}  // namespace
}  // namespace baton::control::migration
