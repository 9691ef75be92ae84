// This node's copy of a volume: its disks are opened, looked at, and given up.
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

namespace {

// A killed process's disk requests end within milliseconds, on a very busy disk within seconds.
constexpr Duration lock_patience = std::chrono::seconds(5);

}  // namespace

Task<Result<>> Volume::attach() {
  if (Result<> may = may_attach(); !may) co_return may;
  Result<BackingStore> store = engine_.env().disks.open(index_);
  // The requests of a daemon that was killed a moment ago must be over first: its lock says so.
  const TimePoint patience = engine_.env().clock.now() + lock_patience;
  while (!store && store.error().try_again && engine_.env().clock.now() < patience) {
    reached("disk-locked-at-start");
    co_await sleep_for(engine_.env().clock, std::chrono::milliseconds(50));
    store = engine_.env().disks.open(index_);
  }
  if (!store) co_return std::unexpected(store.error());
  give_time_limits(*store);
  std::vector<std::string> warnings;
  auto loaded = co_await blockdev::Metadata::open(engine_.env().loop, *store->metadata, warnings,
                                                  engine_.config().active_regions);
  for (const std::string& warning : warnings) engine_.log(Journal::Level::warning, warning);
  if (!loaded) co_return std::unexpected(loaded.error());

  const blockdev::Superblock& found = (*loaded)->superblock();
  const ResourceConfig& config = engine_.config();
  std::string why;
  if (found.resource != config.name || found.node != config.self || found.volume != index_) {
    why = fmt::format(
        "the metadata of {} belongs to volume {} of {} on node {}, not to volume {} of "
        "{} on {}: check `disks` and `meta`",
        store->data->name(), found.volume, found.resource, found.node, index_, config.name,
        config.self);
  } else if (store->data->limits().size < found.size) {
    why = fmt::format(
        "{} has {} bytes, its metadata says {}: the disk was cut off; restore its "
        "size, nothing was changed",
        store->data->name(), store->data->limits().size, found.size);
  } else if (config_.size != 0 && config_.size != found.size) {
    why = fmt::format(
        "the configuration says {} bytes for volume {} of {}, the metadata says {}: "
        "correct `size`",
        config_.size, index_, config.name, found.size);
  }
  if (!why.empty()) co_return failure(why, ExitCode::refused);

  store_ = std::move(*store);
  metadata_ = std::move(*loaded);
  metadata_->set_pressure_handler(
      [](void* self) {
        auto& volume = *static_cast<Volume*>(self);
        volume.engine_.spawn(volume.clean_activity_log());
      },
      this);
  export_limits_ = store_.data->limits();
  export_limits_.size = found.size;
  const std::uint64_t regions = (found.size + lent_region_bytes - 1) / lent_region_bytes;
  lent_ = LentRegions(regions);
  borrowed_ = BorrowedRegions(regions);
  // The same on every node and in every role: what a discard does is decided here, not by the disk
  // (design §6 "TRIM is replicated as one definite result").
  export_limits_.discard = true;
  export_limits_.discard_zeroes = true;
  export_limits_.fast_zero = true;
  export_limits_.sync_status = true;
  export_limits_.preferred_block = 4096;
  export_limits_.rotational = false;
  failed_ = flush_failed_ = false;
  co_return co_await make_readable_durable();
}

// A killed daemon's writes lie in the disk's cache: what is read from now on is believed, so it
// must not vanish with the power.
Task<Result<>> Volume::make_readable_durable() {
  const bool again = superblock().flush_failed;
  if (superblock().clean && !again) co_return Result<>{};
  IoError error = IoError::none;
  if (again) error = co_await write_recovered_regions_again();
  if (error == IoError::none) {
    Request flush;
    flush.op = Op::flush;
    co_await perform(disk(), flush);
    error = flush.error;
    // The next flush may succeed, and what this one has lost stays lost.
    if (error != IoError::none) co_await record_failed_flush();
  }
  if (error == IoError::none) co_return Result<>{};
  const std::string name = store_.data->name();
  close();
  co_return failure(fmt::format("{} cannot be {}: its disk has failed; repair or replace it", name,
                                again ? "written again after a failed flush" : "flushed"));
}

Task<Result<>> Volume::try_disk() {
  Request first;
  first.op = Op::read;
  first.length = std::min<std::uint64_t>(blockdev::block_bytes, size());
  const Buffer data = engine_.env().buffers.take(first.length);
  if (!data) co_return failure("memory is short; try again");
  first.data = data.data();
  co_await perform(disk(), first);
  if (first.error == IoError::none) co_return Result<>{};
  reached("attached-disk-still-fails");
  co_return failure(
      fmt::format("{} still fails: reading its first block gives {}; repair or "
                  "replace it, then attach it",
                  disk().name(), name_of(first.error)));
}

void Volume::close() {
  BATON_ASSERT(writes_in_flight_ == 0 && applying_.empty(), "a volume is closed when it is quiet");
  metadata_.reset();
  store_ = {};
}

IoError Volume::disk_error(IoError error, const char* what) {
  if (error == IoError::io) engine_.disk_failed(*this, what);
  return error;
}

}  // namespace baton::replication
