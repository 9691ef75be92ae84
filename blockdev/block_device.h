// BlockDevice: the one interface that carries the house (design §2).
//
// A raw file, memory, a replicated volume, a fault-injecting wrapper: nbd_server/ exports any of
// them, replication/ composes them. All calls of one device come from one shard.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/operation.h"
#include "base/result.h"

namespace baton::blockdev {

enum class Op : std::uint8_t {
  read,
  write,
  flush,
  discard,       // the range may be forgotten; Limits::discard_zeroes says what it reads as
  write_zeroes,  // the range reads as zeroes
  block_status,  // which parts are holes or known zeroes
  sync_status,   // which parts may differ between the copies; see Limits::sync_status
  prefetch,      // a hint (NBD_CMD_CACHE)
};

// For logs: "write zeroes".
const char* name_of(Op op) noexcept;

// Modifiers of one request; the names are those of the NBD specification.
struct Flags {
  bool fua : 1 = false;        // write, write_zeroes, discard: complete when on stable storage
  bool no_hole : 1 = false;    // write_zeroes: leave the range allocated
  bool fast_zero : 1 = false;  // write_zeroes: fail with `unsupported` rather than write data
  bool req_one : 1 = false;    // block_status, sync_status: one extent is enough
};

// One extent of an answer.
struct Extent {
  std::uint64_t length = 0;
  bool hole = false;         // block_status: not allocated
  bool zero = false;         // block_status: reads as zeroes
  bool out_of_sync = false;  // sync_status: not known to be the same on every copy
  friend bool operator==(const Extent&, const Extent&) = default;
};

// A device stops its answer after so many extents: a fragmented terabyte must not
// become a gigabyte of them. Whoever asks goes on behind the last one.
inline constexpr std::size_t extent_limit = 8192;

// One request; lives with its owner (base/operation.h).
//
// Range: offset + length <= size, any alignment and length, also 0 (completes with nothing done).
// The owner checks the range; a device may answer `invalid`, never touch anything outside.
//
// Ordering: requests in flight together may be carried out in any order. Overlapping writes in
// flight together leave, for every sector, one of the written values whole, unless the device
// promises more (the replicated volume: the same one on every copy).
//
// After an error every sector of a written range holds its old or its new content.
struct Request : Operation {
  Op op = Op::read;
  Flags flags;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  // read: filled. write: source. At least `length` bytes; page-aligned (base/buffer_pool.h) is
  // faster, never required.
  std::byte* data = nullptr;
  // block_status, sync_status: cleared, then filled with extents that start at `offset` and cover
  // at least one byte and at most `length` bytes, at most extent_limit of them; capacity is kept
  // between uses.
  std::vector<Extent>* extents = nullptr;
  // out
  IoError error = IoError::none;
  // out: a static sentence for the client's log when there is more to say than the code; or null.
  const char* reason = nullptr;
  // For the device, while it holds the request. A request that is thrown away with its owner's
  // frame (a simulated kill) leaves the device's list by itself.
  boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>
      device_link;
};

// What a device is; fixed while it is open.
struct Limits {
  std::uint64_t size = 0;                // bytes
  std::uint32_t preferred_block = 4096;  // for best speed; a power of two, at least 512
  bool rotational = false;
  bool discard = false;         // discard does something useful
  bool discard_zeroes = false;  // after a discard the whole range reads as zeroes
  bool fast_zero = false;       // write_zeroes honours Flags::fast_zero
  bool sync_status = false;     // there are several copies; else sync_status is `unsupported`
};

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual const Limits& limits() const = 0;

  // Starts `request`. Completion, with `error` set:
  //   read          `data` holds the content.
  //   write, write_zeroes, discard
  //                 reads see it from now on, also after this process dies; after a power loss only
  //                 when a later flush completed, or with fua.
  //   flush         every write completed before the flush was submitted, through whatever
  //                 connection, is on stable storage. After an error nothing is known about any of
  //                 them: treat the device as failed, never retry.
  //   block_status, sync_status
  //                 `extents` is filled.
  virtual void submit(Request& request) = 0;

  // How a person knows it: the path, "memory", the export's name.
  virtual std::string name() const = 0;
};

inline auto perform(BlockDevice& device, Request& request) {
  return OperationAwaiter(request, [&device, &request] { device.submit(request); });
}

}  // namespace baton::blockdev
