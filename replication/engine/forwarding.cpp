// Writes and flushes of a Primary that does not hold the baton: the holder does them, as it does
// its own clients', and answers (docs/replication.md "A node without its disk").
//
// What the link takes with it was answered to nobody. It is begun once more when the nodes meet
// again, and the old session's part is over by then (connection.cpp), so a write that was carried
// out twice is the same write twice with nothing in between. With two primaries there may be
// something in between: then the holder remembers what it has done (core/write_ids.h).
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

namespace {

// The holder could not take a write just now: it is handing the baton over. What comes of that
// changes the gate here, too; if nothing comes of it, the holder is asked again after this.
constexpr Duration ask_again_after = std::chrono::milliseconds(10);

}  // namespace

// --- at the node whose client writes -------------------------------------------------------------

Task<> Volume::write_through_holder(Request& request, Outcome& outcome, Forwarded& forwarded) {
  if (forwarded.first_id == 0) {
    forwarded.pieces = (request.length + wire::piece_bytes_max - 1) / wire::piece_bytes_max;
    forwarded.first_id = engine_.own_writes().begin(forwarded.pieces);
  }
  // With two primaries others may have written over what is done. With one, all of it goes to the
  // holder once more, who may be another one by now, with a copy of its own.
  if (!engine_.config().two_primaries) forwarded.done = 0;
  forwarded.batons = engine_.batons_granted();
  while (forwarded.done < forwarded.pieces && !outcome.elsewhere &&
         outcome.error == IoError::none) {
    const std::uint64_t at = forwarded.done * wire::piece_bytes_max;
    const std::uint64_t length =
        std::min<std::uint64_t>(wire::piece_bytes_max, request.length - at);
    std::byte* data = request.op == Op::write ? request.data + at : nullptr;
    Session* const holder = engine_.holder_session();
    const std::uint64_t instance = holder != nullptr ? holder->peer_instance() : 0;
    const std::uint64_t session = holder != nullptr ? holder->id() : 0;
    const Piece piece{&request,
                      request.offset + at,
                      length,
                      data,
                      forwarded.first_id + forwarded.done,
                      forwarded.asked != 0};
    // What the holder may have done it is asked for: it knows.
    if (!piece.asked_before && lender(piece.offset, piece.length) != nullptr) {
      outcome.error = co_await write_borrowed(piece, outcome);
    } else {
      outcome.error = co_await forward_when_there_is_room(piece, outcome);
    }
    if (outcome.lost && engine_.config().two_primaries) {
      forwarded.asked = instance;
      forwarded.asked_in = session;
    }
    if (outcome.elsewhere) continue;
    forwarded.asked = 0;
    ++forwarded.done;
  }
  if (!outcome.elsewhere) {
    request.error = outcome.error;
    request.complete();
  }
}

Task<IoError> Volume::forward_piece(Piece piece, Outcome& outcome) {
  const Request& request = *piece.request;
  Session* const session = engine_.forwards() ? engine_.holder_session() : nullptr;
  if (session == nullptr) {
    outcome.elsewhere = true;
    co_return IoError::none;
  }
  AwaitedMessage message;
  message.header.volume = static_cast<std::uint16_t>(index_);
  message.header.offset = piece.offset;
  message.header.length = piece.length;
  std::uint32_t flags = 0;
  if (request.flags.fua) flags |= wire::flag_fua;
  if (request.flags.no_hole) flags |= wire::flag_no_hole;
  if (piece.asked_before) flags |= wire::flag_again;
  message.header.flags = flags;
  const bool data = request.op == Op::write;
  if (data) message.payload = {piece.data, piece.length};
  message.left.add();
  Latch answered;
  PeerRequest asked;
  asked.answered = &answered;
  session->forward(asked, message, data ? wire::Type::client_write : wire::Type::client_zero,
                   piece.id);
  co_await answered;
  co_await message.left;
  if (asked.lost) {
    reached("forwarded-write-lost");
    outcome.elsewhere = outcome.lost = true;
  } else if (asked.again) {
    reached("forwarded-write-refused");
    outcome.elsewhere = true;
    Clock& clock = engine_.env().clock;
    co_await engine_.gate_changed().wait_until(clock, clock.now() + ask_again_after);
  }
  co_return asked.lost || asked.again ? IoError::none : asked.error;
}

// Everything acknowledged before, on every node, is on stable storage where it counts.
Task<IoError> Volume::flush_through_holder(TimePoint deadline) {
  while (engine_.served() || engine_.may_be_served()) {
    if (mutant("served-flush-not-asked")) co_return IoError::none;
    Session* const session = co_await engine_.wait_for_holder_session(deadline, Op::flush);
    if (session == nullptr) {
      // As a write that waits: it pauses a QEMU guest, and no file system hears of it.
      const bool late = engine_.served() && engine_.env().clock.now() >= deadline;
      if (late) co_return IoError::no_space;
      // The baton comes here just now.
      if (mutant("flush-fails-as-the-baton-comes")) co_return IoError::io;
      break;
    }
    const std::uint64_t region_interval = attached() ? metadata_->begin_interval() : 0;
    const std::uint64_t peer_interval = unflushed_.begin_interval();
    Latch answered;
    PeerRequest asked;
    asked.answered = &answered;
    wire::Header flush;
    flush.volume = static_cast<std::uint16_t>(index_);
    // What was noted here, too, is flushed there.
    if (!mutant("borrowed-writes-unflushed")) flush.follows = session->last_number();
    session->ask(asked, flush, wire::Type::flush);
    co_await answered;
    if (!asked.lost && asked.error == IoError::none && engine_.replicating() == session) {
      // Both copies: what was written here in borrowed regions, too.
      unflushed_.flushed(peer_interval, [](const UnflushedLog::Entry&) {});
      session->window_moved().notify_all();
      if (attached()) metadata_->mark_clean(region_interval);
      ++regions_cleaned_;
    }
    // The holder's disk has failed, and this copy is about to take over.
    Clock& clock = engine_.env().clock;
    const bool again = asked.error != IoError::none && engine_.config().two_primaries &&
                       clock.now() < deadline && !mutant("flush-fails-with-the-holders-disk");
    if (!asked.lost && !again) co_return asked.error;
    if (asked.lost) reached("forwarded-flush-lost");
    if (!asked.lost) {
      co_await engine_.gate_changed().wait_until(clock, clock.now() + ask_again_after);
    }
  }
  // The baton has come here with everything on stable storage, or the role is lost.
  co_return engine_.may_write() ? IoError::none : IoError::io;
}

// --- at the holder -------------------------------------------------------------------------------

void Volume::serve_forwarded(Incoming&& message, Session& session) {
  if (syncing) engine_.client_asks();
  session.scope().spawn(write_for_peer(std::move(message), session));
}

Task<> Volume::write_for_peer(Incoming message, Session& session) {
  const wire::Header header = message.header;
  wire::Header reply;
  reply.volume = header.volume;
  reply.number = header.number;
  Outcome outcome{.hold_until = engine_.env().clock.now() + engine_.fence_hold()};
  Latch answered;
  // Done already, and the answer was lost with its session: since then others may have read it and
  // written over it (docs/dual-primary.md "A write is done once").
  const bool once = engine_.config().two_primaries && !mutant("done-as-often-as-asked");
  const std::uint64_t id = header.number & ~wire::client_number;
  DoneWrites& done = engine_.done_writes();
  if (once) {
    done.forget_before(header.follows);
    const bool again = (header.flags & wire::flag_again) != 0;
    if (const auto known = again ? done.find(id) : std::nullopt) {
      reached("forwarded-write-done-before");
      outcome.error = *known;
      answer_forwarded(reply, outcome, session);
      co_return;
    }
  }
  if (engine_.takes_forwarded(header, session) && header.length > 0) {
    Request request;
    request.op = message.type() == wire::Type::client_write ? Op::write : Op::write_zeroes;
    request.flags.fua = (header.flags & wire::flag_fua) != 0;
    request.flags.no_hole = (header.flags & wire::flag_no_hole) != 0;
    request.offset = header.offset;
    request.length = header.length;
    request.data = message.payload.data();
    ++writes_in_flight_;
    RangeGuard guard(ranges_, request.offset, request.length, true);
    co_await guard.acquired();
    outcome.answered = &answered;
    answered.add();
    Scope writing(engine_.env().loop);
    writing.spawn(
        write_piece({&request, request.offset, request.length, request.data, id}, outcome));
    co_await answered;
    const bool begun = !outcome.elsewhere && outcome.error != IoError::not_permitted;
    if (once && begun) done.note(id, outcome.error);
    if (!session.dropped()) answer_forwarded(reply, outcome, session);
    guard.release();
    if (once && outcome.error == IoError::none && !outcome.elsewhere && !session.dropped()) {
      consider_lending(header.offset, header.length, session);
    }
    co_await writing.join();
    if (--writes_in_flight_ == 0) drained_.notify_all();
    co_return;
  }
  outcome.elsewhere = true;
  if (!session.dropped()) answer_forwarded(reply, outcome, session);
}

void Volume::answer_forwarded(wire::Header reply, const Outcome& outcome, Session& session) {
  if (outcome.elsewhere || outcome.error == IoError::not_permitted) {
    reply.flags = wire::flag_again;
  } else if (outcome.error == IoError::no_space) {
    reply.flags = wire::flag_error | wire::flag_full;
  } else if (outcome.error != IoError::none) {
    reply.flags = wire::flag_error;
  }
  session.tell(reply, wire::Type::client_done);
}

}  // namespace baton::replication
