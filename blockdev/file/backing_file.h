// An opened, locked raw file or block device, and what was found out about it. No I/O path here.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

struct BackingFile {
  BackingFile() = default;
  BackingFile(BackingFile&& other) noexcept;
  BackingFile& operator=(BackingFile&&) = delete;
  BackingFile(const BackingFile&) = delete;
  BackingFile& operator=(const BackingFile&) = delete;
  ~BackingFile();  // closes; the lock ends when the kernel has finished the descriptor's I/O

  int fd = -1;
  std::string path;
  Limits limits;
  bool block_device = false;
  bool direct = false;     // O_DIRECT: past the page cache
  bool in_memory = false;  // tmpfs: never waits for a disk
  // FUSE and network filesystems: the kernel may wait for the other side within the very call that
  // hands it a request, so a thread of the kernel's own has to make that call.
  bool submission_waits = false;
  // Offsets and lengths of direct transfers are multiples of `block` (1: any), addresses of
  // `memory_alignment`. Both are powers of two, at most 4096. `limits.size` is a multiple of
  // `block`.
  std::uint32_t block = 1;
  std::uint32_t memory_alignment = 1;
  bool can_punch = false;          // PUNCH_HOLE leaves zeroes and frees space
  bool zero_range_is_fast = true;  // ZERO_RANGE is not known to write data
  std::string note;                // a sentence when something is slower than it could be; or empty
};

// Opens for reading and writing and takes the lock (file_device.h says which and why).
// `direct` false: through the page cache even where O_DIRECT would do.
Result<BackingFile> open_backing_file(const std::string& path, bool direct);

}  // namespace baton::blockdev
