// Runs the migration coordinator between two QEMUs whose disks are one NBD export, so that no
// replication is needed: the storage here only records what it was asked. Prints one JSON object.
//
//   coordinator_probe --source QMP --destination QMP [--uri URI] [--at-offer
//   cancel|kill=PID|fail|die]
//                     [--at-grant die] [--recover]
//
// Exit codes: 0 the guest moved, 1 it did not, 2 wrong usage, 3 it died as told.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "control/migration/coordinator.h"

namespace {

using namespace baton;
using namespace baton::control::migration;

// The end of everything, should a QEMU hang: well above the coordinator's own deadlines.
constexpr unsigned last_resort_seconds = 120;
constexpr int died_as_told = 3;

struct Options {
  std::string source;
  std::string destination;
  std::string uri = "tcp:127.0.0.1:0";
  std::string at_offer;
  std::string at_grant;
  bool recover = false;
};

class RecordingStorage final : public StorageHandover {
 public:
  RecordingStorage(Loop& loop, const Options& options)
      : loop_(loop), at_offer_(options.at_offer), at_grant_(options.at_grant) {}

  Coordinator* coordinator = nullptr;
  boost::json::array verbs;

  Task<Result<>> prepare(TimePoint /*deadline*/) override {
    verbs.emplace_back("prepare");
    co_await Yield(loop_);
    co_return Result<>();
  }
  Task<Result<>> quiesce_and_offer(TimePoint /*deadline*/) override {
    verbs.emplace_back("quiesce_and_offer");
    co_await Yield(loop_);
    if (at_offer_ == "cancel") {
      if (const Result<> heeded = coordinator->cancel(); !heeded) {
        co_return failure("the cancel was refused: " + heeded.error().message);
      }
    }
    if (at_offer_.starts_with("kill=")) kill(std::stoi(at_offer_.substr(5)), SIGKILL);
    if (at_offer_ == "die") _exit(died_as_told);
    if (at_offer_ == "fail") co_return failure("told to fail");
    co_return Result<>();
  }
  Task<HandoverAnswer> grant(TimePoint /*deadline*/) override {
    verbs.emplace_back("grant");
    co_await Yield(loop_);
    if (at_grant_ == "die") _exit(died_as_told);
    granted_ = true;
    HandoverAnswer answer{BatonAt::destination, {}};
    co_return answer;
  }
  Task<HandoverAnswer> take_back(TimePoint /*deadline*/) override {
    verbs.emplace_back("take_back");
    co_await Yield(loop_);
    HandoverAnswer answer{granted_ ? BatonAt::destination : BatonAt::source, {}};
    co_return answer;
  }

 private:
  Loop& loop_;
  std::string at_offer_;
  std::string at_grant_;
  bool granted_ = false;
};

class Log final : public MigrationObserver {
 public:
  void migration_progress(const MigrationProgress& progress) override {
    std::cerr << fmt::format("{}: {} of {} bytes left\n", progress.phase,
                             progress.ram.remaining_bytes, progress.ram.total_bytes);
  }
  void migration_step(const Step& step, EventKind event, std::string_view detail) override {
    std::cerr << fmt::format("{} + {} -> {} ({}) {}\n", name_of(step.from), name_of(event),
                             name_of(step.to), step.row, detail);
  }
};

std::string printed(const MigrationReport& report, const RecordingStorage& storage) {
  boost::json::object out;
  out["outcome"] = name_of(report.outcome);
  out["reason"] = report.reason;
  out["sentence"] = report.sentence;
  out["verbs"] = storage.verbs;
  out["pause-by-event-stamps"] = report.pause_by_event_stamps;
  if (report.guest_pause) {
    out["guest-pause-ms"] = std::chrono::duration<double, std::milli>(*report.guest_pause).count();
  }
  return boost::json::serialize(out);
}

Task<> migrate(Shard& shard, Coordinator& coordinator, bool recover, MigrationReport& report) {
  Task<MigrationReport> work = recover ? coordinator.recover() : coordinator.run();
  report = co_await std::move(work);
  shard.stop();
}

int probe(const Options& options) {
  Shard shard;
  auto source = dial_qmp(shard, options.source);
  auto destination = dial_qmp(shard, options.destination);
  const auto uri = MigrationUri::parse(options.uri);
  for (const std::string& problem :
       {source ? "" : source.error().message, destination ? "" : destination.error().message,
        uri ? "" : uri.error().message}) {
    if (problem.empty()) continue;
    std::cerr << problem << '\n';
    return 2;
  }
  RecordingStorage storage(shard.loop(), options);
  Log log;
  MigrationOptions migration{.names = {"vm1", "source", "destination"}, .uri = *uri};
  Coordinator coordinator(shard.loop(), shard, **source, **destination, storage, log, migration);
  storage.coordinator = &coordinator;
  MigrationReport report;
  Scope scope(shard.loop());
  scope.spawn(migrate(shard, coordinator, options.recover, report));
  shard.run();
  std::cout << printed(report, storage) << '\n';
  return report.outcome == State::moved ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(last_resort_seconds);
  signal(SIGPIPE, SIG_IGN);
  Options options;
  CLI::App app("runs the migration coordinator between two QEMUs");
  app.add_option("--source", options.source, "QMP socket")->required();
  app.add_option("--destination", options.destination, "QMP socket")->required();
  app.add_option("--uri", options.uri, "where the destination listens");
  app.add_option("--at-offer", options.at_offer, "cancel, kill=PID, fail or die");
  app.add_option("--at-grant", options.at_grant, "die");
  app.add_flag("--recover", options.recover, "finish or undo what another coordinator left");
  CLI11_PARSE(app, argc, argv);
  return probe(options);
}
