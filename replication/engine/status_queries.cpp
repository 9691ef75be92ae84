// What a client may ask of a range besides its content: whether it is allocated, and whether the
// copies may differ there (docs/nbd.md "Metadata contexts").
#include <algorithm>

#include "replication/engine/engine.h"

namespace baton::replication {

using blockdev::Op;
using blockdev::Request;

Task<> Volume::serve_status(Request& request) {
  const bool own = engine_.reads_own_copy() && request.length > 0;
  if (own) {
    Request inner;
    inner.op = Op::block_status;
    inner.flags = request.flags;
    inner.offset = request.offset;
    inner.length = request.length;
    inner.extents = request.extents;
    ++disk_users_;
    co_await perform(disk(), inner);
    leave_disk_alone();
    request.error = inner.error;
  } else {
    // "Allocated data" is always true enough (NBD specification, base:allocation).
    co_await Yield(engine_.env().loop);
    request.extents->clear();
    request.extents->push_back({request.length, false, false});
    request.error = IoError::none;
  }
  request.complete();
}

// The bits of a node say what the other one lacks as long as this copy is the one that counts, and
// what this one lacks while it is being filled. Otherwise nobody knows here.
bool Engine::knows_what_differs(const Volume& volume) const {
  const DiskState state = disk_state(volume);
  return state == DiskState::up_to_date || (state == DiskState::inconsistent && replicating_);
}

// By blocks of 4 KiB. What is under way is not counted.
Task<> Volume::serve_sync_status(Request& request) {
  co_await Yield(engine_.env().loop);
  std::vector<blockdev::Extent>& extents = *request.extents;
  extents.clear();
  const std::uint64_t end = request.offset + request.length;
  const std::size_t wanted = request.flags.req_one ? 1 : blockdev::extent_limit;
  const bool known = attached() && engine_.knows_what_differs(*this);
  std::uint64_t at = request.offset;
  while (at < end && extents.size() < wanted) {
    std::uint64_t next = end;
    bool out_of_sync = !known;
    if (known) {
      const std::uint64_t first = at / blockdev::block_bytes;
      const auto run = bits().next_set(first, (end - 1) / blockdev::block_bytes - first + 1);
      out_of_sync = run && run->first == first;
      if (run) next = (out_of_sync ? run->first + run->count : run->first) * blockdev::block_bytes;
      next = std::min(next, end);
    }
    extents.push_back({.length = next - at, .out_of_sync = out_of_sync});
    at = next;
  }
  request.error = IoError::none;
  request.complete();
}

}  // namespace baton::replication
