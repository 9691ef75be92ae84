// What the coordinator's tests share: a virtual clock, a scripted storage, two simulated QEMUs that
// by themselves migrate as measured, and a run of the coordinator between them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/migration/coordinator.h"
#include "simulated_qemu.h"

namespace baton::control::migration {

using Log = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

class VirtualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  void arm(Timer& timer, TimePoint deadline) override { timers_.arm(timer, deadline); }
  // To the next deadline; false when nothing is armed.
  bool advance() {
    const TimePoint next = timers_.next_deadline();
    if (next == TimePoint::never()) return false;
    pass(next - now_);
    return true;
  }
  void pass(Duration by) {
    now_ = now_ + by;
    timers_.fire_due(now_);
  }

 private:
  TimePoint now_{1000000000};
  TimerQueue timers_;
};

// Grants when asked and takes back what was not granted, unless a test says otherwise.
class ScriptedStorage final : public StorageHandover {
 public:
  ScriptedStorage(Loop& loop, Log& log) : loop_(loop), log_(log) {}
  std::string refuse_prepare, refuse_offer;  // reasons
  std::optional<BatonAt> grant_answer, take_back_answer;
  std::function<void()> during_offer, during_grant;

  Task<Result<>> prepare(TimePoint /*deadline*/) override {
    co_await say("prepare");
    if (!refuse_prepare.empty()) co_return failure(refuse_prepare);
    co_return Result<>();
  }
  Task<Result<>> quiesce_and_offer(TimePoint /*deadline*/) override {
    co_await say("offer");
    if (during_offer) during_offer();
    for (int turn = 0; turn < 5; ++turn) co_await Yield(loop_);  // others are heard meanwhile
    if (!refuse_offer.empty()) co_return failure(refuse_offer);
    co_return Result<>();
  }
  Task<HandoverAnswer> grant(TimePoint /*deadline*/) override {
    co_await say("grant");
    if (during_grant) during_grant();
    for (int turn = 0; turn < 5; ++turn) co_await Yield(loop_);
    granted_ = true;
    HandoverAnswer answer{grant_answer.value_or(BatonAt::destination), "as scripted"};
    co_return answer;
  }
  Task<HandoverAnswer> take_back(TimePoint /*deadline*/) override {
    co_await say("take_back");
    const BatonAt natural = granted_ ? BatonAt::destination : BatonAt::source;
    HandoverAnswer answer{take_back_answer.value_or(natural), "as scripted"};
    co_return answer;
  }

 private:
  Yield say(const char* verb) {
    log_.push_back(std::string("storage ") + verb);
    return Yield(loop_);
  }
  Loop& loop_;
  Log& log_;
  bool granted_ = false;
};

class Watcher final : public MigrationObserver {
 public:
  std::vector<MigrationProgress> seen;
  std::function<void(const Step&)> at_step;
  void migration_progress(const MigrationProgress& progress) override { seen.push_back(progress); }
  void migration_step(const Step& step, EventKind /*event*/, std::string_view /*detail*/) override {
    if (at_step) at_step(step);
  }
};

class Migration : public ::testing::Test {
 protected:
  Migration() {
    destination.run_state = "inmigrate";
    // As measured: setup, active, STOP, then (drained and flushed) pre-switchover.
    source.on("migrate", [this] {
      source.status("setup");
      source.reply_ok();
      source.status("active");
      reach_the_pause();
    });
    source.on("migrate-continue", [this] {
      source.reply_ok();
      source.status("device");
      arrive();
    });
    source.on("migrate_cancel", [this] {
      source.reply_ok();
      if (stopped_) resume_source();
      source.status("cancelled");
      destination.die();  // as QEMU 7.2 does: a `quit` to it comes too late
    });
    source.on("cont", [this] {
      resume_source();
      source.reply_ok();
    });
    source.on("quit", [this] {
      source.reply_ok();
      source.die();
    });
    destination.on("quit", [this] {
      destination.reply_ok();
      destination.die();
    });
  }

  void reach_the_pause() {
    stopped_ = true;
    source.event("STOP");
    source.status("pre-switchover");
  }
  void resume_source() {
    stopped_ = false;
    source.event("RESUME");
  }
  // The destination has everything; the source hears of it.
  void arrive() {
    clock.pass(milliseconds(4));
    destination.event("RESUME");
    destination.status("completed");
    source.status("completed");
  }

  // Of a guest that writes to its memory. As measured: the second pass begins, QEMU is told to
  // switch, and does; `fetched` is what happens while the destination fetches the rest.
  void move_by_postcopy(std::function<void()> fetched) {
    postcopy = true;
    source.on("migrate", [this] {
      source.reply_ok();
      source.status("active");
      source.event("MIGRATION_PASS", R"({"pass": 2})");
    });
    source.on("migrate-start-postcopy", [this] {
      source.reply_ok();
      reach_the_pause();
    });
    source.on("migrate-continue", [this] {
      source.reply_ok();
      source.status("postcopy-active");
      clock.pass(milliseconds(4));
      destination.event("RESUME");
    });
    watcher.at_step = [fetched = std::move(fetched)](const Step& step) {
      if (step.to == State::postcopy && step.from != State::postcopy) fetched();
    };
  }
  void all_memory_arrives() {
    destination.status("completed");
    source.status("completed");
  }

  MigrationReport run(bool recover = false) {
    MigrationOptions options{.names = {"vm1", "alpha", "beta"},
                             .uri = *MigrationUri::parse(uri),
                             .quit_source = quit_source,
                             .only_check = only_check,
                             .postcopy = postcopy};
    coordinator = std::make_unique<Coordinator>(
        loop, clock, source, unreachable ? *unreachable : static_cast<QmpChannel&>(destination),
        storage, watcher, options);
    std::optional<MigrationReport> report;
    Scope scope(loop);
    scope.spawn(collect(recover ? coordinator->recover() : coordinator->run(), report));
    for (int turns = 0; !report && turns < 100000; ++turns) {
      while (!loop.idle()) loop.run_turn();
      if (!report && !clock.advance()) break;
    }
    EXPECT_TRUE(report) << "the coordinator hangs";
    return report.value_or(MigrationReport{});
  }
  static Task<> collect(Task<MigrationReport> work, std::optional<MigrationReport>& report) {
    report = co_await std::move(work);
  }

  // What was said after the preparations, which every test has in common.
  Log after_start() const {
    Log rest;
    bool started = false;
    for (const std::string& line : log) {
      if (started) rest.push_back(line);
      started |= line == "alpha migrate";
    }
    return rest;
  }

  Loop loop;
  VirtualClock clock;
  Log log;
  SimulatedQemu source{"alpha", loop, clock, log};
  SimulatedQemu destination{"beta", loop, clock, log};
  ScriptedStorage storage{loop, log};
  Watcher watcher;
  std::unique_ptr<Coordinator> coordinator;
  std::string uri = "tcp:10.0.0.2:4444";
  bool quit_source = true;
  bool only_check = false;
  bool postcopy = false;
  QmpChannel* unreachable = nullptr;  // in the destination's place
  bool stopped_ = false;
};

}  // namespace baton::control::migration
