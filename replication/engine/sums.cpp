// Two copies of a range are compared by the checksums of their blocks (verify.cpp, resync.cpp).
//
//   holder                                        the other node
//   claims the range: nobody writes it now
//   SUMS_ASK(range, last write)               ->  waits until every write up to that one has come,
//   reads its own copy                            and for those that overlap; reads; sums
//                                             <-  SUMS
//   compares
//
// So both read the range with the same writes in it, whatever the protocol, and a block that
// differs does so on the disks.
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;
using wire::Type;

static_assert(sum_block_bytes == blockdev::block_bytes, "a bit speaks of what a sum speaks of");

// --- the other node ------------------------------------------------------------------------------

void Volume::serve_sums(const wire::Header& asked, Session& session) {
  const std::uint64_t end = asked.offset + asked.length;
  const bool whole_blocks =
      asked.offset % sum_block_bytes == 0 && (end % sum_block_bytes == 0 || end == size());
  if (asked.length == 0 || !whole_blocks) {
    return session.drop("the peer asked for the sums of no whole blocks");
  }
  if ((asked.flags & wire::flag_zeroes) == 0 && !engine_.doubtful()) sync_received(asked);
  session.scope().spawn(sums_for_peer(asked, session));
}

Task<> Volume::sums_for_peer(wire::Header asked, Session& session) {
  const bool ordered = !mutant("sums-before-applied");
  while (ordered && session.received_number() < asked.follows && !session.dropped()) {
    co_await session.bulk_received().wait();
  }
  // Received writes claim their ranges as they come: this claim waits for all that overlap.
  const std::uint64_t claimed = ordered ? std::uint64_t{asked.offset} : size();
  RangeGuard guard(ranges_, claimed, asked.length, false);
  co_await guard.acquired();
  wire::Header reply;
  reply.volume = asked.volume;
  reply.number = asked.number;
  std::vector<std::byte> sums;
  IoError error = IoError::io;
  // After a failed flush reads show what no later flush makes durable, so that a target's block is
  // not in sync by being equal (rule 6): all of it is written anew.
  const bool proves = !syncing || !engine_.doubtful() || mutant("sums-of-a-doubtful-copy");
  if (!proves) reached("sums-of-a-doubtful-copy-refused");
  const bool usable = session.peer_holding && !failed_ && !session.dropped() && proves;
  if (usable && (asked.flags & wire::flag_zeroes) != 0) {
    const bool zero = co_await known_zero(asked.offset, asked.length);
    if (zero) reply.flags = wire::flag_zeroes;
    error = IoError::none;
  } else if (usable) {
    error = IoError::no_memory;
    const Buffer data = engine_.env().buffers.take(asked.length);
    if (data) {
      Request own;
      own.op = Op::read;
      own.offset = asked.offset;
      own.length = asked.length;
      own.data = data.data();
      co_await perform(disk(), own);
      error = disk_error(own.error, "a read for a comparison");
      sums.resize(sums_in(asked.length) * sum_bytes);
      if (error == IoError::none) sum_blocks(data.span(), sums);
    }
  }
  guard.release();
  if (error != IoError::none) {
    reached("sums-refused");
    reply.flags = wire::flag_error;
    sums.clear();
  }
  session.tell(reply, Type::sums, sums);
}

// --- the holder ----------------------------------------------------------------------------------

// Under a claim on the range. Both disks know that all of it reads as zeroes.
Task<bool> Volume::both_holes(std::uint64_t offset, std::uint64_t length, Session& session) {
  const bool here = co_await known_zero(offset, length);
  if (!here || session.dropped()) co_return false;
  Latch answered;
  PeerRequest asked;
  asked.answered = &answered;
  wire::Header header;
  header.volume = static_cast<std::uint16_t>(index_);
  header.offset = offset;
  header.length = length;
  header.follows = session.last_number();
  header.flags = wire::flag_zeroes;
  session.ask(asked, header, Type::sums_ask);
  co_await answered;
  co_return !asked.lost && asked.error == IoError::none && (asked.flags & wire::flag_zeroes) != 0;
}

// Under a claim on the range, at most wire::piece_bytes_max long.
Task<Comparison> Volume::compare(blockdev::BlockRange range, Session& session) {
  Comparison found;
  if (session.dropped() || failed_) co_return found;
  const std::uint64_t length = bytes_of(range);
  found.data = engine_.env().buffers.take(length);
  if (!found.data) {
    found.error = IoError::no_memory;
    co_return found;
  }
  std::vector<std::byte> theirs(sums_in(length) * sum_bytes);
  Latch both;
  PeerRequest asked;
  asked.into = theirs;
  asked.answered = &both;
  wire::Header header;
  header.volume = static_cast<std::uint16_t>(index_);
  header.offset = range.first * blockdev::block_bytes;
  header.length = length;
  header.follows = session.last_number();
  session.ask(asked, header, Type::sums_ask);
  Request own;
  own.op = Op::read;
  own.offset = header.offset;
  own.length = length;
  own.data = found.data.data();
  both.add();
  OwnShare share{*this, "a read for a comparison", both};
  own.on_complete(&OwnShare::done, &share);
  disk().submit(own);
  co_await both;
  found.error = own.error;
  found.answered = !asked.lost && asked.error == IoError::none;
  if (!found.known()) co_return found;
  std::vector<std::byte> ours(theirs.size());
  sum_blocks(found.data.span(), ours);
  found.differing = differing_runs(ours, theirs);
  co_return found;
}

// Copies the runs, of what begins at `first_block` and is `data` on this disk, to the peer. Under
// the claim `guard`, which ends when they are queued: from then on a client's write goes into the
// lane behind them, and lands after them (rule 9). Their bits are set, and durable or such that the
// session's end makes them so; a flush clears them. True if the peer has written all of it.
Task<bool> Volume::copy_runs(std::uint64_t first_block, const std::vector<BlockRun>& runs,
                             std::span<const std::byte> data, RangeGuard& guard, Session& session) {
  const std::uint64_t epoch = engine_.epoch().number;
  std::vector<SentWrite> copies(runs.size());
  Latch finished;
  std::size_t sent = 0;
  const bool late = mutant("copied-after-its-claim");
  if (late) guard.release();
  for (const BlockRun& run : runs) {
    while (!session.dropped() && (session.window_full() || unflushed_.full())) {
      if (unflushed_.full()) flush_peer_soon();
      co_await session.window_moved().wait();
    }
    if (!engine_.holds_in(session, epoch)) break;
    const std::uint64_t at = run.first * blockdev::block_bytes;
    SentWrite& copy = copies[sent++];
    copy.payload = data.subspan(at, std::min(run.count * blockdev::block_bytes, data.size() - at));
    copy.header.volume = static_cast<std::uint16_t>(index_);
    copy.header.offset = first_block * blockdev::block_bytes + at;
    copy.header.length = copy.payload.size();
    copy.header.flags = wire::flag_resync;
    copy.session = &session;
    copy.finished = &finished;
    finished.add();
    unflushed_.note(copy.header.offset, copy.header.length, true);
    session.send(copy, Type::write);
  }
  if (!late) guard.release();
  co_await finished;
  const auto lost = [](const SentWrite& copy) { return copy.peer_lost; };
  co_return sent == runs.size() && std::ranges::none_of(copies, lost);
}

// Blocks that were found equal, and whose bits are set: equal in both caches, for all that is
// known. The next flush of both copies proves it, and clears the bits (rule 6).
void Volume::note_equal(blockdev::BlockRange range) {
  const std::uint64_t offset = range.first * blockdev::block_bytes;
  const std::uint64_t length = bytes_of(range);
  if (!bits().any_in(offset, length)) return;
  // Without room the bits stay, which is always right.
  if (!unflushed_.full()) unflushed_.note(offset, length, true);
  if (unflushed_.pressing()) flush_peer_soon();
}

}  // namespace baton::replication
