// Block status from SEEK_DATA and SEEK_HOLE: short system calls that look at metadata in memory.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "blockdev/file/device.h"

namespace baton::blockdev {
namespace {

// Bounds the time on the shard's thread: some microseconds a piece on a fragmented file. The caller
// asks again for the rest, as the contract of block_status lets it.
constexpr std::size_t extents_max = 128;

// Where the run of data or hole that contains `at` ends, and which of both it is.
struct Run {
  std::uint64_t end;
  bool hole;
};

Run run_at(int fd, std::uint64_t at, std::uint64_t limit) {
  const off_t data = lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0) return {limit, errno == ENXIO};  // a hole to the end; or nothing known: data
  if (static_cast<std::uint64_t>(data) > at) return {static_cast<std::uint64_t>(data), true};
  const off_t hole = lseek(fd, static_cast<off_t>(at), SEEK_HOLE);
  if (hole <= data) return {limit, false};
  return {static_cast<std::uint64_t>(hole), false};
}

}  // namespace

void FileDevice::describe(Request& request) {
  std::uint64_t at = request.offset;
  const std::uint64_t end = request.offset + request.length;
  const std::size_t wanted = request.flags.req_one ? 1 : extents_max;
  request.extents->clear();
  while (at < end && request.extents->size() < wanted) {
    const bool known = at >= data_begin_ && at < data_end_;
    const Run run = known ? Run{data_end_, false} : run_at(file_.fd, at, end);
    if (!known && !run.hole && zeroings_ == 0) {
      data_begin_ = at;
      data_end_ = run.end;
    }
    const std::uint64_t run_end = std::min(run.end, end);
    request.extents->push_back({run_end - at, run.hole, run.hole});
    at = run_end;
  }
}

}  // namespace baton::blockdev
