// Flushes: a client's, the engine's own that make room in the logs, and what each proves (rules 2,
// 5 and 6).
#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

Task<IoError> Volume::flush_copies(bool own_protocol) {
  Session* const session = engine_.replicating();
  const std::uint64_t region_interval = metadata_->begin_interval();
  const std::uint64_t peer_interval = unflushed_.begin_interval();
  const bool peer = session != nullptr &&
                    !(own_protocol &&
                      (engine_.config().protocol == Protocol::a || mutant("flush-not-forwarded")));
  Latch both;
  PeerRequest asked;
  asked.answered = &both;
  if (peer) {
    wire::Header flush;
    flush.volume = static_cast<std::uint16_t>(index_);
    flush.follows = session->last_number();
    session->ask(asked, flush, wire::Type::flush);
  }
  Request own;
  own.op = Op::flush;
  both.add();
  OwnShare share{*this, "a flush", both};
  own.on_complete(&OwnShare::done, &share);
  ++disk_users_;
  disk().submit(own);
  co_await both;
  leave_disk_alone();
  if (own.error != IoError::none) {
    co_await engine_.flush_failed(*this);
    co_return IoError::io;
  }
  // Once a disk here has failed, the peer's copy is the one that counts (rule 2).
  if (asked.lost && engine_.cannot_go_alone()) {
    reached("flush-lost-with-both-copies");
    co_return IoError::io;
  }
  if (!peer || asked.lost) co_return IoError::none;
  if (asked.error != IoError::none) {
    reached("peer-flush-failed");
    // Its copy is not to be counted any more: what it has not flushed becomes bits first.
    if (engine_.replicating() == session) session->drop("the peer's disk failed a flush");
    while (engine_.replicating() == session || engine_.going_alone()) {
      co_await engine_.gate_changed().wait();
    }
    co_return IoError::none;
  }
  unflushed_.flushed(peer_interval, [this](const UnflushedLog::Entry& entry) {
    if (entry.resync) bits().clear(entry.offset, entry.length);
  });
  // The session may have ended while the own disk was still flushing.
  if (engine_.replicating() == session) session->window_moved().notify_all();
  metadata_->mark_clean(region_interval);
  ++regions_cleaned_;
  co_return IoError::none;
}

Task<IoError> Volume::settle_alone() {
  const std::uint64_t interval = metadata_->begin_interval();
  Request own;
  own.op = Op::flush;
  ++disk_users_;
  co_await perform(disk(), own);
  leave_disk_alone();
  if (own.error != IoError::none) {
    co_await engine_.flush_failed(*this);
    co_return IoError::io;
  }
  const IoError written = co_await metadata_->write_bitmap(0);
  if (written != IoError::none) {
    engine_.disk_failed(*this, "writing the bitmap");
    co_return IoError::io;
  }
  metadata_->mark_clean(interval);
  ++regions_cleaned_;
  co_return IoError::none;
}

// Schedules: never-flushes. A guest that never flushes is flushed for.
Task<> Volume::clean_activity_log() {
  room_wanted_ = true;
  if (cleaning_) co_return;
  cleaning_ = true;
  while (room_wanted_ && !failed_) {
    // Somebody else's flush may make room meanwhile, not enough of it: then the log asks again.
    room_wanted_ = false;
    const std::uint64_t before = regions_cleaned_;
    if (engine_.replicating() != nullptr) {
      co_await flush_copies(false);
    } else {
      co_await settle_alone();
    }
    if (mutant("room-asked-for-once")) break;
    // It asks once and then waits: a flush that the loss of the peer has cut short cleaned nothing,
    // and what the peer had not flushed has become bits.
    if (regions_cleaned_ == before) {
      reached("room-asked-for-again");
      room_wanted_ = true;
    }
  }
  cleaning_ = false;
  drained_.notify_all();
}

void Volume::flush_peer_soon() {
  if (std::exchange(barrier_running_, true)) return;
  engine_.spawn(flush_peer());
}

Task<> Volume::flush_peer() {
  co_await flush_copies(false);
  barrier_running_ = false;
}

Task<> Volume::serve_client_flush(Request& request, ClientDevice& client) {
  const std::uint64_t number = client.requests;
  IoError error = IoError::none;
  if (engine_.may_write() || engine_.served()) {
    // Noted before: what the client writes while this flush runs is not covered by it.
    client.unflushed_writes = false;
    error = co_await flush_for_client();
    if (error != IoError::none) client.unflushed_writes = true;
  } else {
    // Nothing of this client's can be unflushed here: the baton left with everything on stable
    // storage (handover step 2), and a Secondary admits no write. Unless the role was lost with the
    // node that served it.
    co_await Yield(engine_.env().loop);
    if (client.unflushed_writes) error = IoError::io;
  }
  if (error == IoError::none && client.requests == number) {
    client.silent_since = engine_.env().clock.now();
    if (engine_.minds_clients()) engine_.client_moved();
  }
  request.error = error;
  request.complete();
}

Task<IoError> Volume::flush_for_client() {
  const TimePoint deadline = engine_.env().clock.now() + engine_.fence_hold();
  IoError error = IoError::io;
  while (engine_.may_write() || engine_.served()) {
    const bool here = engine_.may_write() && !failed_ && !engine_.cannot_go_alone();
    if (here) {
      error = co_await flush_copies(true);
      if (error == IoError::none && engine_.flush_hangs_on_peer()) {
        reached("flush-waits-for-the-lost-peer");
        error = co_await engine_.wait_for_lost_peer(deadline);
        if (error == IoError::none) continue;
        break;
      }
    } else {
      error = co_await flush_through_holder(deadline);
    }
    if (error == IoError::none || !here || !engine_.may_be_served()) break;
    // The disk here has failed under the flush; the copy that goes on is asked.
    reached("flush-asked-of-the-other-copy");
  }
  co_return error;
}

}  // namespace baton::replication
