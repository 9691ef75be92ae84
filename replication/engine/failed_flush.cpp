// A disk that fails a flush may have dropped what it should have made durable, and reads go on to
// show it. No later flush tells of that, and no restart, so it is recorded before anybody hears of
// the failure:
//
//   doubtful       the copy may lack what was acknowledged: of two copies of one generation the
//                  other one is the source
//   flush_failed   what reads show may not be durable: before the disk is used again, everything
//                  that no flush had covered is written anew
//
// What no flush had covered lies in the regions of the activity log (rule 5).
#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

namespace {

constexpr std::uint64_t chunk_bytes = 1U << 20U;

}  // namespace

Task<> Engine::flush_failed(Volume& volume) {
  disk_failed(volume, "a flush");
  if (mutant("failed-flush-not-recorded")) co_return;
  volume.flush_failed_ = true;
  arrival_ = Arrival::crashed;
  if (volume.superblock().flush_failed) co_return;
  const bool recorded = co_await commit();
  if (!recorded) log(Journal::Level::error, "that a flush has failed cannot be recorded");
}

// While the volume is being attached.
Task<> Volume::record_failed_flush() {
  reached("start-flush-failed");
  blockdev::Superblock record = superblock();
  record.doubtful = record.flush_failed = true;
  const IoError error = co_await metadata_->commit(std::move(record));
  if (error != IoError::none) {
    engine_.log(Journal::Level::error, "that a flush has failed cannot be recorded");
  }
}

// What reads show of the regions in the activity log, written once more.
Task<IoError> Volume::write_recovered_regions_again() {
  reached("written-again-after-failed-flush");
  for (const std::uint64_t region : metadata_->recovered_regions()) {
    const std::uint64_t end = std::min((region + 1) * blockdev::region_bytes, size());
    std::uint64_t offset = region * blockdev::region_bytes;
    while (offset < end) {
      std::uint64_t length = std::min(chunk_bytes, end - offset);
      const IoError error = co_await write_again(offset, length);
      if (error != IoError::none) co_return error;
      offset += length;
    }
  }
  co_return IoError::none;
}

// The beginning of the range, as far as it is data or a hole throughout; `length` says how far.
Task<IoError> Volume::write_again(std::uint64_t offset, std::uint64_t& length) {
  std::vector<blockdev::Extent> extents;
  Request status;
  status.op = Op::block_status;
  status.flags.req_one = true;
  status.offset = offset;
  status.length = length;
  status.extents = &extents;
  co_await perform(disk(), status);
  bool hole = false;
  if (status.error == IoError::none && !extents.empty()) {
    length = std::min(length, extents.front().length);
    hole = extents.front().zero;
  }
  Request again;
  again.op = Op::write_zeroes;
  again.offset = offset;
  again.length = length;
  Buffer data;
  if (!hole) {
    data = engine_.env().buffers.take(length);
    if (!data) co_return IoError::no_memory;
    Request read;
    read.op = Op::read;
    read.offset = offset;
    read.length = length;
    read.data = data.data();
    co_await perform(disk(), read);
    if (read.error != IoError::none) co_return read.error;
    again.op = Op::write;
    again.data = data.data();
  }
  co_await perform(disk(), again);
  co_return again.error;
}

}  // namespace baton::replication
