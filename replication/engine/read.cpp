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

// What surrounds a block that a guest wants, it is likely to want, too.
constexpr std::uint64_t hot_bytes = 64U << 10U;
constexpr std::size_t hot_ranges_max = 64;

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
  // At once: a write that this one overlaps may wait for a peer that is being lost, and a node that
  // goes on alone must know by then that its disk has failed.
  const bool late = mutant("read-error-noticed-late");
  if (!late) disk_error(own.error, "a read");
  leave_disk_alone();
  if (began != TimePoint{}) engine_.client_took(engine_.env().clock.now() - began);
  if (!late && own.error != IoError::none) co_return own.error;
  // What was read may be of a write that the peer does not have yet: were this host to die now, the
  // reader would have seen what never was (schedules: dirty-read). So wait for those writes.
  if (ranges_.written_in(offset, length) && !mutant("dirty-read")) {
    RangeGuard guard(ranges_, offset, length, false);
    co_await guard.acquired();
    guard.release();
  }
  if (lent_.lent_in(regions_of(offset, length)) && !mutant("reads-what-is-lent")) {
    co_await until_borrower_has_it(offset, length);
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

// The same of what the other node writes itself: it may be on this copy only. Where the link is
// lost this node goes on with it.
Task<> Volume::until_borrower_has_it(std::uint64_t offset, std::uint64_t length) {
  Session* const session = engine_.replicating();
  if (session == nullptr) co_return;
  reached("read-in-a-lent-region");
  take_back_idle(regions_of(offset, length), *session);
  co_await leave_to_show(offset, length, *session);
}

// Whether the other node says that what it was writing in the range is done.
Task<bool> Volume::leave_to_show(std::uint64_t offset, std::uint64_t length, Session& session) {
  Latch answered;
  PeerRequest asked;
  asked.answered = &answered;
  wire::Header leave;
  leave.volume = static_cast<std::uint16_t>(index_);
  leave.offset = offset;
  leave.length = length;
  leave.flags = wire::flag_leave;
  session.ask(asked, leave, wire::Type::read);
  co_await answered;
  co_return !asked.lost && asked.error == IoError::none;
}

Task<> Volume::serve_client_read(Request& request) {
  const TimePoint arrived = engine_.env().clock.now();
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
      error =
          co_await read_from_holder(request.offset, request.length, request.data, arrived, &reason);
    }
  } else {
    const bool done = co_await read_filled(request.offset, request.length, request.data);
    if (!done) {
      error =
          co_await read_from_holder(request.offset, request.length, request.data, arrived, &reason);
    }
  }
  request.error = error;
  request.reason = reason;
  request.complete();
}

Task<IoError> Volume::read_from_holder(std::uint64_t offset, std::uint64_t length, std::byte* data,
                                       TimePoint arrived, const char** reason) {
  // A guest that runs here does not see how long it takes; on another node nobody depends on it.
  const bool patient = engine_.served() || engine_.may_be_served();
  const TimePoint deadline = arrived + (patient ? engine_.fence_hold() : holder_patience);
  std::uint64_t done = 0;
  co_await Yield(engine_.env().loop);
  while (done < length) {
    const std::uint64_t piece = std::min<std::uint64_t>(wire::piece_bytes_max, length - done);
    Session* const session = co_await engine_.wait_for_holder_session(deadline, Op::read);
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

bool Volume::filled(std::uint64_t offset, std::uint64_t length) const {
  if (!engine_.served() || !attached() || failed_) return false;
  // Under A the holder's answer to a write may come before the write itself.
  const bool told = missing_ != nullptr && engine_.config().protocol != Protocol::a;
  return told ? !missing_->any_in(offset, length) : engine_.shares_whole_copy(*this);
}

// Whoever holds the baton has sent every write that it has answered (C: and it is on this disk; B:
// it was received), so this copy is as good as the holder's, as long as that one still holds and
// has not gone on without this node. It is asked, with a read of no bytes, while the disk is read.
//
// With two primaries what the holder's own clients are writing may be on this copy and not yet on
// the holder's: who reads there next would be shown something older. So the holder is asked when
// the disk has been read, and answers when what it writes in the range is done.
Task<bool> Volume::read_filled(std::uint64_t offset, std::uint64_t length, std::byte* data) {
  Session* const session = engine_.holder_session();
  if (session == nullptr || !filled(offset, length)) co_return false;
  const bool others_write = engine_.config().two_primaries && !mutant("dirty-shared-read");
  const std::uint64_t session_id = session->id();
  Latch answered;
  PeerRequest asked;
  asked.answered = &answered;
  wire::Header leave;
  leave.volume = static_cast<std::uint16_t>(index_);
  leave.offset = offset;
  if (!others_write && !mutant("filled-read-without-leave")) {
    session->ask(asked, leave, wire::Type::read);
  }
  // What this node's own clients are writing may be on this copy and not yet on the holder's.
  RangeGuard order(forwarding_, offset, length, false);
  if (!mutant("dirty-filled-read")) co_await order.acquired();
  RangeGuard guard(ranges_, offset, length, false);
  co_await guard.acquired();
  Request own;
  own.op = Op::read;
  own.offset = offset;
  own.length = length;
  own.data = data;
  own.error = IoError::io;
  if (filled(offset, length)) {
    ++disk_users_;
    co_await perform(disk(), own);
    disk_error(own.error, "a read");
    leave_disk_alone();
  }
  guard.release();
  if (order.entered()) order.release();
  co_await answered;
  bool good = own.error == IoError::none && !asked.lost && asked.error == IoError::none;
  if (good && others_write && !mutant("shared-read-without-leave")) {
    // The session may be over, and another one begun, of which what was read knows nothing.
    Session* const now = engine_.holder_session();
    const bool same = now != nullptr && now->id() == session_id;
    good = (same || (now != nullptr && mutant("leave-of-another-session"))) &&
           co_await leave_to_show(offset, length, *now);
  }
  if (good) reached("filled-blocks-read-here");
  co_return good;
}

void Volume::start_filling() {
  missing_ = std::make_unique<blockdev::Bitmap>(size());
  missing_->merge(bits());
}

void Volume::stop_filling() {
  missing_.reset();
  hot_.clear();
}

void Volume::note_hot(std::uint64_t offset, std::uint64_t length) {
  if (!bits().any_in(offset, length)) return;
  const std::uint64_t first = offset / hot_bytes * hot_bytes;
  const std::uint64_t end = std::min((offset + length + hot_bytes - 1) / hot_bytes * hot_bytes,
                                     bits().blocks() * blockdev::block_bytes);
  const blockdev::BlockRange wanted{first / blockdev::block_bytes,
                                    (end - first) / blockdev::block_bytes};
  if (std::ranges::find(hot_, wanted) != hot_.end()) return;
  if (hot_.size() == hot_ranges_max) hot_.pop_front();
  hot_.push_back(wanted);
}

std::optional<blockdev::BlockRange> Volume::next_hot(std::uint64_t blocks_max) {
  while (!hot_.empty()) {
    blockdev::BlockRange& wanted = hot_.front();
    const std::uint64_t end = wanted.first + wanted.count;
    auto found = bits().next_set(wanted.first, std::min(blocks_max, wanted.count));
    if (!found || found->first >= end) {
      hot_.pop_front();
      continue;
    }
    found->count = std::min(found->count, end - found->first);
    wanted.first = found->first + found->count;
    wanted.count = end - wanted.first;
    if (wanted.count == 0) hot_.pop_front();
    reached("hot-blocks-copied-first");
    return found;
  }
  return std::nullopt;
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
  const bool leave = (read.flags & wire::flag_leave) != 0;
  if (leave && !session.peer_holding) {
    if (ranges_.written_in(read.offset, read.length)) {
      RangeGuard guard(ranges_, read.offset, read.length, false);
      co_await guard.acquired();
      guard.release();
    }
    if (engine_.reads_own_copy() && !failed_) error = IoError::none;
    read.length = 0;
  } else if (leave) {
    // The holder has read in a region that it has lent.
    RangeGuard guard(ranges_, read.offset, read.length, false);
    co_await guard.acquired();
    guard.release();
    if (!failed_) error = IoError::none;
    read.length = 0;
  } else if (read.length == 0 && engine_.reads_own_copy() && !failed_) {
    error = IoError::none;
  } else if (engine_.reads_own_copy() && !failed_) {
    if (syncing && engine_.serves_peer()) note_hot(read.offset, read.length);
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
