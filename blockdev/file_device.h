// A raw file or block device of this host as a BlockDevice, through io_uring.
//
// Direct I/O where the filesystem takes it, the page cache otherwise. Any byte range is served: one
// that does not fit the device's blocks is read, changed and written back, and whatever else
// changes those blocks waits meanwhile (file/overlap.h). Aligned requests from aligned buffers, the
// usual case, go to the kernel as they are and allocate nothing.
//
// Discard leaves zeroes or does nothing at all (limits().discard says which), never bytes that
// differ between two copies: a block device whose discard promises nothing about content is not
// discarded. Write zeroes uses the cheapest call that the filesystem knows.
//
// A flush that failed makes every later flush and FUA fail: the kernel forgets which pages it could
// not write, so the next fsync would lie.
#pragma once

#include <memory>
#include <string>

#include "base/buffer_pool.h"
#include "base/result.h"
#include "blockdev/block_device.h"
#include "blockdev/uring/ring.h"

namespace baton::blockdev {

struct FileOptions {
  bool direct = true;           // false: use the page cache even where direct I/O would work
  std::string* note = nullptr;  // out: a sentence for the log when the file is served more slowly
                                // than it could be; empty otherwise
};

// Opens `path` for reading and writing and locks it against other processes: against a second
// daemon, and against QEMU programs that open the image themselves. The lock belongs to the open
// file description that does the I/O, so the kernel keeps it until the last request of a killed
// process has ended (design §6). Blocks for the time of a few system calls: for start-up.
//
// `ring` and `pool` belong to the shard that will use the device, and outlive it. The device is
// destroyed when no request is in flight (asserted); destroying it gives the lock back, and flushes
// nothing.
Result<std::unique_ptr<BlockDevice>> open_file_device(Ring& ring, BufferPool& pool,
                                                      const std::string& path,
                                                      FileOptions options = FileOptions());

// Makes a file of `size` bytes that reads as zeroes and takes no space. File and name are on stable
// storage on return. Fails, and touches nothing, when `path` exists; on any failure nothing is left
// behind.
Result<> create_sparse_file(const std::string& path, std::uint64_t size);

}  // namespace baton::blockdev
