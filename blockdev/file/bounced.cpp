// Reads and writes that do not fit the disk's blocks, through an aligned buffer of our own.
#include <algorithm>
#include <cstring>

#include "blockdev/file/device.h"

namespace baton::blockdev {
namespace {

// Large enough that a long request costs few extra calls, small enough that many fit the pool.
constexpr std::uint64_t bounce_bytes_max = std::uint64_t{256} << 10U;

}  // namespace

Task<> FileDevice::read_bounced(Request& request) {
  const IoError error = co_await fill(request);
  finish_later(request, error);
}

Task<IoError> FileDevice::fill(const Request& request) {
  const std::uint64_t last = request.offset + request.length;
  const std::uint64_t end = block_end(last);
  std::uint64_t at = block_begin(request.offset);
  const Buffer bounce = pool_.take(std::min(end - at, bounce_bytes_max));
  if (!bounce) co_return IoError::no_memory;
  while (at < end) {
    const auto part = bounce.span().first(std::min<std::uint64_t>(end - at, bounce.size()));
    const IoError error = co_await carry_out(RingIo::read(file_.fd, part, at));
    if (error != IoError::none) co_return error;
    const std::uint64_t from = std::max(at, request.offset);
    const std::uint64_t to = std::min(at + part.size(), last);
    std::memcpy(request.data + (from - request.offset), part.data() + (from - at), to - from);
    at += part.size();
  }
  co_return IoError::none;
}

Task<> FileDevice::write_bounced(Request& request) {
  OverlapTurn turn(overlap_, block_begin(request.offset),
                   block_end(request.offset + request.length), rewrites(request));
  co_await turn;
  IoError error = co_await replace(request.offset, request.length, request.data);
  turn.leave();
  if (error == IoError::none) error = co_await sync_if(request.flags.fua);
  note_mutation(request, error);
  finish_later(request, error);
}

// Puts `source` (zeroes where it is null) at [offset, offset + length) and leaves its neighbours as
// they are. Whoever calls this has the turn for every block it touches.
Task<IoError> FileDevice::replace(std::uint64_t offset, std::uint64_t length,
                                  const std::byte* source) {
  const std::uint64_t last = offset + length;
  const std::uint64_t end = block_end(last);
  std::uint64_t at = block_begin(offset);
  const Buffer bounce = pool_.take(std::min(end - at, bounce_bytes_max));
  if (!bounce) co_return IoError::no_memory;
  while (at < end) {
    const auto part = bounce.span().first(std::min<std::uint64_t>(end - at, bounce.size()));
    const std::uint64_t from = std::max(at, offset);
    const std::uint64_t to = std::min(at + part.size(), last);
    IoError error = IoError::none;
    if (to - from < part.size()) error = co_await carry_out(RingIo::read(file_.fd, part, at));
    if (error != IoError::none) co_return error;
    if (source != nullptr) {
      std::memcpy(part.data() + (from - at), source + (from - offset), to - from);
    } else {
      std::memset(part.data() + (from - at), 0, to - from);
    }
    error = co_await carry_out(RingIo::write(file_.fd, part, at, 0));
    if (error != IoError::none) co_return error;
    at += part.size();
  }
  co_return IoError::none;
}

Task<IoError> FileDevice::carry_out(RingIo io) {
  io.from_worker = io.from_worker || file_.submission_waits;
  while (true) {
    const int result = co_await RingCall(ring_, io);
    const auto ended = settle(io, result, file_.block);
    if (ended) co_return *ended;
  }
}

Task<IoError> FileDevice::sync_if(bool wanted) {
  if (!wanted) co_return IoError::none;
  const IoError error = co_await carry_out(RingIo::sync_data(file_.fd));
  // Nothing less than EIO is true of a sync that failed (block_device.h).
  if (error != IoError::none) co_return IoError::io;
  co_return IoError::none;
}

}  // namespace baton::blockdev
