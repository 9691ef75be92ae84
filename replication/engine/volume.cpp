#include "replication/engine/volume.h"

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

// Notes of the unflushed log: 32 bytes each. At half of this a flush of the peer is due, so a guest
// that never flushes is flushed for about every 8,000 scattered writes.
constexpr std::size_t unflushed_notes = 16384;

// A zeroing carries no payload; this bounds how long it keeps a range and activity log regions
// busy.
constexpr std::uint64_t zero_piece_bytes = 32U << 20U;

std::uint64_t piece_max(const Request& request) {
  return request.op == Op::write ? wire::piece_bytes_max : zero_piece_bytes;
}

bool asks_for_status(Op op) {
  return op == Op::block_status || op == Op::sync_status;
}

// Completes a request from the loop: never inside submit() (base/operation.h).
Task<> complete_later(Loop& loop, Request& request, IoError error, const char* reason) {
  co_await Yield(loop);
  request.error = error;
  request.reason = reason;
  request.complete();
}

}  // namespace

ClientDevice::ClientDevice(Engine& engine, Volume& volume, ClientInfo info)
    : loop_(engine.env().loop),
      volume_(&volume),
      info_(std::move(info)),
      limits_(volume.export_limits()) {
  volume.clients().push_back(*this);
}

ClientDevice::~ClientDevice() {
  unlink();
  if (volume_ != nullptr) volume_->client_left();
}

void ClientDevice::submit(Request& request) {
  BATON_ASSERT(volume_ != nullptr, "clients are closed before the resource they use");
  volume_->start(request, *this);
}

Volume::Volume(Engine& engine, std::uint32_t index, VolumeConfig config)
    : engine_(engine),
      index_(index),
      config_(config),
      regions_moved_(engine.env().loop),
      unflushed_(unflushed_notes),
      drained_(engine.env().loop),
      applied_(engine.env().loop) {}

Volume::~Volume() {
  for (ClientDevice& client : clients_) client.orphan();
}

// --- clients -------------------------------------------------------------------------------------

void Volume::start(Request& request, ClientDevice& client) {
  if (syncing) engine_.client_asks();
  ++client.requests;
  const bool reads =
      request.op == Op::read || request.op == Op::prefetch || asks_for_status(request.op);
  client.only_reads &= reads;
  if (request.op != Op::flush && !client.only_reads) {
    client.silent_since = TimePoint::never();
    if (engine_.minds_clients()) engine_.client_spoke(client);
  }
  engine_.spawn(serve(request, client));
}

void Volume::client_left() {
  engine_.client_left();
}

Task<> Volume::serve(Request& request, ClientDevice& client) {
  request.reason = nullptr;
  const bool usable = attached() && !failed_;
  const bool may_go_on = engine_.may_be_served() || engine_.changing_disks();
  if (!usable && engine_.holding() && !may_go_on) {
    return complete_later(engine_.env().loop, request, IoError::io,
                          "the disk of this node is not usable");
  }
  if (request.offset > size() || request.length > size() - request.offset) {
    return complete_later(engine_.env().loop, request, IoError::invalid, "past the end");
  }
  switch (request.op) {
    case Op::read:
      return serve_client_read(request);
    case Op::write:
    case Op::discard:
    case Op::write_zeroes:
      return serve_write(request, client);
    case Op::flush:
      return serve_client_flush(request, client);
    case Op::block_status:
      return serve_status(request);
    case Op::sync_status:
      return serve_sync_status(request);
    case Op::prefetch:
      break;
  }
  return complete_later(engine_.env().loop, request, IoError::none, nullptr);
}

Task<> Volume::serve_write(Request& request, ClientDevice& client) {
  const TimePoint deadline = engine_.env().clock.now() + engine_.fence_hold();
  RangeGuard order(forwarding_, request.offset, request.length, true);
  bool begun = false;
  std::uint64_t begun_in = 0;  // which term of this node's as Primary
  Forwarded forwarded;
  for (;;) {
    IoError error = IoError::none;
    const char* reason = nullptr;
    if (!engine_.admits() || engine_.fenced(client)) {
      error = co_await engine_.admission(client, deadline, &reason);
    }
    // Done once, it may have been read and written over where the role has been meanwhile.
    const bool other_term =
        engine_.times_role_left() != begun_in && !mutant("begun-again-in-a-later-term");
    if (begun && other_term && error == IoError::none) {
      reached("begun-in-an-earlier-term");
      reason = "the role has left this node while the write was under way";
      error = IoError::no_space;
    }
    // What was once on its way may have been done: no refusal that says otherwise.
    if (begun && error != IoError::none && error != IoError::no_space) error = IoError::io;
    if (error != IoError::none || request.length == 0) {
      co_await complete_later(engine_.env().loop, request, error, reason);
      break;
    }
    if (const auto known = fate_of(forwarded); known) {
      co_await complete_later(engine_.env().loop, request, *known,
                              "whether it was done is not known: the other node was restarted");
      break;
    }
    const bool in_order = !engine_.admits() || !forwarding_.empty();
    if (in_order && !order.entered()) {
      co_await order.acquired();
      continue;  // much may have changed
    }
    std::optional<RegionRun> own_regions;
    if (engine_.config().two_primaries && engine_.admits() && !mutant("writes-what-is-lent")) {
      own_regions = regions_of(request.offset, request.length);
      if (!lent_.own_begins(*own_regions)) {
        co_await take_back(*own_regions);
        continue;
      }
    }
    client.unflushed_writes = true;
    const std::uint64_t from = pieces_done(forwarded) * wire::piece_bytes_max;
    Outcome outcome{.hold_until = deadline, .order = &order};
    const std::uint64_t takeovers = engine_.takeovers();
    begun_in = engine_.times_role_left();
    ++writes_in_flight_;
    if (!engine_.admits()) {
      co_await write_through_holder(request, outcome, forwarded);
    } else if (from == 0 && request.length <= piece_max(request)) {
      const Piece whole{&request, request.offset, request.length, request.data};
      co_await write_piece(whole, outcome);
    } else {
      co_await write_large(request, from, outcome);
    }
    if (own_regions) lent_.own_ends(*own_regions);
    if (--writes_in_flight_ == 0) drained_.notify_all();
    if (!outcome.elsewhere && !outcome.with_peer) break;
    const std::uint64_t now = co_await engine_.takeovers_settled();
    if (!outcome.elsewhere && now != takeovers) {
      reached("write-done-by-the-takeover");
      request.error = outcome.error;
      request.complete();
      break;
    }
    reached("write-begun-once-more");
    begun = true;
    co_await order.acquired();
    co_await Yield(engine_.env().loop);
  }
  if (order.entered()) order.release();
  if (forwarded.first_id != 0) engine_.own_writes().end(forwarded.first_id);
}

// Of a write that the other node may have done before the link was lost, all or a part. Nothing:
// that node can be asked and will say, or what is left of it has surely not been done. Where nobody
// knows, it is not done again: it may have been read and written over since.
std::optional<IoError> Volume::fate_of(const Forwarded& forwarded) const {
  const bool begun = forwarded.done > 0 || forwarded.asked != 0;
  if (!begun || !engine_.config().two_primaries || mutant("done-again-in-doubt")) {
    return std::nullopt;
  }
  bool known = true;
  if (!engine_.admits()) {
    Session* const holder = engine_.holder_session();
    known = holder == nullptr || forwarded.asked == 0 || holder->peer_instance() == forwarded.asked;
  } else if (engine_.batons_granted() != forwarded.batons) {
    // Who grants has answered what it has done, before.
    known = forwarded.asked == 0 || engine_.baton_granted_in() == forwarded.asked_in;
  } else {
    // This node has taken over. What the holder had done counts where it has written it here: else
    // nobody was ever shown it, but for what was copied here behind another session.
    known = forwarded.done <= engine_.own_writes().arrived_of(forwarded.first_id);
  }
  if (!known) {
    reached("forwarded-write-in-doubt");
    return IoError::no_space;
  }
  if (engine_.admits() && pieces_done(forwarded) == forwarded.pieces) return IoError::none;
  return std::nullopt;
}

// Of a write whose fate is known.
std::uint64_t Volume::pieces_done(const Forwarded& forwarded) const {
  if (forwarded.first_id == 0 || !engine_.config().two_primaries) return 0;
  const std::uint64_t arrived = engine_.own_writes().arrived_of(forwarded.first_id);
  if (arrived > 0 && engine_.admits()) reached("forwarded-write-arrived-here");
  if (mutant("done-pieces-are-repeated")) return 0;
  return std::max(forwarded.done, arrived);
}

// A write that is to be begun once more may have been carried out, and have been read: it keeps its
// place before all that overlap it, from before they can find the range free. They find what made
// it fail: a disk is not attached while writes are under way.
void Volume::keep_place(Outcome& outcome) {
  if (outcome.order == nullptr || (!outcome.elsewhere && !outcome.with_peer)) return;
  if (!mutant("begun-again-in-any-order")) outcome.order->enter();
}

// From its byte `from` on: what is before it has been done.
Task<> Volume::write_large(Request& request, std::uint64_t from, Outcome& outcome) {
  reached("large-write-in-pieces");
  // The whole of it: were a part done, and overwritten, before another part fails and the whole is
  // begun once more, the old part would come back.
  RangeGuard guard(ranges_, request.offset, request.length, true);
  co_await guard.acquired();
  const bool held = !mutant("large-write-holds-nothing");
  if (!held) guard.release();
  Latch answered;
  outcome.answered = &answered;
  Scope pieces(engine_.env().loop);
  answered.add();
  for (std::uint64_t done = from; done < request.length; done += piece_max(request)) {
    const std::uint64_t length = std::min(piece_max(request), request.length - done);
    std::byte* data = request.op == Op::write ? request.data + done : nullptr;
    answered.add();
    pieces.spawn(write_piece({&request, request.offset + done, length, data}, outcome));
  }
  answered.arrive();
  co_await answered;
  if (!outcome.elsewhere && !outcome.with_peer) {
    request.error = outcome.error;
    request.complete();
  }
  keep_place(outcome);
  if (held) guard.release();
  // Under A and B the peer may still be writing.
  co_await pieces.join();
}

void SentWrite::handed_over(OutMessage& message) {
  auto& write = static_cast<SentWrite&>(message);
  if (write.protocol != Protocol::a || write.session->dropped()) return;
  Latch* acknowledged = std::exchange(write.acknowledged, nullptr);
  if (acknowledged != nullptr) acknowledged->arrive();
}

void Volume::OwnShare::done(Operation& operation) {
  const OwnShare& share = *static_cast<OwnShare*>(operation.context());
  Request& request = static_cast<Request&>(operation);
  if (request.op == Op::flush && mutant("failed-flush-answered")) request.error = IoError::none;
  const IoError error = request.error;
  if (!mutant("disk-failure-noticed-late")) share.volume.disk_error(error, share.what);
  // Recorded now, and not when the peer has answered, too (schedules: flush-fails-in-silence).
  if (request.op == Op::flush && error != IoError::none && !mutant("failed-flush-recorded-late")) {
    share.volume.engine_.spawn(share.volume.engine_.flush_failed(share.volume));
  }
  share.latch.arrive();
}

Task<IoError> Volume::log_region(std::uint64_t offset, std::uint64_t length) {
  const IoError error = co_await metadata_->acquire(offset, length);
  if (error == IoError::none || error == IoError::invalid) co_return error;
  // Whatever the reason, the metadata takes nothing any more: a full disk, too.
  reached("activity-log-failed");
  engine_.disk_failed(*this, "writing the activity log");
  co_return IoError::io;
}

// The life of one write at the holder; docs/replication.md follows these steps.
Task<> Volume::write_piece(Piece piece, Outcome& outcome) {
  Request& request = *piece.request;
  const TimePoint began = syncing ? engine_.env().clock.now() : TimePoint{};
  // 1. One after the other where ranges overlap, the same order on every copy.
  RangeGuard guard(ranges_, piece.offset, piece.length, true);
  const bool range_is_held = outcome.answered != nullptr;
  if (!range_is_held) co_await guard.acquired();

  // 2. The region is durable in the activity log before the write is submitted anywhere (rule 5).
  IoError error = IoError::none;
  const bool logged = metadata_->acquire_if_active(piece.offset, piece.length);
  if (!logged) error = co_await log_region(piece.offset, piece.length);
  const bool acquired = error == IoError::none;

  // 3. The copies it goes to must be the copies that the metadata speaks of (rules 4, 8).
  Session* session = nullptr;
  while (error == IoError::none) {
    const bool broken = failed_ || engine_.cannot_go_alone() || engine_.changing_disks();
    if (!engine_.takes_writes() || broken) {
      error = broken ? IoError::io : IoError::not_permitted;
    } else if (engine_.submission_blocked()) {
      error = co_await engine_.wait_for_submission(outcome.hold_until, &request.reason);
      continue;
    }
    session = engine_.replicating();
    const bool wait = session != nullptr && (session->window_full() || unflushed_.full());
    if (!wait || error != IoError::none) break;
    reached("write-waits-for-the-window");
    if (unflushed_.full()) {
      reached("unflushed-log-full");
      flush_peer_soon();
    }
    co_await session->window_moved().wait();
  }

  // 4. Both copies at once. Nothing waits between here and the two submissions.
  Latch acknowledged;
  Latch finished;
  Request own;
  OwnShare share{*this, "a write", mutant("ack-before-local") ? finished : acknowledged};
  SentWrite sent;
  if (error == IoError::none) {
    own.op = request.op == Op::write ? Op::write : Op::write_zeroes;
    if (mutant("trim-left-to-the-disk")) own.op = request.op;
    own.flags = request.flags;
    own.offset = piece.offset;
    own.length = piece.length;
    own.data = piece.data;
    const bool to_be_filled = syncing && !mutant("done-by-a-copy-that-is-filled");
    if (session != nullptr) {
      fill_header(sent, request, piece);
      sent.session = session;
      sent.protocol = mutant("ack-before-peer") ? Protocol::a : engine_.config().protocol;
      sent.acknowledged = &acknowledged;
      sent.finished = &finished;
      acknowledged.add();
      finished.add();
      unflushed_.note(piece.offset, piece.length, false);
      session->send(sent, own.op == Op::write ? wire::Type::write : wire::Type::zero);
      if (unflushed_.pressing()) flush_peer_soon();
    } else if (engine_.has_peer() && !mutant("skip-dirty-bit")) {
      bits().set(piece.offset, piece.length);
    }
    share.latch.add();
    own.on_complete(&OwnShare::done, &share);
    disk().submit(own);
    co_await acknowledged;
    error = disk_error(own.error, "a write");
    if (error == IoError::no_space) {
      error = co_await write_when_there_is_room(own, outcome.hold_until, &request.reason);
    }
    if (error == IoError::none && sent.peer_lost && engine_.suspended()) {
      co_await finished;
      error = co_await replicate_again(request, piece, outcome.hold_until, &request.reason);
      sent.peer_lost = false;  // it is where it has to be, or refused
    }
    // The peer's copy is about to be the one that counts (service.cpp).
    if (error == IoError::io && session != nullptr && engine_.may_be_served()) {
      reached("own-disk-failed-and-the-peer-has-it");
      co_await finished;
      if (!sent.peer_lost) {
        error = IoError::none;
        outcome.with_peer = !mutant("done-before-it-is-served");
      }
    }
    // Nothing is done that would be on this node alone, once the copy here is none any more (rule
    // 1; schedules: holder-disk-fails). One that is being filled is none either.
    const bool here_alone = session == nullptr || sent.peer_lost || to_be_filled;
    const bool no_copy = failed_ || engine_.cannot_go_alone();
    if (error == IoError::none && here_alone && no_copy) {
      reached("own-disk-failed-with-the-peer-lost");
      error = IoError::io;
    }
    if (error != IoError::none && engine_.has_peer() && attached()) {
      bits().set(piece.offset, piece.length);
      // The peer may have what this disk had no room for. The session ends, and the next one copies
      // the range from here (schedules: disk-full).
      if (session != nullptr && engine_.replicating() == session) {
        reached("disk-full-at-the-holder");
        session->drop("this node's disk could not take a write");
      }
    }
  }

  // 5. Done for the client, before anybody who waited for the range finds that the disk has failed;
  // the peer may still be at it (A, B).
  const bool may_go_on = engine_.may_be_served() || engine_.changing_disks();
  if (error == IoError::io && may_go_on) outcome.elsewhere = true;
  if (error == IoError::not_permitted && engine_.served()) outcome.elsewhere = true;
  if (outcome.error == IoError::none) outcome.error = error;
  if (began != TimePoint{}) engine_.client_took(engine_.env().clock.now() - began);
  if (outcome.answered != nullptr) {
    outcome.answered->arrive();
  } else if (!outcome.elsewhere && !outcome.with_peer) {
    request.error = error;
    request.complete();
  }
  if (!range_is_held) {
    keep_place(outcome);
    guard.release();
  }
  co_await finished;
  if (acquired) metadata_->release(piece.offset, piece.length);
}

void Volume::fill_header(SentWrite& sent, const Request& request, const Piece& piece) const {
  sent.header.volume = static_cast<std::uint16_t>(index_);
  sent.header.offset = piece.offset;
  sent.header.length = piece.length;
  std::uint32_t flags = 0;
  if (request.flags.fua) flags |= wire::flag_fua;
  if (request.flags.no_hole) flags |= wire::flag_no_hole;
  // With FUA it is done when it is on stable storage there, too (rule 2).
  const bool when_received = engine_.config().protocol == Protocol::b &&
                             (!request.flags.fua || mutant("fua-done-when-received"));
  if (when_received) flags |= wire::flag_ack_received;
  sent.header.flags = flags;
  // Whoever zeroes or discards may leave anything in Request::data.
  if (request.op == Op::write) sent.payload = {piece.data, piece.length};
  sent.header.follows = piece.id;
  sent.on_sent = &SentWrite::handed_over;
}

}  // namespace baton::replication
