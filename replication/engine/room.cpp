// A disk without room, as a thin image on a full file system: it is no failed disk. What it has no
// room for waits and is tried again, and goes on when there is some (docs/replication.md "A disk
// that is full").
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

namespace {

constexpr Duration try_again = std::chrono::seconds(1);
constexpr std::uint64_t probe_bytes_max = 1U << 20U;
constexpr const char* waits = "the disk of this node has no room";
constexpr const char* holder_waits =
    "the disk of the other node, which serves this one, has no room";

}  // namespace

// A while later; false at the deadline (rule 11), or when room here would not help any more.
Task<bool> Engine::may_try_for_room(TimePoint deadline) {
  const auto of_use = [this] {
    return up_ && !stopping_ && !changing_disks_ && !leaving_disk_ && (may_write() || served_);
  };
  const TimePoint next = env_.clock.now() + try_again;
  if (next > deadline || mutant("full-disk-not-waited-for")) co_return false;
  while (of_use() && co_await gate_changed_.wait_until(env_.clock, next)) {
  }
  co_return of_use();
}

// The client has not heard of the write yet, and its range is held, so nothing that overlaps it
// comes before it. What a peer's client wrote is answered at once: that node waits.
Task<IoError> Volume::write_when_there_is_room(Request& own, TimePoint deadline,
                                               const char** reason) {
  if (!engine_.may_write()) co_return IoError::no_space;
  if (!std::exchange(room_wait_logged_, true)) {
    engine_.log(Journal::Level::warning,
                fmt::format("volume {}: {} has no room for a write; what needs room waits up to "
                            "fence-hold",
                            index_, disk().name()));
  }
  if (mutant("each-hold-by-itself")) deadline = engine_.env().clock.now() + engine_.fence_hold();
  engine_.write_is_held(waits);
  IoError error = IoError::no_space;
  while (error == IoError::no_space && !failed_ && co_await engine_.may_try_for_room(deadline)) {
    own.error = IoError::none;
    ++disk_users_;
    co_await perform(disk(), own);
    error = disk_error(own.error, "a write");
    leave_disk_alone();
  }
  engine_.held_write_goes_on();
  if (error == IoError::no_space) *reason = waits;
  if (error == IoError::none) {
    reached("room-again");
    if (std::exchange(room_wait_logged_, false)) {
      engine_.log(Journal::Level::notice,
                  fmt::format("volume {}: {} has room again", index_, disk().name()));
    }
  }
  co_return error;
}

// The same at a node whose clients the other one serves.
Task<IoError> Volume::forward_when_there_is_room(Piece piece, Outcome& outcome) {
  IoError error = co_await forward_piece(piece, outcome);
  if (error != IoError::no_space) co_return error;
  reached("room-waited-for-at-the-holder");
  engine_.write_is_held(holder_waits);
  while (error == IoError::no_space && !outcome.elsewhere &&
         co_await engine_.may_try_for_room(outcome.hold_until)) {
    piece.asked_before = true;
    error = co_await forward_piece(piece, outcome);
  }
  engine_.held_write_goes_on();
  if (error == IoError::no_space) piece.request->reason = holder_waits;
  co_return error;
}

// At the other node. The session ends at once, before anything is answered that came after the
// write; this copy lacks it, and is no copy to fail over to.
void Engine::no_room_for_peer(Volume& volume, std::uint64_t offset, std::uint64_t length,
                              Session& session) {
  reached("no-room-for-the-peer");
  if (std::exchange(short_of_room_, true)) return session.drop(no_room_sentence());
  log(Journal::Level::error,
      fmt::format("volume {}: {} has no room for a write of the other node; free some: this copy "
                  "is brought up to date then",
                  volume.index(), volume.disk().name()));
  outdated_ = !mutant("full-copy-counts");
  arrival_ = Arrival::crashed;
  session.drop(no_room_sentence());
  scope_.spawn(wait_for_room(volume, offset, std::min(length, probe_bytes_max)));
}

std::string Engine::no_room_sentence() const {
  return fmt::format("the disk of {} is full", config_.self);
}

Task<> Engine::wait_for_room(Volume& volume, std::uint64_t offset, std::uint64_t length) {
  const auto usable = [&] { return up_ && !stopping_ && volume.attached() && !volume.failed(); };
  // Nothing is written while the disks are opened or closed.
  while (changing_disks_ && up_ && !stopping_) {
    co_await gate_changed_.wait_until(env_.clock, env_.clock.now() + try_again);
  }
  const bool recorded = !usable() || co_await commit();
  if (!recorded) log(Journal::Level::error, "that this copy lacks a write cannot be recorded");
  bool room = false;
  TimePoint next = env_.clock.now() + try_again;
  while (usable() && !room) {
    if (co_await gate_changed_.wait_until(env_.clock, next)) continue;
    next = env_.clock.now() + try_again;
    if (changing_disks_ || !usable()) continue;
    room = co_await volume.write_same_again(offset, length) == IoError::none;
  }
  short_of_room_ = false;
  if (room) {
    reached("room-for-the-peer-again");
    log(Journal::Level::notice,
        fmt::format("volume {}: {} has room again", volume.index(), volume.disk().name()));
    last_error_.clear();
    dial_at_ = {};
  }
  session_changed_.notify_all();
  changed();
}

// What the disk shows there: whoever reads it sees no change, and a hole takes room.
Task<IoError> Volume::write_same_again(std::uint64_t offset, std::uint64_t length) {
  RangeGuard guard(ranges_, offset, length, true);
  co_await guard.acquired();
  if (!attached() || failed_) co_return IoError::io;  // meanwhile
  // Whoever has been promoted meanwhile recovers by its log (rule 5).
  const bool logs = engine_.takes_writes();
  IoError logged = IoError::none;
  if (logs) logged = co_await metadata_->acquire(offset, length);
  if (logged != IoError::none) co_return logged;
  const IoError error = co_await read_and_write_again(offset, length);
  if (logs) metadata_->release(offset, length);
  co_return error;
}

Task<IoError> Volume::read_and_write_again(std::uint64_t offset, std::uint64_t length) {
  Buffer data = engine_.env().buffers.take(length);
  if (!data) co_return IoError::no_memory;
  Request io;
  io.op = Op::read;
  io.offset = offset;
  io.length = length;
  io.data = data.data();
  ++disk_users_;
  co_await perform(disk(), io);
  if (io.error == IoError::none) {
    io.op = Op::write;
    co_await perform(disk(), io);
  }
  // Before the disk may be closed.
  const IoError error = disk_error(io.error, "a write");
  leave_disk_alone();
  co_return error;
}

}  // namespace baton::replication
