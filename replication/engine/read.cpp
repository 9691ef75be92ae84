// Reads (rule 7): locally only at the holder, and never what is not finished on every copy.
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

namespace {

// A read at a node that cannot serve it waits this long for a holder: less than any guest's
// patience, and long enough for a reconnect (design rule 7).
constexpr Duration holder_patience = std::chrono::seconds(2);

}  // namespace

Task<IoError> Volume::read_own(std::uint64_t offset, std::uint64_t length, std::byte* data) {
  const TimePoint began = syncing ? engine_.env().clock.now() : TimePoint{};
  Request own;
  own.op = Op::read;
  own.offset = offset;
  own.length = length;
  own.data = data;
  ++disk_users_;
  co_await perform(disk(), own);
  leave_disk_alone();
  if (began != TimePoint{}) engine_.client_took(engine_.env().clock.now() - began);
  // At once: a write that this one overlaps may wait for a peer that is being lost, and a node that
  // goes on alone must know by then that its disk has failed.
  const bool late = mutant("read-error-noticed-late");
  if (!late && disk_error(own.error, "a read") != IoError::none) co_return own.error;
  // What was read may be of a write that the peer does not have yet: were this host to die now, the
  // reader would have seen what never was (schedules: dirty-read). So wait for those writes.
  if (ranges_.written_in(offset, length) && !mutant("dirty-read")) {
    RangeGuard guard(ranges_, offset, length, false);
    co_await guard.acquired();
    guard.release();
  }
  // Nor what failed for its client and is open: neither the peer's return has made it count, nor a
  // word that this node goes on alone (suspended.cpp).
  if (!open_.empty()) {
    const IoError error = co_await until_settled(offset, length);
    if (error != IoError::none) co_return error;
  }
  // Nor what only this node has, once the other's copy is the one that counts.
  if (late) disk_error(own.error, "a read");
  if (own.error == IoError::none && engine_.cannot_go_alone()) co_return IoError::io;
  co_return own.error;
}

Task<> Volume::serve_client_read(Request& request) {
  IoError error = IoError::none;
  const char* reason = nullptr;
  if (request.length == 0) {
    co_await Yield(engine_.env().loop);
  } else if (engine_.reads_own_copy()) {
    error = co_await read_own(request.offset, request.length, request.data);
    // Still the holder? If not, somebody else may have written meanwhile.
    const bool elsewhere = error == IoError::io && engine_.may_be_served();
    const bool left = error == IoError::none && !engine_.reads_own_copy();
    if (elsewhere) reached("read-of-a-failed-disk-served");
    if (left) reached("read-after-the-baton-left");
    if (elsewhere || left) {
      error = co_await read_from_holder(request.offset, request.length, request.data, &reason);
    }
  } else {
    error = co_await read_from_holder(request.offset, request.length, request.data, &reason);
  }
  request.error = error;
  request.reason = reason;
  request.complete();
}

Task<IoError> Volume::read_from_holder(std::uint64_t offset, std::uint64_t length, std::byte* data,
                                       const char** reason) {
  // A guest that runs here does not see how long it takes; on another node nobody depends on it.
  const bool patient = engine_.served() || engine_.may_be_served();
  const TimePoint deadline =
      engine_.env().clock.now() + (patient ? engine_.fence_hold() : holder_patience);
  std::uint64_t done = 0;
  co_await Yield(engine_.env().loop);
  while (done < length) {
    const std::uint64_t piece = std::min<std::uint64_t>(wire::piece_bytes_max, length - done);
    Session* const session = co_await engine_.wait_for_holder_session(deadline);
    if (session == nullptr && engine_.reads_own_copy()) {
      co_return co_await read_own(offset + done, length - done, data + done);
    }
    if (session == nullptr) {
      *reason = "no node that holds the baton can be asked for this block";
      co_return IoError::io;
    }
    Latch answered;
    PeerRequest asked;
    asked.into = {data + done, piece};
    asked.answered = &answered;
    wire::Header read;
    read.volume = static_cast<std::uint16_t>(index_);
    read.offset = offset + done;
    read.length = piece;
    session->ask(asked, read, wire::Type::read);
    co_await answered;
    // Lost or refused: the baton may have moved, or the link will come back; until the deadline.
    const bool again = asked.lost || asked.error != IoError::none;
    if (again && engine_.env().clock.now() >= deadline) {
      reached("read-not-served-by-the-holder");
      *reason = "the node that holds the baton could not serve this block";
      co_return IoError::io;
    }
    if (again && !asked.lost)
      co_await sleep_for(engine_.env().clock, std::chrono::milliseconds(10));
    if (!again) done += piece;
  }
  co_return IoError::none;
}

void Volume::serve_read(const wire::Header& read, Session& session) {
  if (syncing) engine_.client_asks();
  session.scope().spawn(read_for_peer(read, session));
}

Task<> Volume::read_for_peer(wire::Header read, Session& session) {
  AwaitedMessage reply;
  reply.header.volume = read.volume;
  reply.header.number = read.number;
  reply.header.offset = read.offset;
  Buffer data;
  IoError error = IoError::io;
  if (engine_.reads_own_copy() && !failed_) {
    data = engine_.env().buffers.take(read.length);
    if (data) error = co_await read_own(read.offset, read.length, data.data());
    if (!engine_.reads_own_copy()) error = IoError::io;
  }
  if (session.dropped()) co_return;
  if (error == IoError::none) {
    reply.header.length = read.length;
    reply.payload = data.span();
  } else {
    reply.header.flags = wire::flag_error;
  }
  reply.left.add();
  session.send_bulk(reply, wire::Type::data);
  co_await reply.left;
}

}  // namespace baton::replication
