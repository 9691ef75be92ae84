// Comparing the copies while they are in use (docs/replication.md "Two copies are compared").
//
// The node that holds the baton walks over all volumes, chunk by chunk: it claims the chunk, so
// that no client's write is under way in it, and compares its own sums with the peer's (sums.cpp).
// What differs becomes bits, durably, and with `repair` is copied to the peer under the same claim.
//
// A chunk counts only if the baton was here from the first look to the last: else a write of the
// new holder's lies between them. So a pass ends with the session, and where the baton goes; it
// goes on where it was.
#include "replication/engine/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/core/pace.h"
#include "replication/engine/engine.h"
#include "replication/engine/range_guard.h"

namespace baton::replication {

using wire::Type;

namespace {

// Short, since a guest's write in it waits: 256 KiB are read and summed in well under a
// millisecond.
constexpr std::uint64_t chunk_blocks = 64;
constexpr std::uint64_t hole_blocks = 4096;  // 16 MiB of hole are asked about in one question
constexpr std::size_t ranges_told = 8;       // in a sentence; `status` lists more
constexpr std::size_t told_max = 1000;       // bytes of that sentence on its way to the other node
// How often the other node hears how far it is.
constexpr Duration told_every = std::chrono::seconds(1);
// When a scheduled one could not begin.
constexpr Duration scrub_again = std::chrono::seconds(60);

// Header::flags of verify-ask and verify-on.
constexpr std::uint32_t flag_repair = 1U << 16U;
constexpr std::uint32_t flag_from_start = 1U << 17U;
constexpr std::uint32_t flag_stop = 1U << 18U;
constexpr std::uint32_t flag_running = 1U << 19U;
constexpr std::uint32_t flag_complete = 1U << 20U;

// verify-on's payload: bytes compared, that differ, repaired.
using Told = std::array<le64, 3>;
static_assert(sizeof(Told) == 24);

}  // namespace

// --- one chunk -----------------------------------------------------------------------------------

Task<VerifiedChunk> Volume::verify_chunk(std::uint64_t block, bool repair, Session& session) {
  VerifiedChunk chunk;
  const std::uint64_t epoch = engine_.epoch().number;
  blockdev::BlockRange range{block, std::min(hole_blocks, bits().blocks() - block)};
  co_await cut_at_hole(range, chunk_blocks);
  if (session.dropped()) co_return chunk;
  const std::uint64_t offset = range.first * blockdev::block_bytes;
  const std::uint64_t claimed = mutant("verify-without-range-lock") ? size() : offset;
  RangeGuard guard(ranges_, claimed, bytes_of(range), false);
  co_await guard.acquired();
  chunk.holes = co_await both_holes(offset, bytes_of(range), session);
  if (!chunk.holes) range.count = std::min(range.count, chunk_blocks);
  chunk.blocks = range.count;
  if (chunk.holes) {
    chunk.counts = engine_.holds_in(session, epoch);
    if (chunk.counts) note_equal(range);
    guard.release();
    co_return chunk;
  }
  const Comparison found = co_await compare(range, session);
  if (!found.known() || !engine_.holds_in(session, epoch)) {
    if (found.known()) reached("verify-chunk-does-not-count");
    guard.release();
    co_return chunk;
  }
  chunk.counts = true;
  for (const BlockRun& run : runs_between(found.differing, range.count)) {
    note_equal({range.first + run.first, run.count});
  }
  for (const BlockRun& run : found.differing) {
    const blockdev::BlockRange differs{range.first + run.first, run.count};
    chunk.differing.push_back(differs);
    bits().set(differs.first * blockdev::block_bytes, bytes_of(differs));
  }
  // Durable before anything is told or copied: were both nodes to die now, the next meeting would
  // still look there.
  if (!chunk.differing.empty() && !mutant("found-blocks-not-recorded")) {
    const IoError written = co_await metadata().write_bitmap(0);
    if (written != IoError::none) engine_.disk_failed(*this, "writing the bitmap");
  }
  if (!repair || chunk.differing.empty() || failed_ || !engine_.holds_in(session, epoch)) {
    guard.release();
    co_return chunk;
  }
  const bool copied =
      co_await copy_runs(range.first, found.differing, found.data.span(), guard, session);
  for (const blockdev::BlockRange& differs : chunk.differing) {
    if (copied) chunk.repaired_bytes += bytes_of(differs);
  }
  co_return chunk;
}

// --- the pass ------------------------------------------------------------------------------------

bool Engine::holds_in(const Session& session, std::uint64_t epoch) const {
  return &session == session_ && session.established() && replicating_ && holding_ &&
         !granted_away_ && epoch_.number == epoch;
}

// Else: what is to be done first.
Result<> Engine::may_verify() const {
  if (!has_peer()) return failure(fmt::format("{} has no other copy to compare", config_.name));
  const bool connected = session_ != nullptr && session_->established() && replicating_;
  if (!connected) {
    return failure(fmt::format(
        "{} cannot be verified: {} is not connected to {}{}; run wait-connect first", config_.name,
        config_.self, peer_name_, split_brain_ ? " but for a split brain" : ""));
  }
  if (verify_.running && !verify_.elsewhere) {
    return failure(
        fmt::format("{} is being verified already; verify --stop ends that", config_.name));
  }
  if (granted_away_ || (!holding_ && !session_->peer_holding)) {
    return failure(fmt::format(
        "{} cannot be verified: nobody holds the baton, so that nobody knows which copy is the one "
        "that counts; run primary on one of the nodes first",
        config_.name));
  }
  bool good = !slot_.behind && session_->peer_disks.size() == volumes_.size();
  for (const auto& volume : volumes_) {
    good = good && !volume->syncing && disk_state(*volume) == DiskState::up_to_date &&
           session_->peer_disks[volume->index()] == DiskState::up_to_date;
  }
  if (good) return {};
  return failure(fmt::format(
      "{} cannot be verified: not every copy is UpToDate; run wait-sync first", config_.name));
}

std::uint64_t Engine::bytes_of_all_volumes() const {
  std::uint64_t bytes = 0;
  for (const auto& volume : volumes_) bytes += volume->size();
  return bytes;
}

Task<Result<>> Engine::verify_now(VerifyOptions options) {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  const bool connected = session_ != nullptr && session_->established() && replicating_;
  const bool elsewhere = connected && !holding_ && session_->peer_holding;
  if (elsewhere) co_return co_await ask_peer_to_verify(options);
  if (options.stop) co_return co_await stop_verify();
  co_return co_await verify_here(options);
}

// An operator's comes before a scheduled one.
Task<Result<>> Engine::verify_here(VerifyOptions options) {
  if (verify_.running && verify_.scheduled && !verify_.elsewhere) co_await stop_verify();
  const Result<> may = may_verify();
  if (!may) co_return may;
  begin_verify(options);
  co_return co_await verify_ended();
}

void Engine::begin_verify(VerifyOptions options) {
  // What was found in an earlier session has been copied when the nodes met.
  if (verify_.session != session_->id()) verify_.repaired_bytes = verify_.found.bytes();
  // What was found in this one is behind the place where the last one ended.
  const bool left_behind = options.repair && verify_.repaired_bytes != verify_.found.bytes();
  const bool resumed = verify_.resumable() && !options.from_start && !left_behind;
  if (!resumed) verify_.begin_anew();
  verify_.session = session_->id();
  verify_.begun = verify_.running = true;
  verify_.complete = verify_.elsewhere = verify_.stop_wanted = verify_.scheduled = false;
  verify_.repair = options.repair;
  verify_.estimate.forget();
  ++verify_.number;
  log(Journal::Level::notice,
      fmt::format("verify{}: {} at {} of {} bytes", options.repair ? " with repair" : "",
                  resumed ? "goes on" : "begins", verify_.done_bytes, bytes_of_all_volumes()));
  session_->scope().spawn(verify_copies(*session_));
}

Task<Result<>> Engine::verify_ended() {
  const std::uint64_t mine = verify_.number;
  while (verify_.running && verify_.number == mine) co_await verify_changed_.wait();
  co_return verify_.outcome;
}

Task<Result<>> Engine::stop_verify() {
  if (!verify_.running) co_return Result<>{};
  verify_.stop_wanted = true;
  if (session_ != nullptr) session_->bulk_received().notify_all();
  gate_changed_.notify_all();
  const std::uint64_t mine = verify_.number;
  while (verify_.running && verify_.number == mine) co_await verify_changed_.wait();
  co_return Result<>{};
}

// Why a pass ends before its end; empty: it goes on.
std::string Engine::why_verify_ends(const Session& session, std::uint64_t epoch) const {
  if (verify_.stop_wanted) return "it was stopped";
  if (stopping_) return fmt::format("{} is going down", config_.self);
  if (session.dropped()) return fmt::format("the connection to {} was lost", peer_name_);
  if (!holds_in(session, epoch)) return "the baton has moved";
  if (!every_volume_usable()) return "a disk has failed";
  return {};
}

// Ends before its session does: it is one of its tasks.
Task<> Engine::verify_copies(Session& session) {
  const std::uint64_t epoch = epoch_.number;
  Pace pace(config_.verify_rate);
  TimePoint tell_at = env_.clock.now();
  std::string cut;
  // Else a write of the other node would be found on one copy.
  const bool back = co_await take_regions_back();
  if (!back) cut = fmt::format("{} did not give its regions back", peer_name_);
  while (cut.empty() && verify_.volume < volumes_.size()) {
    // A handover waits for nobody's background work.
    while (quiescing_ && !offering_ && cut.empty()) {
      co_await gate_changed_.wait();
      cut = why_verify_ends(session, epoch);
    }
    cut = why_verify_ends(session, epoch);
    if (!cut.empty()) break;
    const TimePoint began = env_.clock.now();
    if (began >= tell_at) {
      tell_at = began + told_every;
      show_verify_to_peer(session);
    }
    Volume& volume = *volumes_[verify_.volume];
    const bool guest_writes = volume.writes_in_flight() > 0;
    VerifiedChunk chunk = co_await volume.verify_chunk(verify_.block, verify_.repair, session);
    const TimePoint ended = env_.clock.now();
    std::uint64_t read_bytes = 0;
    if (chunk.counts) {
      if (!chunk.holes) read_bytes = chunk.blocks * blockdev::block_bytes;
      note_verified(volume, chunk);
    }
    // Counted or not: what does not count is tried again, not at once.
    const TimePoint due = chunk.counts ? pace.next(began, ended, read_bytes, guest_writes)
                                       : ended + std::chrono::milliseconds(10);
    while (env_.clock.now() < due && why_verify_ends(session, epoch).empty()) {
      co_await session.bulk_received().wait_until(env_.clock, due);
    }
  }
  // The bits of what was repaired, and of what was found equal again.
  for (auto& volume : volumes_) {
    if (cut.empty() && !volume->unflushed().empty()) co_await volume->flush_copies(false);
    if (cut.empty()) cut = why_verify_ends(session, epoch);
    if (!cut.empty()) continue;
    const IoError written = co_await volume->metadata().write_bitmap(0);
    if (written != IoError::none) disk_failed(*volume, "writing the bitmap");
  }
  verify_.complete = cut.empty();
  if (verify_.complete) verify_.complete_at = env_.clock.now();
  verify_.running = false;
  verify_.outcome = verify_outcome(cut);
  log(verify_.outcome ? Journal::Level::notice : Journal::Level::warning,
      verify_.outcome ? fmt::format("verify: {} bytes compared, {} bytes repaired",
                                    verify_.done_bytes, verify_.repaired_bytes)
                      : verify_.outcome.error().message);
  if (!session.dropped()) show_verify_to_peer(session);
  verify_changed_.notify_all();
  gate_changed_.notify_all();
  changed();
}

void Engine::note_verified(Volume& volume, VerifiedChunk& chunk) {
  std::uint64_t found_here = 0;
  for (const blockdev::BlockRange& differs : chunk.differing) {
    const std::uint64_t offset = differs.first * blockdev::block_bytes;
    const std::uint64_t length = volume.bytes_of(differs);
    verify_.found.add({volume.index(), offset, length});
    found_here += length;
    if (verify_.found.ranges() > FoundRanges::listed_max) continue;
    log(Journal::Level::warning,
        fmt::format("verify: volume {} differs from {} at {}+{}{}", volume.index(), peer_name_,
                    offset, length, chunk.repaired_bytes > 0 ? "; copied there from here" : ""));
  }
  verify_.repaired_bytes += std::min(chunk.repaired_bytes, found_here);
  verify_.done_bytes += volume.bytes_of({verify_.block, chunk.blocks});
  verify_.estimate.note(env_.clock.now(), verify_.done_bytes);
  verify_.block += chunk.blocks;
  if (verify_.block >= volume.bits().blocks()) {
    ++verify_.volume;
    verify_.block = 0;
  }
  changed();
}

Result<> Engine::verify_outcome(const std::string& cut) const {
  const FoundRanges& found = verify_.found;
  std::string differs;
  if (!found.empty()) {
    differs = fmt::format("{} bytes differ{} between {} and {}, in {} range{}: {}", found.bytes(),
                          cut.empty() ? "" : " so far", config_.self, peer_name_, found.ranges(),
                          found.ranges() == 1 ? "" : "s",
                          text_of(found.listed(), found.ranges(), ranges_told));
  }
  if (!cut.empty()) {
    return failure(fmt::format(
        "verify of {} ended at {} of {} bytes: {}; the next verify goes on there (--from-start: "
        "from the start){}{}",
        config_.name, verify_.done_bytes, bytes_of_all_volumes(), cut, differs.empty() ? "" : "; ",
        differs));
  }
  if (found.bytes() == verify_.repaired_bytes) return {};
  return failure(fmt::format(
      "{}: {}; sums do not tell which copy is right: verify --repair, or the next connect, copies "
      "these ranges from the node that then holds the baton, so if {}'s are the right ones, first "
      "hand it over",
      config_.name, differs, peer_name_));
}

std::optional<VerifyStatus> Engine::verify_status() const {
  if (!verify_.begun) return std::nullopt;
  VerifyStatus status;
  status.running = verify_.running;
  status.complete = verify_.complete;
  status.repair = verify_.repair;
  status.done_bytes = verify_.done_bytes;
  status.total_bytes = bytes_of_all_volumes();
  status.found_bytes = verify_.elsewhere ? verify_.told_bytes : verify_.found.bytes();
  status.repaired_bytes = verify_.repaired_bytes;
  status.ranges = verify_.found.ranges();
  status.listed = verify_.found.listed();
  const std::uint64_t to_go = status.total_bytes - std::min(status.total_bytes, status.done_bytes);
  const auto time = verify_.estimate.time_for(to_go, env_.clock.now());
  if (status.running && time) {
    status.seconds_to_go =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(*time).count());
  }
  return status;
}

// --- the other node ------------------------------------------------------------------------------

void Engine::show_verify_to_peer(Session& session) {
  wire::Header header;
  header.volume =
      static_cast<std::uint16_t>(std::min<std::size_t>(verify_.volume, volumes_.size() - 1));
  if (verify_.running) header.flags |= flag_running;
  if (verify_.complete) header.flags |= flag_complete;
  if (verify_.repair) header.flags |= flag_repair;
  const Told told{le64(verify_.done_bytes), le64(verify_.found.bytes()),
                  le64(verify_.repaired_bytes)};
  session.tell(header, Type::verify_on, std::as_bytes(std::span(told)));
}

void Engine::verify_shown(Incoming& message, Session& session) {
  Told told;
  if (message.payload.size() != sizeof told) {
    return session.drop("the peer's word about a verify is malformed");
  }
  // The end of one there, when the baton has come here and with it the next one.
  if (verify_.running && !verify_.elsewhere) return;
  std::memcpy(&told, message.payload.data(), sizeof told);
  const wire::Header& header = message.header;
  if (!verify_.elsewhere) verify_.begin_anew();
  verify_.begun = verify_.elsewhere = true;
  verify_.running = (header.flags & flag_running) != 0;
  verify_.complete = (header.flags & flag_complete) != 0;
  verify_.repair = (header.flags & flag_repair) != 0;
  verify_.volume = header.volume;
  if (told[0] < verify_.done_bytes) verify_.estimate.forget();
  verify_.done_bytes = told[0];
  verify_.told_bytes = told[1];
  verify_.repaired_bytes = told[2];
  verify_.estimate.note(env_.clock.now(), verify_.done_bytes);
  if (verify_.complete) verify_.complete_at = env_.clock.now();
  verify_changed_.notify_all();
  changed();
}

// The operator has asked here, and the baton is there.
Task<Result<>> Engine::ask_peer_to_verify(VerifyOptions options) {
  Session* const session = session_;
  wire::Header ask;
  if (options.repair) ask.flags |= flag_repair;
  if (options.from_start) ask.flags |= flag_from_start;
  if (options.stop) {
    ask.flags |= flag_stop;
    session->tell(ask, Type::verify_ask);
    while (verify_.running && session_ == session && session->established()) {
      co_await verify_changed_.wait();
    }
    co_return Result<>{};
  }
  if (verify_asked_) {
    co_return failure(fmt::format("{} was asked to verify {} already; verify --stop ends that",
                                  peer_name_, config_.name));
  }
  verify_asked_ = true;
  verify_answer_.reset();
  session->tell(ask, Type::verify_ask);
  while (!verify_answer_ && session_ == session && session->established()) {
    co_await verify_changed_.wait();
  }
  verify_asked_ = false;
  if (!verify_answer_) {
    co_return failure(fmt::format(
        "the connection to {}, which verifies {}, was lost; the next verify goes on where that one "
        "was",
        peer_name_, config_.name));
  }
  Result<> answer = std::move(*verify_answer_);
  verify_answer_.reset();
  co_return answer;
}

void Engine::verify_told(Incoming& message) {
  const auto text = message.payload.span();
  verify_answer_.emplace();
  if ((message.header.flags & wire::flag_error) != 0) {
    *verify_answer_ = failure({reinterpret_cast<const char*>(text.data()), text.size()});
  }
  verify_changed_.notify_all();
}

void Engine::asked_to_verify(const wire::Header& header, Session& session) {
  const VerifyOptions options{.repair = (header.flags & flag_repair) != 0,
                              .from_start = (header.flags & flag_from_start) != 0,
                              .stop = (header.flags & flag_stop) != 0};
  session.scope().spawn(verify_for_peer(options, session));
}

Task<> Engine::verify_for_peer(VerifyOptions options, Session& session) {
  Result<> result;
  if (options.stop) {
    // That it has ended, the asker sees.
    co_await stop_verify();
    co_return;
  }
  if (holding_) {
    result = co_await verify_here(options);
  } else {
    result = failure(fmt::format("{} does not hold the baton any more", config_.self));
  }
  if (session.dropped()) co_return;
  wire::Header told;
  if (!result) told.flags = wire::flag_error;
  const std::string text = result ? "" : result.error().message;
  const auto bytes = std::as_bytes(std::span(text));
  session.tell(told, Type::verify_told, bytes.first(std::min<std::size_t>(bytes.size(), told_max)));
}

// --- on a schedule -------------------------------------------------------------------------------

// The holder compares when that long has passed since the last pass came to its end; which that
// was, both nodes remember while they run.
Task<> Engine::scrub() {
  const TimePoint began = env_.clock.now();
  TimePoint not_before = began;
  while (up_ && !stopping_) {
    const TimePoint due =
        std::max(verify_.complete_at.value_or(began) + config_.verify_interval, not_before);
    if (env_.clock.now() < due) {
      co_await gate_changed_.wait_until(env_.clock, due);
      continue;
    }
    not_before = env_.clock.now() + std::min(scrub_again, config_.verify_interval);
    const bool may = holding_ && !settling_ && !going_alone_ && may_verify().has_value();
    if (!may) continue;
    begin_verify({});
    verify_.scheduled = true;
    co_await verify_ended();  // its outcome is in the log
  }
}

}  // namespace baton::replication
