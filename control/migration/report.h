// What a migration shows while it runs and when it is over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "control/migration/plan.h"

namespace baton::control::migration {

struct RamProgress {
  std::uint64_t transferred_bytes = 0;
  std::uint64_t remaining_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t expected_downtime_ms = 0;  // QEMU's own guess of its part of the pause
  std::uint64_t dirty_pages_per_second = 0;
};

struct MigrationProgress {
  State state = State::idle;
  std::string_view phase;  // "copying memory"
  RamProgress ram;
  Duration elapsed{0};
};

struct MigrationReport {
  State outcome = State::undecided;  // moved, stayed, lost or undecided
  std::string_view reason;           // row that turned it away from its course; empty if none
  std::string_view last_row;
  std::string sentence;  // what happened and what to do, for a person

  // From the last STOP at the source to RESUME, at the destination (moved) or at the source again.
  // By the stamps QEMU put on the events where they make sense (the hosts' clocks may disagree),
  // else by when we heard of them. Absent where the guest was not stopped or has not resumed.
  std::optional<Duration> guest_pause;
  bool pause_by_event_stamps = false;
  // The storage's part of it: stop admitting, drain, flush both copies, offer.
  std::optional<Duration> storage_offer;
  // From our word to the destination's "taken". The guest runs meanwhile; only a first write waits.
  std::optional<Duration> storage_grant;
  Duration total{0};
  RamProgress ram;                        // as last seen
  std::optional<Duration> qemu_downtime;  // QEMU's own figure
};

// Called from the shard; must not call back into the coordinator, except cancel().
class MigrationObserver {
 public:
  virtual ~MigrationObserver() = default;
  // After every change of state, and several times a second while memory moves.
  virtual void migration_progress(const MigrationProgress& progress) = 0;
  // Every step of the plan, for the log: row names are stable words. `detail` is QEMU's or the
  // storage's own text, or empty.
  virtual void migration_step(const Step& step, EventKind event, std::string_view detail) = 0;
};

// "copying memory": what a progress line shows.
std::string_view phase_of(State state);

struct MigrationNames {
  std::string guest;   // the resource
  std::string source;  // node names
  std::string destination;
};

// One sentence for a row that fails or refuses; empty where the row needs none.
std::string sentence_of(std::string_view row, const MigrationNames& names, std::string_view detail);

// The whole outcome: the reason, who runs now, and what is left to do.
std::string summary_of(State outcome, std::string_view reason, std::string_view last_row,
                       const MigrationNames& names, std::string_view detail);

}  // namespace baton::control::migration
