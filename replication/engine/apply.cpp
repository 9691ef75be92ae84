// The peer's side: what the holder sends is applied in the holder's order, and answered.
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

void Volume::apply(Incoming&& message, Session& session) {
  const wire::Header& header = message.header;
  if (lent_.lent() > 0 && header.length > 0) {
    lent_.written(regions_of(header.offset, header.length), engine_.env().clock.now());
  }
  session.scope().spawn(apply_one(std::move(message), session));
}

// Starts in the order of arrival, up to its claim; overlapping writes go on in that order.
Task<> Volume::apply_one(Incoming message, Session& session) {
  const wire::Header header = message.header;
  Applied applied;
  applied.number = header.number;
  applying_.push_back(applied);
  if ((header.flags & wire::flag_resync) != 0) sync_received(header);
  wire::Header reply;
  reply.volume = header.volume;
  reply.number = header.number;
  if ((header.flags & wire::flag_ack_received) != 0) session.tell(reply, wire::Type::received);

  RangeGuard guard(ranges_, header.offset, header.length, true);
  co_await guard.acquired();
  Request own;
  own.op = message.type() == wire::Type::write ? Op::write : Op::write_zeroes;
  own.flags.fua = (header.flags & wire::flag_fua) != 0 && !mutant("fua-ignored");
  own.flags.no_hole = (header.flags & wire::flag_no_hole) != 0;
  own.offset = header.offset;
  own.length = header.length;
  own.data = message.payload.data();
  if (failed_) {
    own.error = IoError::io;
  } else if (own.op == Op::write || !mutant("trim-not-replicated")) {
    co_await perform(disk(), own);
  }
  // Whole blocks only: of one that was written in part the rest is still to come.
  if (missing_ != nullptr && own.error == IoError::none) {
    const bool in_part = mutant("part-of-a-block-is-all-of-it");
    const std::uint64_t before = in_part ? header.offset % blockdev::block_bytes : 0;
    missing_->clear(header.offset - before,
                    header.length + before + (in_part ? blockdev::block_bytes : 0));
  }
  guard.release();
  const bool for_holder = !session.peer_holding;  // in a region that was lent
  if (header.follows != 0 && own.error == IoError::none) {
    if (!for_holder) {
      engine_.own_writes().arrived(header.follows);
    } else if (!mutant("borrowed-write-not-remembered")) {
      engine_.done_writes().note_applied(header.number, header.follows);
    }
  }
  if (for_holder && own.error == IoError::no_space) {
    // The session ends, the next one copies the range from here, and the write is asked for again
    // as one that waits for room.
    reached("holder-full-in-a-lent-region");
    bits().set(header.offset, header.length);
    session.drop("this node's disk has no room for a write of the other node");
  }
  // A Primary that is served while its copy is filled goes on without the copy.
  const bool full = !for_holder && own.error == IoError::no_space && !engine_.served() &&
                    !mutant("full-peer-disk-fails");
  if (full) engine_.no_room_for_peer(*this, header.offset, header.length, session);
  applied.unlink();
  applied_.notify_all();
  if (for_holder && own.error == IoError::no_space) co_return;
  if (full) co_return;  // it is not written: nobody hears that it is done
  if (own.error != IoError::none && !mutant("peer-eio-ignored")) {
    // The holder is about to be served by who wrote this.
    reply.flags = for_holder ? wire::flag_again : wire::flag_error;
    engine_.disk_failed(*this, "a write from the peer");
  }
  session.tell(reply, wire::Type::done);
}

Task<> Volume::applied_all() {
  while (!applying_.empty()) co_await applied_.wait();
}

void Volume::serve_flush(const wire::Header& flush, Session& session) {
  session.scope().spawn(flush_for_peer(flush, session));
}

// A flush may overtake the writes that it names (schedules: priority-overtakes).
Task<> Volume::flush_for_peer(wire::Header flush, Session& session) {
  const bool waits = !mutant("flush-overtakes-writes");
  while (waits && session.received_number() < flush.follows && !session.dropped()) {
    co_await session.bulk_received().wait();
  }
  while (waits && !applying_.empty() && applying_.front().number <= flush.follows) {
    co_await applied_.wait();
  }
  if (session.dropped()) co_return;
  IoError error = IoError::io;
  if (!failed_ && engine_.takes_writes()) {
    // A peer that is going down asks the holder: what both have flushed when it leaves need not
    // become bits, so that a clean stop leaves nothing to copy.
    error = co_await flush_copies(false);
    if (session.dropped()) co_return;
  } else if (!failed_) {
    Request own;
    own.op = Op::flush;
    if (!mutant("flush-answered-unflushed")) co_await perform(disk(), own);
    error = own.error;
    if (error != IoError::none) co_await engine_.flush_failed(*this);
  }
  wire::Header reply;
  reply.volume = flush.volume;
  reply.number = flush.number;
  if (error != IoError::none) reply.flags = wire::flag_error;
  session.tell(reply, wire::Type::flushed);
}

}  // namespace baton::replication
