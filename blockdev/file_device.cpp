#include "blockdev/file_device.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "blockdev/file/device.h"

namespace baton::blockdev {

Result<std::unique_ptr<BlockDevice>> open_file_device(Ring& ring, BufferPool& pool,
                                                      const std::string& path,
                                                      FileOptions options) {
  auto file = open_backing_file(path, options.direct);
  if (!file) return std::unexpected(file.error());
  if (options.note != nullptr) *options.note = file->note;
  return std::make_unique<FileDevice>(ring, pool, std::move(*file));
}

FileDevice::FileDevice(Ring& ring, BufferPool& pool, BackingFile file)
    : ring_(ring),
      pool_(pool),
      file_(std::move(file)),
      scope_(ring.loop()),
      delivery_(*this),
      can_punch_(file_.can_punch) {}

FileDevice::~FileDevice() {
  BATON_ASSERT(unfinished_ == 0, "a device outlives its requests: the kernel uses their buffers");
  free_transfers_.clear();
}

bool FileDevice::in_range(const Request& request) const {
  const std::uint64_t size = file_.limits.size;
  return request.offset <= size && request.length <= size - request.offset;
}

bool FileDevice::rewrites(const Request& request) const {
  return ((request.offset | request.length) & (file_.block - 1)) != 0;
}

bool FileDevice::fits_blocks(const Request& request) const {
  const auto address = reinterpret_cast<std::uintptr_t>(request.data);
  return !rewrites(request) && (address & (file_.memory_alignment - 1)) == 0;
}

std::uint64_t FileDevice::block_begin(std::uint64_t offset) const {
  return offset & ~(std::uint64_t{file_.block} - 1);
}

std::uint64_t FileDevice::block_end(std::uint64_t offset) const {
  return block_begin(offset + file_.block - 1);
}

void FileDevice::submit(Request& request) {
  ++unfinished_;
  request.reason = nullptr;
  if (request.op == Op::flush) return flush(request);
  if (!in_range(request)) return finish_later(request, IoError::invalid);
  if (request.length == 0) return finish_later(request, IoError::none);
  if (flush_failed_ && request.flags.fua) return fail_flushes(request);
  switch (request.op) {
    case Op::read:
      return fits_blocks(request) ? read_aligned(request) : scope_.spawn(read_bounced(request));
    case Op::write:
      return fits_blocks(request) ? write_aligned(request) : scope_.spawn(write_bounced(request));
    case Op::discard:
      if (!file_.limits.discard) return finish_later(request, IoError::none);
      return scope_.spawn(make_zero(request));
    case Op::write_zeroes:
      return scope_.spawn(make_zero(request));
    case Op::block_status:
      describe(request);
      return finish_later(request, IoError::none);
    case Op::prefetch:  // a hint; direct I/O has nowhere to put what it would fetch
      return finish_later(request, IoError::none);
    case Op::sync_status:
    case Op::flush:
      break;
  }
  finish_later(request, IoError::unsupported);
}

// io_uring hands every request to tmpfs to a worker thread (no FMODE_NOWAIT there, Linux 6.18): 10
// us and more, where the copy itself takes 1 us. Long copies still go to a worker, so that the
// shard serves others meanwhile.
bool FileDevice::at_once(std::uint64_t length) const {
  constexpr std::uint64_t short_copy_bytes = 128U << 10U;
  return file_.in_memory && length <= short_copy_bytes;
}

// --- the short way ---

FileDevice::Transfer& FileDevice::take_transfer(Request& request) {
  if (free_transfers_.empty()) free_transfers_.push_front(transfers_.emplace_back(*this));
  Transfer& transfer = free_transfers_.front();
  free_transfers_.pop_front();
  transfer.request = &request;
  return transfer;
}

void FileDevice::read_aligned(Request& request) {
  Transfer& transfer = take_transfer(request);
  transfer.io = RingIo::read(file_.fd, std::span(request.data, request.length), request.offset);
  transfer.io.at_once = at_once(request.length);
  transfer.io.from_worker = file_.submission_waits;
  ring_.start(transfer, transfer.io);
}

void FileDevice::write_aligned(Request& request) {
  Transfer& transfer = take_transfer(request);
  transfer.io = RingIo::write(file_.fd, std::span(request.data, request.length), request.offset,
                              request.flags.fua ? RWF_DSYNC : 0);
  // Through the page cache the sync would be waited for on our thread.
  transfer.io.from_worker = (request.flags.fua && !file_.direct) || file_.submission_waits;
  transfer.io.at_once = at_once(request.length);
  transfer.cover(request.offset, request.offset + request.length, false);
  if (overlap_.enter(transfer)) ring_.start(transfer, transfer.io);
}

void FileDevice::flush(Request& request) {
  if (flush_failed_) return fail_flushes(request);
  // Nothing was written since the last one (QEMU flushes twice when it stops a guest).
  if (writes_flushed_ == writes_) return finish_later(request, IoError::none);
  Transfer& transfer = take_transfer(request);
  transfer.io = RingIo::sync_data(file_.fd);
  transfer.io.at_once = at_once(0);
  transfer.writes_seen = writes_;
  ring_.start(transfer, transfer.io);
}

void FileDevice::transfer_may_start(Overlap::Turn& turn) {
  auto& transfer = static_cast<Transfer&>(turn);
  transfer.device.ring_.start(transfer, transfer.io);
}

void FileDevice::transfer_ended(Runnable& operation) {
  auto& transfer = static_cast<Transfer&>(operation);
  FileDevice& device = transfer.device;
  const auto ended = settle(transfer.io, transfer.result(), device.file_.block);
  if (!ended) return device.ring_.start(transfer, transfer.io);
  device.finish(transfer, *ended);
}

void FileDevice::finish(Transfer& transfer, IoError error) {
  Request& request = *transfer.request;
  if (request.op == Op::write) {
    overlap_.leave(transfer);
    note_mutation(request, error);
  } else if (request.op == Op::flush && error == IoError::none) {
    writes_flushed_ = std::max(writes_flushed_, transfer.writes_seen);
  } else if (request.op == Op::flush) {
    flush_failed_ = true;
    error = IoError::io;  // whatever it was: nothing is known about what was written
  }
  free_transfers_.push_front(transfer);
  --unfinished_;
  request.error = error;
  request.complete();  // may destroy this device
}

// --- completion ---

void FileDevice::note_mutation(const Request& request, IoError error) {
  if (error == IoError::none && !request.flags.fua) ++writes_;
  // The error may have been the sync's, which the kernel reports once.
  if (error == IoError::io && request.flags.fua) flush_failed_ = true;
}

void FileDevice::fail_flushes(Request& request) {
  request.reason = "an earlier flush failed, so nothing is known about what was written before";
  finish_later(request, IoError::io);
}

void FileDevice::finish_later(Request& request, IoError error) {
  request.error = error;
  done_.push_back(request);
  ring_.loop().post(delivery_);
}

void FileDevice::deliver(Runnable& delivery) {
  FileDevice& device = static_cast<Delivery&>(delivery).device;
  RequestList batch;
  batch.swap(device.done_);
  while (!batch.empty()) {
    Request& request = batch.front();
    batch.pop_front();
    --device.unfinished_;
    request.complete();  // may destroy the device, if it was the last
  }
}

}  // namespace baton::blockdev
