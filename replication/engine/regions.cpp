// Regions that the holder lends to the other one of two primaries, who then does its own writes
// there, as a holder does (docs/dual-primary.md "Regions"). What is not lent goes through the
// holder (forwarding.cpp), so who waits for a region that somebody else is busy with waits for one
// write.
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

static_assert(lent_region_bytes == blockdev::region_bytes);

namespace {

// The holder's disk has failed: the baton is on its way here, or the holder is asked after this.
constexpr Duration ask_again_after = std::chrono::milliseconds(10);

constexpr Duration shown_after = std::chrono::milliseconds(100);

RegionRun run_of(const wire::Header& header) {
  return {header.offset / lent_region_bytes, header.number};
}

wire::Header header_of(RegionRun run, std::uint32_t volume) {
  wire::Header header;
  header.volume = static_cast<std::uint16_t>(volume);
  header.offset = run.first * lent_region_bytes;
  header.number = run.count;
  return header;
}

}  // namespace

void Volume::tell_regions(VolumeStatus& status) const {
  status.regions_lent = lent_.lent();
  status.regions_borrowed = borrowed_.borrowed();
  status.region_moves = lent_.moves() + borrowed_.moves();
}

// --- at the holder -------------------------------------------------------------------------------

// Both nodes do nothing but their clients' writes: whatever looks at both copies, or moves the
// baton, has all regions here.
bool Engine::may_lend(const Session& session) const {
  const bool quiet = admits_ && !verify_.running && !offering_ && !quiescing_;
  if (!quiet || !shares() || !holding_ || !replicating_ || session_ != &session) return false;
  if (session.service || session.peer_disks.size() != volumes_.size()) return false;
  return std::ranges::all_of(volumes_, [&](const auto& volume) {
    return !volume->syncing && disk_state(*volume) == DiskState::up_to_date &&
           session.peer_disks[volume->index()] == DiskState::up_to_date;
  });
}

bool Engine::shares_whole_copy(const Volume& volume) const {
  return config_.two_primaries && served_ && !holding_ && replicating_ &&
         disk_state(volume) == DiskState::up_to_date;
}

void Volume::consider_lending(std::uint64_t offset, std::uint64_t length, Session& session) {
  if (!engine_.may_lend(session)) return;
  const auto run = lent_.theirs(regions_of(offset, length), engine_.env().clock.now());
  if (!run) return;
  reached("region-lent");
  session.tell(header_of(*run, index_), wire::Type::lend);
}

bool Volume::lent_to_peer(const wire::Header& write) const {
  return write.length > 0 && lent_.all_lent(regions_of(write.offset, write.length));
}

// For a write of a client here. It takes a round trip; what takes longer is shown.
Task<> Volume::take_back(RegionRun run) {
  Clock& clock = engine_.env().clock;
  bool shown = false;
  while (lent_.lent_in(run)) {
    Session* const session = engine_.replicating();
    if (session != nullptr) {
      for (const RegionRun each : lent_.recall(run)) {
        reached("region-recalled");
        session->tell(header_of(each, index_), wire::Type::recall);
      }
    }
    if (shown) {
      co_await regions_moved_.wait();
    } else if (!co_await regions_moved_.wait_until(clock, clock.now() + shown_after)) {
      shown = true;
      engine_.write_is_held("the other node has not given back the region yet");
    }
  }
  if (shown) engine_.held_write_goes_on();
}

// For a read of a client here, which does not wait for it: the next one will cost no trip.
void Volume::take_back_idle(RegionRun run, Session& session) {
  if (mutant("idle-regions-stay-lent")) return;
  for (const RegionRun each : lent_.recall_idle(run, engine_.env().clock.now())) {
    reached("idle-region-recalled");
    session.tell(header_of(each, index_), wire::Type::recall);
  }
}

Task<bool> Volume::take_regions_back(TimePoint deadline) {
  Session* const session = engine_.replicating();
  if (session != nullptr && lent_.lent() > 0) {
    reached("all-regions-recalled");
    for (const RegionRun each : lent_.recall_all()) {
      session->tell(header_of(each, index_), wire::Type::recall);
    }
  }
  while (lent_.lent() > 0) {
    const bool told = co_await regions_moved_.wait_until(engine_.env().clock, deadline);
    if (!told && lent_.lent() > 0) co_return false;
  }
  co_return true;
}

Task<bool> Engine::take_regions_back() {
  if (mutant("regions-stay-lent")) co_return true;
  const TimePoint deadline = env_.clock.now() + config_.timeout;
  for (auto& volume : volumes_) {
    const bool back = co_await volume->take_regions_back(deadline);
    if (!back) co_return false;
  }
  co_return true;
}

bool Volume::region_returned(const wire::Header& header) {
  const bool known = lent_.returned(run_of(header), engine_.env().clock.now());
  regions_moved_.notify_all();
  return known;
}

// --- at the other node ---------------------------------------------------------------------------

bool Volume::region_lent(const wire::Header& header) {
  return borrowed_.lent(run_of(header));
}

bool Volume::region_recalled(const wire::Header& header, Session& session) {
  const RegionRun run = run_of(header);
  if (!borrowed_.given_back(run)) return false;
  session.scope().spawn(return_regions(run, session));
  return true;
}

// What was begun here is done on both copies first.
Task<> Volume::return_regions(RegionRun run, Session& session) {
  if (!mutant("region-returned-at-once")) {
    RangeGuard guard(ranges_, run.first * lent_region_bytes, run.count * lent_region_bytes, true);
    co_await guard.acquired();
    guard.release();
  }
  if (!session.dropped()) session.tell(header_of(run, index_), wire::Type::returned);
}

// Where a write of a client here may go directly.
Session* Volume::lender(std::uint64_t offset, std::uint64_t length) {
  const bool mine = borrowed_.all_of(regions_of(offset, length));
  if (!mine || failed_ || !attached()) return nullptr;
  return engine_.forwards() && engine_.replicating() != nullptr ? engine_.holder_session()
                                                                : nullptr;
}

// As write_piece() of a holder; the fate of what is lost with the link is found as that of a write
// that was forwarded.
Task<IoError> Volume::write_borrowed(Piece piece, Outcome& outcome) {
  const Request& request = *piece.request;
  RangeGuard guard(ranges_, piece.offset, piece.length, true);
  co_await guard.acquired();
  bool logged = metadata_->acquire_if_active(piece.offset, piece.length) ||
                mutant("borrowed-write-not-logged");
  if (!logged) {
    const IoError error = co_await log_region(piece.offset, piece.length);
    logged = error == IoError::none;
  }
  Session* session = nullptr;
  while (logged) {
    session = lender(piece.offset, piece.length);
    if (session == nullptr || (!session->window_full() && !unflushed_.full())) break;
    if (unflushed_.full()) flush_peer_soon();
    co_await session->window_moved().wait();
  }
  if (session == nullptr) {
    reached("region-gone-before-the-write");
    if (logged) metadata_->release(piece.offset, piece.length);
    guard.release();
    co_return co_await forward_when_there_is_room(piece, outcome);
  }

  Latch both;
  Request own;
  OwnShare share{*this, "a write", both};
  SentWrite sent;
  fill_header(sent, request, piece);
  sent.session = session;
  sent.finished = &both;
  both.add();
  if (!mutant("borrowed-write-not-noted")) unflushed_.note(piece.offset, piece.length, false);
  session->send(sent, request.op == Op::write ? wire::Type::write : wire::Type::zero);
  if (unflushed_.pressing()) flush_peer_soon();
  own.op = request.op == Op::write ? Op::write : Op::write_zeroes;
  own.flags = request.flags;
  own.offset = piece.offset;
  own.length = piece.length;
  own.data = piece.data;
  share.latch.add();
  own.on_complete(&OwnShare::done, &share);
  disk().submit(own);
  co_await both;
  reached("write-in-a-borrowed-region");
  if (own.error == IoError::none) engine_.own_writes().arrived(piece.id);
  // The holder has it, or is about to be met again: this copy is the one that lacks it.
  const bool on_one = own.error != IoError::none || sent.again;
  if (on_one && attached()) bits().set(piece.offset, piece.length);
  const bool full = own.error == IoError::no_space && engine_.replicating() == session;
  if (full) engine_.no_room_for_peer(*this, piece.offset, piece.length, *session);
  metadata_->release(piece.offset, piece.length);
  guard.release();
  if (sent.peer_lost) {
    reached("borrowed-write-lost");
    outcome.elsewhere = outcome.lost = true;
  }
  if (sent.again) {
    reached("borrowed-write-refused");
    outcome.elsewhere = true;
    co_await engine_.gate_changed().wait_until(engine_.env().clock,
                                               engine_.env().clock.now() + ask_again_after);
  }
  co_return IoError::none;
}

}  // namespace baton::replication
