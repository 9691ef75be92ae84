// Copying what differs (rules 6 and 9; design §5).
//
//   source                                        target
//   SYNC_BEGIN(lineage)                       ->  records `towards` and Inconsistent, durably
//                                             <-  SYNC_READY
//   writes and zeroings with flag_resync      ->  applied like any other write
//   flushes; bits are cleared after each
//   no bit left: records `told`, durably
//   SYNC_END (after the last write)           ->  flushes, adopts the lineage, durably
//                                             <-  SYNC_FINISHED
//   removes the behind mark, durably
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/core/pace.h"
#include "replication/core/sync_window.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;
using wire::Type;

namespace {

constexpr std::uint64_t flush_every_bytes = 64U << 20U;
// A guest that asked for something so lately is about to ask for more.
constexpr Duration client_memory = std::chrono::milliseconds(500);

}  // namespace

struct SyncRound {
  explicit SyncRound(Loop& loop) : moved(loop) {}

  void answered(Duration took) {
    if (window.answered(took)) reached("sync-chunk-shrunk");
  }
  void ended(std::uint64_t bytes, TimePoint began, Engine& engine) {
    const Duration client = engine.clients_are_active() ? engine.client_time().mean() : Duration{};
    window.ended(bytes, began, engine.env().clock.now(), client);
    moved.notify_all();
  }

  SyncWindow window;
  std::uint64_t copied_bytes = 0;  // since the last flush
  bool failed = false;
  Signal moved;
};

// True if the disk knows that the whole range reads as zeroes (a hole).
Task<bool> Volume::known_zero(std::uint64_t offset, std::uint64_t length) {
  std::vector<blockdev::Extent> extents;
  Request status;
  status.op = Op::block_status;
  status.flags.req_one = true;
  status.offset = offset;
  status.length = length;
  status.extents = &extents;
  co_await perform(disk(), status);
  co_return status.error == IoError::none && !extents.empty() && extents.front().zero &&
      extents.front().length >= length;
}

std::uint64_t Volume::bytes_of(blockdev::BlockRange range) const {
  const std::uint64_t offset = range.first * blockdev::block_bytes;
  return std::min(range.count * blockdev::block_bytes, size() - offset);
}

// Ends the run where data ends and a hole begins, or the other way round: holes are told, not sent.
Task<> Volume::cut_at_hole(blockdev::BlockRange& range, std::uint64_t data_blocks_max) {
  std::vector<blockdev::Extent> extents;
  Request status;
  status.op = Op::block_status;
  status.flags.req_one = true;
  status.offset = range.first * blockdev::block_bytes;
  status.length = bytes_of(range);
  status.extents = &extents;
  co_await perform(disk(), status);
  const bool known = status.error == IoError::none && !extents.empty();
  const std::uint64_t length = known ? extents.front().length : status.length;
  const bool hole =
      known && extents.front().zero && (length >= blockdev::block_bytes || length == status.length);
  if (hole) {
    // The volume's last block may be a short one.
    const std::uint64_t whole = length / blockdev::block_bytes;
    range.count = length == status.length ? range.count : whole;
  } else {
    const std::uint64_t touched = (length + blockdev::block_bytes - 1) / blockdev::block_bytes;
    range.count = std::min({range.count, std::max<std::uint64_t>(touched, 1), data_blocks_max});
  }
}

// Copies one run of blocks: reads it while nobody writes it, and queues it before anybody does.
Task<> Volume::copy_range(blockdev::BlockRange range, Session& session, SyncRound& round) {
  const std::uint64_t offset = range.first * blockdev::block_bytes;
  const std::uint64_t length = bytes_of(range);
  const TimePoint began = engine_.env().clock.now();
  bool sent_it = false;
  SentWrite sent;
  Latch finished;
  Buffer data;
  {
    const std::uint64_t claimed = mutant("resync-without-range-lock") ? size() : offset;
    RangeGuard guard(ranges_, claimed, length, false);
    co_await guard.acquired();
    const bool zero = co_await known_zero(offset, length);
    // A hole that was written meanwhile is too long for one message: the next round copies it.
    const bool too_long = !zero && range.count > SyncWindow::data_blocks_max;
    if (zero && length > wire::piece_bytes_max) reached("sync-long-hole-told");
    if (!zero && !too_long && compares_first) {
      co_await copy_what_differs(range, guard, session, round);
      sync_progressed(length);
      round.ended(length, began, engine_);
      co_return;
    }
    if (too_long) reached("sync-hole-was-written");
    IoError error = too_long ? IoError::overflow : IoError::none;
    if (!zero && !too_long) {
      data = engine_.env().buffers.take(length);
      error = IoError::no_memory;
      if (data) {
        Request own;
        own.op = Op::read;
        own.offset = offset;
        own.length = length;
        own.data = data.data();
        co_await perform(disk(), own);
        error = own.error;
        if (error == IoError::io) engine_.disk_failed(*this, "a read for the resync");
      }
    }
    if (error == IoError::none && session.window_full()) reached("sync-window-full");
    while (error == IoError::none && !session.dropped() &&
           (session.window_full() || unflushed_.full())) {
      if (unflushed_.full()) flush_peer_soon();
      co_await session.window_moved().wait();
    }
    if (error == IoError::none && !session.dropped()) {
      sent.header.volume = static_cast<std::uint16_t>(index_);
      sent.header.offset = offset;
      sent.header.length = length;
      sent.header.flags = wire::flag_resync;
      sent.session = &session;
      if (!zero) sent.payload = data.span();
      sent.finished = &finished;
      finished.add();
      unflushed_.note(offset, length, true);
      session.send(sent, zero ? Type::zero : Type::write);
      sent_it = true;
    } else if (!too_long && !session.dropped()) {
      round.failed = true;
    }
    // From here a client's write goes into the lane behind this copy, and lands after it (rule 9).
    guard.release();
  }
  if (sent_it) {
    const TimePoint left = engine_.env().clock.now();
    co_await finished;
    round.answered(engine_.env().clock.now() - left);
  }
  if (sent_it) sync_progressed(length);
  round.copied_bytes += length;
  round.ended(length, began, engine_);
}

// By checksum: the target is asked for its sums first, under the same claim.
Task<> Volume::copy_what_differs(blockdev::BlockRange range, RangeGuard& guard, Session& session,
                                 SyncRound& round) {
  const TimePoint asked = engine_.env().clock.now();
  Comparison found = co_await compare(range, session);
  if (session.dropped() || found.error != IoError::none) {
    if (!session.dropped()) round.failed = true;
    guard.release();
    co_return;
  }
  if (!found.answered) {
    // It cannot prove anything by being equal, so it is written whole, and the rest of it, too.
    compares_first = false;
    found.differing = {{0, range.count}};
  }
  round.answered(engine_.env().clock.now() - asked);
  for (const BlockRun& run : runs_between(found.differing, range.count)) {
    const blockdev::BlockRange equal{range.first + run.first, run.count};
    note_equal(equal);
    sync_saved += bytes_of(equal);
  }
  if (found.differing.empty()) {
    guard.release();
    co_return;
  }
  const TimePoint sent = engine_.env().clock.now();
  co_await copy_runs(range.first, found.differing, found.data.span(), guard, session);
  round.answered(engine_.env().clock.now() - sent);
  for (const BlockRun& run : found.differing) {
    round.copied_bytes += run.count * blockdev::block_bytes;
  }
}

void Volume::begin_sync(bool by_checksum) {
  syncing = true;
  compares_first = by_checksum;
  sync_total = bits().bytes_set();
  sync_done = sync_saved = 0;
  sync_estimate.forget();
}

void Volume::sync_progressed(std::uint64_t bytes) {
  sync_done += bytes;
  sync_estimate.note(engine_.env().clock.now(), sync_done);
}

// As the target sees it. What is compared first is asked about first; then only holes tell of
// progress besides.
void Volume::sync_received(const wire::Header& header) {
  if (!syncing) return;
  const bool asked = static_cast<Type>(static_cast<std::uint16_t>(header.type)) == Type::sums_ask;
  compares_first = compares_first || asked;
  const bool told = static_cast<Type>(static_cast<std::uint16_t>(header.type)) == Type::zero;
  if (asked || told || !compares_first) sync_progressed(header.length);
}

std::uint64_t Volume::sync_to_go() const {
  return sync_total - std::min(sync_total, sync_done);
}

// One volume, until no bit is set and everything is flushed there; or the session is dropped.
Task<> Volume::sync_source(Session& session) {
  SyncRound round(engine_.env().loop);
  SyncWindow& window = round.window;
  Scope copies(engine_.env().loop);
  const std::uint64_t rate = engine_.config().resync_rate;
  Pace pace(rate);
  // With a fixed rate ten chunks a second at least, where blocks are small enough for that.
  const std::uint64_t chunk_max = rate == 0
                                      ? SyncWindow::data_blocks_max
                                      : std::clamp<std::uint64_t>(rate / 10 / blockdev::block_bytes,
                                                                  1, SyncWindow::data_blocks_max);
  TimePoint due = engine_.env().clock.now();
  std::uint64_t block = 0;
  while (!session.dropped() && !failed_) {
    if (engine_.sync_paused() && !mutant("pause-ignored")) {
      reached("sync-held");
      co_await session.bulk_received().wait();
      continue;
    }
    if (engine_.env().clock.now() < due) {
      co_await session.bulk_received().wait_until(engine_.env().clock, due);
      continue;
    }
    const bool busy = engine_.clients_are_active();
    if (!window.has_room(busy)) {
      co_await round.moved.wait();
      continue;
    }
    if (busy && engine_.env().clock.now() < window.rests_until()) {
      reached("sync-rests-for-clients");
      co_await session.bulk_received().wait_until(engine_.env().clock, window.rests_until());
      continue;
    }
    if (round.copied_bytes >= flush_every_bytes) {
      round.copied_bytes = 0;
      flush_peer_soon();
    }
    if (round.failed) {
      // Memory was short, or the disk failed (then the session is dropped): try again a little
      // later.
      round.failed = false;
      co_await sleep_for(engine_.env().clock, std::chrono::milliseconds(10));
    }
    const std::uint64_t most = SyncWindow::hole_blocks(busy);
    std::optional<blockdev::BlockRange> range = next_hot(most);
    const bool hot = range.has_value();
    if (!hot) range = bits().next_set(block, most);
    const std::uint64_t data_max = std::min(window.data_blocks(busy), chunk_max);
    if (range && range->count > 1) co_await cut_at_hole(*range, data_max);
    if (range) {
      if (!hot) block = range->first + range->count;
      window.begins(bytes_of(*range));
      copies.spawn(copy_range(*range, session, round));
      // A hole is told in one message, however long it is.
      const std::uint64_t paced = range->count <= chunk_max ? bytes_of(*range) : 0;
      const TimePoint now = engine_.env().clock.now();
      due = pace.next(now, now, paced, false);
      engine_.changed();
      continue;
    }
    if (!window.empty()) {
      co_await round.moved.wait();
      continue;
    }
    // Everything was sent and answered: what the flush proves, it clears.
    co_await flush_copies(false);
    block = 0;
    if (bits().blocks_set() == 0) break;
  }
  while (!window.empty()) co_await round.moved.wait();
  co_await copies.join();
}

bool Volume::session_lost() {
  bool lacks = false;
  unflushed_.drain([this, &lacks](const UnflushedLog::Entry& entry) {
    if (!mutant("unflushed-forgotten")) bits().set(entry.offset, entry.length);
    lacks = lacks || !entry.resync;
  });
  // They were lent by this session.
  lent_.forget();
  if (!mutant("borrowed-for-ever")) borrowed_.forget();
  regions_moved_.notify_all();
  return lacks;
}

// --- the source ----------------------------------------------------------------------------------

bool Engine::clients_are_active() const {
  return client_asked_at_ != TimePoint{} && env_.clock.now() < client_asked_at_ + client_memory;
}

Task<> Engine::sync_everything(Session& session) {
  // Where nobody knows what differs and the target has most of it, as a rule, only what differs is
  // sent.
  const bool has_data = !session.peer_state().lineage.empty();
  const bool all = session.verdict.action == Action::everything;
  client_time_ = {};
  for (auto& volume : volumes_) volume->begin_sync(config_.checksum_based || (all && has_data));
  // What overwrites another copy must not hang on this disk's cache: a power cut here, half-way,
  // would leave neither copy with what was acknowledged.
  for (auto& volume : volumes_) {
    Request flush;
    flush.op = Op::flush;
    co_await perform(volume->disk(), flush);
    if (flush.error == IoError::none) continue;
    reached("sync-source-flush-failed");
    co_await flush_failed(*volume);
  }
  if (session.dropped()) co_return;
  const std::vector<std::byte> lineage = wire::encode_lineage(lineage_);
  OutMessage begin;
  begin.payload = lineage;
  session.send_bulk(begin, Type::sync_begin);
  changed();
  while (!sync_ready_ && !session.dropped()) co_await session.bulk_received().wait();
  if (session.dropped()) co_return;
  ++fills_begun_;
  gate_changed_.notify_all();
  const TimePoint began = env_.clock.now();
  for (auto& volume : volumes_) co_await volume->sync_source(session);
  if (session.dropped()) {
    reached("sync-lost-half-way");
    co_return;
  }
  // From the moment it is told, the peer counts as having our tip (schedules: end-of-resync-lost).
  slot_.told_id = lineage_.back();
  peer_has_tip_ = !mutant("told-tip-not-counted");
  const bool durable = co_await commit();
  if (!durable || session.dropped()) co_return;
  OutMessage end;
  session.send_bulk(end, Type::sync_end);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(env_.clock.now() - began);
  std::uint64_t saved = 0;
  for (auto& volume : volumes_) saved += volume->sync_saved;
  log(Journal::Level::notice,
      fmt::format("everything is copied to {} ({} ms){}", peer_name_, took.count(),
                  saved == 0 ? "" : fmt::format("; {} bytes were equal and not sent", saved)));
  while (slot_.behind && !session.dropped()) co_await session.bulk_received().wait();
  if (slot_.behind) reached("sync-ended-and-not-finished");
}

void Engine::sync_is_ready() {
  sync_ready_ = true;
  if (session_ != nullptr) session_->bulk_received().notify_all();
  gate_changed_.notify_all();
}

void Engine::sync_finished(Session& session) {
  if (slot_.told_id == 0 || !holding_)
    return session.drop("the peer finished a sync that is not on");
  // Takes told_id in this very turn: what is finished twice is not on any more.
  session.scope().spawn(finish_as_source(session));
}

Task<> Engine::finish_as_source(Session& session) {
  // The mark is removed durably before the copy counts (rule 4).
  blockdev::PeerSlot before = slot_;
  slot_.behind = false;
  slot_.base_id = slot_.told_id;
  slot_.told_id = 0;
  for (auto& volume : volumes_) {
    const IoError written = co_await volume->metadata().write_bitmap(0);
    if (written != IoError::none) disk_failed(*volume, "writing the bitmap");
  }
  const bool durable = co_await commit();
  if (!durable) {
    reached("sync-end-not-durable");
    slot_ = before;
    co_return;
  }
  for (auto& volume : volumes_) volume->syncing = false;
  session.bulk_received().notify_all();
  log(Journal::Level::notice, fmt::format("{} is UpToDate", peer_name_));
  peer_is_whole();
  tell_status();
  gate_changed_.notify_all();
  changed();
  baton_follows_role();
}

// --- the target ----------------------------------------------------------------------------------

void Engine::sync_begins(Incoming& message, Session& session) {
  auto lineage = wire::decode_lineage(message.payload.span());
  if (!lineage || session.verdict.direction != Direction::peer_to_self || !session.peer_holding) {
    return session.drop("the peer began a sync that was not agreed");
  }
  if (session.filling != Session::Filling::no) {
    return session.drop("the peer began a sync in the middle of one");
  }
  session.filling = Session::Filling::begins;
  session.scope().spawn(become_target(std::move(*lineage), session));
}

// Durable before the first block arrives: half-way this copy is no generation at all (schedules:
// interrupted-target).
Task<> Engine::become_target(Lineage towards, Session& session) {
  towards_ = std::move(towards);
  inconsistent_.assign(volumes_.size(), true);
  const bool durable = mutant("target-not-recorded") || co_await commit();
  if (durable) take_word_back();
  if (durable) giving_up_ = false;
  gate_changed_.notify_all();
  if (!durable || session.dropped()) co_return;
  for (auto& volume : volumes_) {
    volume->begin_sync(false);
    volume->start_filling();
  }
  sync_ready_ = true;
  session.filling = Session::Filling::goes_on;
  session.tell({}, Type::sync_ready);
  tell_status();
  gate_changed_.notify_all();
  changed();
}

void Engine::sync_ends(Session& session) {
  if (towards_.empty() || session.filling != Session::Filling::goes_on) {
    return session.drop("the peer ended a sync that is not on");
  }
  session.filling = Session::Filling::ends;
  session.scope().spawn(finish_as_target(session));
}

Task<> Engine::finish_as_target(Session& session) {
  for (auto& volume : volumes_) {
    co_await volume->applied_all();
    Request flush;
    flush.op = Op::flush;
    co_await perform(volume->disk(), flush);
    if (flush.error != IoError::none) {
      reached("sync-target-flush-failed");
      co_await flush_failed(*volume);
      co_return;
    }
    // Ours were part of the union that was copied.
    volume->bits().clear_all();
    const IoError written = co_await volume->metadata().write_bitmap(0);
    if (written != IoError::none) {
      disk_failed(*volume, "writing the bitmap");
      co_return;
    }
  }
  if (session.dropped()) co_return;
  lineage_ = std::exchange(towards_, {});
  inconsistent_.assign(volumes_.size(), false);
  adopted_ = false;
  slot_.base_id = lineage_.back();
  slot_.told_id = 0;
  slot_.behind = false;
  arrival_ = Arrival::lived_through;
  outdated_ = false;
  const bool durable = co_await commit();
  if (durable && session.dropped()) reached("sync-adopted-and-not-told");
  if (!durable || session.dropped()) co_return;
  for (auto& volume : volumes_) {
    volume->syncing = false;
    volume->stop_filling();
  }
  to_be_copied_to_ = false;
  session.filling = Session::Filling::no;
  session.tell({}, Type::sync_finished);
  log(Journal::Level::notice, "UpToDate");
  tell_status();
  gate_changed_.notify_all();
  changed();
}

}  // namespace baton::replication
