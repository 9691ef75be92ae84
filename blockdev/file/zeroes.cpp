// Discard and write zeroes: the whole blocks inside by fallocate, the edges by writing.
#include <fcntl.h>

#include <algorithm>

#include "blockdev/file/device.h"

namespace baton::blockdev {
namespace {

// What filesystems allocate and free. Edges smaller than this are written by us, not left to the
// filesystem, which would zero them through the page cache behind our direct writes.
constexpr std::uint64_t zeroing_block = 4096;

constexpr int punch_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int zero_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
constexpr int allocate_mode = FALLOC_FL_KEEP_SIZE;

}  // namespace

Task<> FileDevice::make_zero(Request& request) {
  OverlapTurn turn(overlap_, block_begin(request.offset),
                   block_end(request.offset + request.length), rewrites(request));
  co_await turn;
  Flags flags = request.flags;
  if (request.op == Op::discard) flags.no_hole = flags.fast_zero = false;
  ++zeroings_;
  data_end_ = 0;
  IoError error = co_await zero_range(request.offset, request.length, flags);
  --zeroings_;
  turn.leave();
  if (error == IoError::none) error = co_await sync_if(request.flags.fua);
  note_mutation(request, error);
  finish_later(request, error);
}

Task<IoError> FileDevice::zero_range(std::uint64_t offset, std::uint64_t length, Flags flags) {
  const std::uint64_t end = offset + length;
  const std::uint64_t inner = (offset + zeroing_block - 1) & ~(zeroing_block - 1);
  const std::uint64_t inner_end = end & ~(zeroing_block - 1);
  // No whole block inside: as fast as any write.
  if (inner >= inner_end) co_return co_await replace(offset, length, nullptr);
  // The middle first: if it is refused, nothing has been done.
  IoError error = co_await zero_blocks(inner, inner_end - inner, flags);
  if (error == IoError::none && offset < inner) {
    error = co_await replace(offset, inner - offset, nullptr);
  }
  if (error == IoError::none && inner_end < end) {
    error = co_await replace(inner_end, end - inner_end, nullptr);
  }
  co_return error;
}

// Tries what is cheapest first. A way that turns out not to be supported is not tried again.
Task<IoError> FileDevice::zero_blocks(std::uint64_t offset, std::uint64_t length, Flags flags) {
  if (can_punch_ && !flags.no_hole) {
    const IoError error = co_await allocate(punch_mode, offset, length);
    if (error != IoError::unsupported) co_return error;
    can_punch_ = false;
  }
  // Where ZERO_RANGE writes data it is still the best way to do so, but not a fast one.
  if (can_zero_range_ && (file_.zero_range_is_fast || !flags.fast_zero)) {
    const IoError error = co_await allocate(zero_mode, offset, length);
    if (error != IoError::unsupported) co_return error;
    can_zero_range_ = false;
  }
  if (can_punch_ && can_allocate_) {  // tmpfs: no ZERO_RANGE
    IoError error = co_await allocate(punch_mode, offset, length);
    if (error == IoError::none) error = co_await allocate(allocate_mode, offset, length);
    if (error != IoError::unsupported) co_return error;
    // The hole is there, so "nothing was done" is no longer true: write, this once.
    can_allocate_ = false;
    co_return co_await replace(offset, length, nullptr);
  }
  if (flags.fast_zero) co_return IoError::unsupported;
  co_return co_await replace(offset, length, nullptr);
}

Task<IoError> FileDevice::allocate(int mode, std::uint64_t offset, std::uint64_t length) {
  co_return co_await carry_out(RingIo::allocate(file_.fd, mode, offset, length));
}

}  // namespace baton::blockdev
