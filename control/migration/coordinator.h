// Carries the plan out (plan.h): one coroutine that turns what both QEMUs and the storage say into
// the plan's events, and the plan's actions into QMP commands and storage verbs.
//
// Everything that happens goes through one queue, so events are decided one after the other in the
// order in which they were heard. The coordinator holds no state that the storage and the QEMUs
// need: if it dies, each of them stays safe by itself, and recover() finishes or undoes what it
// left (docs/migration-coordinator.md, "When the coordinator dies").
#pragma once

#include <deque>
#include <string>

#include "base/clock.h"
#include "base/task.h"
#include "control/migration/plan.h"
#include "control/migration/qmp_session.h"
#include "control/migration/report.h"
#include "control/migration/storage_handover.h"
#include "control/migration/uri.h"

namespace baton::control::migration {

// How long the coordinator waits; each figure is far above what was ever measured.
struct Deadlines {
  Duration reply = std::chrono::seconds(10);  // any QMP reply; a QEMU in a drain answers late
  Duration stall = std::chrono::seconds(60);  // no memory moved: the path between the hosts is dead
  // Checks only: the guest runs.
  Duration prepare = std::chrono::seconds(10);
  // The guest is stopped from here on. Drain and flush of both copies take milliseconds; with a
  // peer that dies meanwhile the engine's own timeout (6 s) ends it.
  Duration offer = std::chrono::seconds(10);
  // Rest of the memory (QEMU's downtime limit is 300 ms), device state, RESUME: 4 ms in the lab.
  Duration switch_over = std::chrono::seconds(30);
  Duration grant = std::chrono::seconds(10);
  Duration take_back = std::chrono::seconds(10);
  Duration cancel = std::chrono::seconds(10);
  Duration quit = std::chrono::seconds(5);
  Duration poll = std::chrono::milliseconds(200);  // of query-migrate, for progress; of a cancel
};

struct MigrationOptions {
  MigrationNames names;
  MigrationUri uri;
  bool quit_source = true;
  bool only_check = false;  // ends with `checked` where something would be changed
  bool postcopy = false;    // the guest moves once its memory was sent once, and fetches the rest
  Deadlines deadlines;
};

// Lives on one shard; run() or recover() is called once.
class Coordinator final : QmpListener {
 public:
  // All referenced objects outlive run(). The channels are fresh: no greeting was read yet.
  Coordinator(Loop& loop, Clock& clock, QmpChannel& source, QmpChannel& destination,
              StorageHandover& storage, MigrationObserver& observer, MigrationOptions options);
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Moves the guest. Completes with what became of it; both channels are closed then.
  Task<MigrationReport> run() { return drive(EventKind::start); }
  // Finishes or undoes what an earlier coordinator left. A QEMU whose channel cannot be dialled is
  // given as a LostQmpChannel. Changes nothing where no migration was left.
  Task<MigrationReport> recover() { return drive(EventKind::recover); }

  // The operator's word; may be called at any time. Fails with a sentence when it comes too late.
  // Success means that run() will end, usually with the guest at the source: look at its report.
  Result<> cancel();

 private:
  struct Pending {
    EventKind kind;
    std::string detail;
  };
  // The command whose reply the plan waits for; replies to earlier ones are late.
  struct Awaited {
    std::uint64_t id = 0;
    Action action = Action::storage_prepare;
  };

  Task<MigrationReport> drive(EventKind first);
  Task<> wait_for_events();
  Task<> settle();
  void post(EventKind kind, std::string detail = {});
  void handle(const Pending& event);
  void begin(Action action);
  void begin_storage(Action action);
  void submit(Action action);
  bool source_is_draining() const;
  void release_held_cancel();
  void rearm_deadline();
  void look_again();
  void release_stuck_cancel();
  void poll_progress();
  void show_progress();
  MigrationReport report() const;

  Task<> prepare();
  Task<> offer();
  Task<> move_baton(Action action);

  void qmp_reply(Side side, std::uint64_t id, const Result<boost::json::value>& value) override;
  void qmp_event(Side side, const QmpEvent& event) override;
  void qmp_lost(Side side, const std::string& reason) override;
  void take_progress(const boost::json::value& reply);

  Clock& clock_;
  StorageHandover& storage_;
  MigrationObserver& observer_;
  MigrationOptions options_;
  Plan plan_;
  QmpSession source_;
  QmpSession destination_;
  bool cancel_held_ = false;  // until the source has drained
  Awaited awaited_source_;
  Awaited awaited_destination_;

  std::deque<Pending> queue_;
  Signal arrived_;
  TimePoint deadline_ = TimePoint::never();
  TimePoint next_poll_ = TimePoint::never();
  std::uint64_t poll_id_ = 0;  // 0: none outstanding

  struct Moment {
    TimePoint heard;
    std::chrono::microseconds stamped{0};
  };
  std::optional<Moment> stopped_;
  std::optional<Moment> source_resumed_;
  std::optional<Moment> destination_resumed_;
  TimePoint began_;
  TimePoint storage_began_;
  std::optional<Duration> storage_offer_;
  std::optional<Duration> storage_grant_;
  RamProgress ram_;
  std::optional<Duration> qemu_downtime_;
  std::string detail_;      // that came with the plan's reason
  std::string qemu_error_;  // query-migrate's own description of a failed migration
  std::string_view last_row_;
  Scope scope_;
};

}  // namespace baton::control::migration
