// What a yielding copy loses is kept first (design §8 `resolve`; docs/replication.md "A side
// yields"): durable in the undo files of all volumes before the node says in a session that its
// data may be discarded, so before anything can be overwritten (rule 6).
//
//   the split brain's session: both bitmaps are known    -> saved here, in the background
//   all of it is durable                                 -> the session is dropped
//   the next session: this node says that its data yields; target as ever
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "base/mark.h"
#include "base/mutant.h"
#include "blockdev/metadata/device_io.h"
#include "blockdev/undo/format.h"
#include "replication/core/split_brain.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using blockdev::BlockRange;
using blockdev::UndoInfo;
using blockdev::UndoPage;

namespace {

constexpr std::uint64_t data_blocks = blockdev::undo_data_bytes_max / blockdev::block_bytes;
constexpr std::uint64_t zero_blocks = 4096;  // as a resync takes them: 16 MiB of hole at a time

// The file is written from its begin to its end, one request at a time: it competes with nobody for
// anything but the disk, and memory stays at one range.
struct UndoWriter {
  blockdev::BlockDevice& file;
  UndoPage& page;
  UndoInfo& info;
  std::uint64_t page_at = blockdev::undo_page_bytes;
  std::uint64_t at = 2 * blockdev::undo_page_bytes;  // where the next range's data goes

  Task<IoError> add(std::uint64_t offset, std::uint64_t length, std::span<const std::byte> data) {
    if (page.count == blockdev::undo_ranges_per_page) {
      const IoError error = co_await end_page();
      if (error != IoError::none) co_return error;
    }
    blockdev::UndoRange& range = page.ranges[page.count];
    range.offset = offset;
    range.length = length;
    range.flags = data.empty() ? blockdev::undo_range_zeroes : 0;
    range.checksum = data.empty() ? 0 : xxh3_64(data.first(length));
    ++page.count;
    if (data.empty()) co_return IoError::none;
    const std::uint64_t place = at;
    if (!fits(place, data.size())) co_return IoError::overflow;
    at += data.size();
    co_return co_await blockdev::write_at(file, place, data);
  }

  // False: the disk's content has changed since it was measured.
  bool fits(std::uint64_t place, std::uint64_t bytes) const {
    const std::uint64_t size = file.limits().size;
    return place <= size && bytes <= size - place;
  }

  Task<IoError> end_page() {
    if (page.count == 0) co_return IoError::none;
    if (!fits(page_at, sizeof page)) co_return IoError::overflow;
    blockdev::seal_undo_page(page);
    const IoError error =
        co_await blockdev::write_at(file, page_at, std::as_bytes(std::span(&page, 1)));
    const std::uint64_t next = page.number + 1;
    page = UndoPage{};
    page.magic = blockdev::undo_page_magic;
    page.number = next;
    page_at = at;
    at += blockdev::undo_page_bytes;
    co_return error;
  }
};

}  // namespace

// The next piece of what is to be kept at or after `block`: all data or all hole, as one range of
// the file. An empty one: there is none.
Task<BlockRange> Volume::next_to_keep(const blockdev::Bitmap& what, std::uint64_t block,
                                      bool& zeroes) {
  auto range = what.next_set(block, zero_blocks);
  if (!range) co_return BlockRange{};
  if (range->count > 1) co_await cut_at_hole(*range, data_blocks);
  zeroes = co_await known_zero(range->first * blockdev::block_bytes, bytes_of(*range));
  if (!zeroes) range->count = std::min(range->count, data_blocks);
  co_return *range;
}

// How large the file will be: holes take no room in it.
Task<> Volume::measure_undo(const blockdev::Bitmap& what, UndoInfo& info, std::uint64_t word) {
  std::uint64_t padded = 0;
  for (std::uint64_t block = 0; !engine_.overtaken(word);) {
    bool zeroes = false;
    const BlockRange range = co_await next_to_keep(what, block, zeroes);
    if (range.count == 0) break;
    block = range.first + range.count;
    ++info.ranges;
    const std::uint64_t bytes = bytes_of(range);
    (zeroes ? info.zero_bytes : info.data_bytes) += bytes;
    if (!zeroes) padded += blockdev::undo_padded(bytes);
  }
  info.pages = (info.ranges + blockdev::undo_ranges_per_page - 1) / blockdev::undo_ranges_per_page;
  info.file_bytes = blockdev::undo_file_bytes(info.ranges, padded);
}

// On return the file is whole and durable, or it is not there.
Task<Result<>> Volume::save_undo(const blockdev::Bitmap& what, UndoInfo info, std::uint64_t word) {
  co_await measure_undo(what, info, word);
  if (engine_.overtaken(word)) co_return failure("nothing was kept: it is not wanted any more");
  auto opened = engine_.env().disks.create_undo(index_, info.generation, info.file_bytes);
  if (!opened) co_return std::unexpected(opened.error());
  const std::string name = (*opened)->name();
  IoError error = co_await fill_undo(what, info, word, **opened);
  opened->reset();
  if (error == IoError::none) {
    engine_.log(Journal::Level::notice,
                fmt::format("volume {}: {} KiB are kept in {}", index_,
                            (info.data_bytes + info.zero_bytes) / 1024, name));
    co_return Result<>{};
  }
  reached("undo-not-written");
  engine_.env().disks.remove_undo(index_, info.generation);
  co_return failure(
      fmt::format("what only {} has of volume {} cannot be kept in {} ({}), so nothing was "
                  "overwritten: see the disk it lies on, or give the data up with --no-undo",
                  engine_.config().self, index_, name, name_of(error)));
}

Task<IoError> Volume::fill_undo(const blockdev::Bitmap& what, const UndoInfo& measured,
                                std::uint64_t word, blockdev::BlockDevice& file) {
  UndoInfo info = measured;
  info.ranges = info.pages = info.data_bytes = info.zero_bytes = 0;
  Buffer memory = engine_.env().buffers.take(sizeof(UndoPage));
  Buffer data = engine_.env().buffers.take(blockdev::undo_data_bytes_max);
  if (!memory || !data) co_return IoError::no_memory;
  auto& page = *new (memory.data()) UndoPage{};
  page.magic = blockdev::undo_page_magic;
  UndoWriter writer{file, page, info};
  for (std::uint64_t block = 0;;) {
    bool zeroes = false;
    const BlockRange range = co_await next_to_keep(what, block, zeroes);
    if (range.count == 0) break;
    block = range.first + range.count;
    const std::uint64_t offset = range.first * blockdev::block_bytes;
    const std::uint64_t length = bytes_of(range);
    std::span<std::byte> bytes;
    if (!zeroes) {
      const IoError error = co_await blockdev::read_at(disk(), offset, data.span().first(length));
      if (error != IoError::none) co_return disk_error(error, "a read for the undo file");
      bytes = data.span().first(blockdev::undo_padded(length));
      std::memset(bytes.data() + length, 0, bytes.size() - length);
    }
    const IoError error = co_await writer.add(offset, length, bytes);
    if (error != IoError::none) co_return error;
    ++info.ranges;
    (zeroes ? info.zero_bytes : info.data_bytes) += length;
    if (engine_.overtaken(word)) break;
  }
  // What is read from now on may not be what the copy showed.
  if (engine_.overtaken(word)) co_return IoError::shutdown;
  info.pages = page.number + (page.count > 0 ? 1 : 0);
  IoError error = co_await writer.end_page();
  if (info != measured) co_return IoError::overflow;  // the disk changed under it
  // Everything first, then the header that says so (a file without one was interrupted).
  const bool flushes = !mutant("undo-not-flushed");
  if (error == IoError::none && flushes) error = co_await blockdev::flush(file);
  if (error != IoError::none) co_return error;
  Buffer head = engine_.env().buffers.take(sizeof(blockdev::UndoHeader));
  if (!head) co_return IoError::no_memory;
  new (head.data()) blockdev::UndoHeader(blockdev::seal_undo_header(info));
  error = co_await blockdev::write_at(file, 0, head.span());
  if (error == IoError::none && flushes) error = co_await blockdev::flush(file);
  co_return error;
}

// --- the resource ---

// The word was given, stands, and what it costs is not kept yet.
bool Engine::undo_first() const {
  return discard_my_data_ && keeps_undo_ && !undo_kept_ && towards_.empty() && !lineage_.empty();
}

// An operator's word, or a policy's, about this node's data; `with_undo`: what differs is kept.
void Engine::give_word(bool with_undo) {
  discard_my_data_ = true;
  keeps_undo_ = with_undo && !mutant("overwritten-before-its-undo");
  undo_kept_ = false;
  ++word_number_;
}

// It is carried out, or about data that has changed since.
void Engine::take_word_back() {
  discard_my_data_ = undo_kept_ = false;
  ++word_number_;
}

// In a session of the split brain, which says where the copies differ.
void Engine::keep_undo_soon() {
  if (yielding_ || !undo_first()) return;
  yielding_ = true;
  ++verbs_running_;  // the disks are not closed under it
  scope_.spawn(keep_undo());
}

std::vector<blockdev::Bitmap> Engine::what_may_differ(const Session& session) const {
  const auto copy = [](const wire::State& state, const wire::State& other) {
    return ForkedCopy{.lineage = state.lineage,
                      .complete = state.complete,
                      .old_session = is_from_the_past(state.session, other.confirmed),
                      .slot_base = state.slot_base,
                      .slot_told = state.slot_told};
  };
  const bool known = bitmaps_name_the_difference(copy(session.own_state_, session.peer_state_),
                                                 copy(session.peer_state_, session.own_state_));
  if (!known) reached("undo-of-everything");
  std::vector<blockdev::Bitmap> blocks;
  for (const auto& volume : volumes_) {
    blockdev::Bitmap& what = blocks.emplace_back(volume->size());
    if (!mutant("undo-of-the-peers-blocks")) what.merge(volume->bits());
    what.merge(session.peer_bits_[volume->index()]);
    if (!known) what.set_all();
  }
  return blocks;
}

Task<> Engine::keep_undo() {
  const std::uint64_t word = word_number_;
  const Lineage before = lineage_;
  const std::vector<blockdev::Bitmap> what = what_may_differ(*session_);
  UndoInfo info;
  info.resource = config_.name;
  info.node = config_.self;
  info.peer = peer_name_;
  info.generation = lineage_.back();
  info.kept = session_->peer_state_.lineage.back();
  info.common = last_common(session_->own_state_.lineage, session_->peer_state_.lineage);
  log(Journal::Level::warning,
      fmt::format("the data of this node yields to that of {}; what differs is kept first",
                  peer_name_));
  Result<> kept;
  for (auto& volume : volumes_) {
    info.volume = volume->index();
    info.volume_bytes = volume->size();
    kept = co_await volume->save_undo(what[volume->index()], info, word);
    if (!kept || overtaken(word)) break;
  }
  yielding_ = false;
  --verbs_running_;
  session_changed_.notify_all();
  gate_changed_.notify_all();
  if (stopping_) co_return;
  if (overtaken(word)) {
    reached("undo-overtaken");
    // A word that stands is begun anew; else whoever gave the one before is told.
    if (discard_my_data_ && in_split_brain()) keep_undo_soon();
    if (!discard_my_data_) {
      not_yielding(
          fmt::format("the data of {} does not yield: it was promoted, or told otherwise, "
                      "while what it has alone was being kept",
                      config_.self));
    }
    co_return;
  }
  if (!kept) {
    for (auto& volume : volumes_) env_.disks.remove_undo(volume->index(), info.generation);
    co_return not_yielding(kept.error().message);
  }
  // Secondary all the time (a promotion takes the word back), and in no session that writes here.
  BATON_ASSERT(lineage_ == before, "what was kept is what this copy still shows");
  undo_kept_ = true;
  kept_for_ = info.kept;
  if (session_ != nullptr) session_->drop("this node's data yields; what it had is kept");
}

// The word is not carried out: the split brain is as it was.
void Engine::not_yielding(const std::string& why) {
  log(Journal::Level::error, why);
  take_word_back();
  yield_refusal_ = why;
  if (in_split_brain() && split_brain_) {
    split_brain_->reason += "; " + why;
    wire::Header header;
    header.number = yield_answer_;
    session_->tell(header, wire::Type::yield_refused,
                   std::as_bytes(std::span(why.data(), std::min<std::size_t>(why.size(), 1000))));
  }
  gate_changed_.notify_all();
  changed();
}

// Of the session in which this copy would be overwritten: is what it loses kept? What was kept is
// about another copy where the peer does not have the generation any more that it was kept for.
bool Engine::undo_is_of(const wire::State& peer) {
  if (!keeps_undo_ || !discard_my_data_ || !towards_.empty()) return true;
  const bool same = std::ranges::find(peer.lineage, kept_for_) != peer.lineage.end();
  if (undo_kept_ && same) return true;
  undo_kept_ = false;
  reached("undo-of-another-split-brain");
  return false;
}

}  // namespace baton::replication
