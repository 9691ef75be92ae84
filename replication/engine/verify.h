// One pass of a verify over all volumes: where it is, and what it has found (verify.cpp).
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "replication/core/estimate.h"
#include "replication/core/found_ranges.h"
#include "replication/core/states.h"

namespace baton::replication {

struct VerifyPass {
  bool begun = false;     // ever, since the resource came up
  bool running = false;   // here, or, with `elsewhere`, on the node that holds the baton
  bool complete = false;  // came to its end
  bool elsewhere = false;
  bool repair = false;
  bool stop_wanted = false;
  bool scheduled = false;
  std::uint64_t session = 0;  // of the last run
  std::uint64_t number = 0;   // of runs, so that whoever waits for one does not wait for the next
  // Where it is, or, cut off, where the next one goes on.
  std::uint32_t volume = 0;
  std::uint64_t block = 0;
  std::uint64_t done_bytes = 0;
  std::uint64_t repaired_bytes = 0;
  FoundRanges found;
  std::uint64_t told_bytes = 0;  // `elsewhere`: that differ
  Estimate estimate;
  std::optional<TimePoint> complete_at;
  Result<> outcome;

  // A pass that was cut off goes on; another one begins.
  bool resumable() const { return begun && !running && !complete && !elsewhere; }
  void begin_anew() {
    volume = 0;
    block = done_bytes = repaired_bytes = 0;
    found = {};
  }
  ReplicationState shown_state(std::uint32_t of) const {
    if (!running || of != volume) return ReplicationState::established;
    return elsewhere ? ReplicationState::verify_t : ReplicationState::verify_s;
  }
};

}  // namespace baton::replication
