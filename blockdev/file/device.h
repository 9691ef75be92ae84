// The file device's inside; blockdev/file_device.h is its contract.
//
// Two ways through it. The short one (file_device.cpp): an aligned read or write, or a flush, is
// one Transfer and one system call. The long one (file/bounced.cpp, file/zeroes.cpp): everything
// that takes several steps is a coroutine over the same ring.
#pragma once

#include <boost/intrusive/slist.hpp>
#include <cstdint>
#include <deque>

#include "base/buffer_pool.h"
#include "base/task.h"
#include "blockdev/block_device.h"
#include "blockdev/file/backing_file.h"
#include "blockdev/file/overlap.h"
#include "blockdev/request_list.h"
#include "blockdev/uring/ring.h"

namespace baton::blockdev {

class FileDevice final : public BlockDevice {
 public:
  FileDevice(Ring& ring, BufferPool& pool, BackingFile file);
  ~FileDevice() override;

  const Limits& limits() const override { return file_.limits; }
  void submit(Request& request) override;
  std::string name() const override { return file_.path; }

 private:
  // One aligned read or write, or one flush. Kept and used again.
  struct Transfer final : RingOperation, Overlap::Turn, boost::intrusive::slist_base_hook<> {
    explicit Transfer(FileDevice& owner)
        : RingOperation(&FileDevice::transfer_ended),
          Turn(&FileDevice::transfer_may_start),
          device(owner) {}
    FileDevice& device;
    Request* request = nullptr;
    RingIo io;
    std::uint64_t writes_seen = 0;  // flush: how many it covers
  };
  struct Delivery final : Runnable {
    explicit Delivery(FileDevice& owner) : Runnable(&FileDevice::deliver), device(owner) {}
    FileDevice& device;
  };

  bool in_range(const Request& request) const;
  bool fits_blocks(const Request& request) const;
  bool rewrites(const Request& request) const;
  std::uint64_t block_begin(std::uint64_t offset) const;
  std::uint64_t block_end(std::uint64_t offset) const;

  bool at_once(std::uint64_t length) const;

  // --- the short way ---
  Transfer& take_transfer(Request& request);
  void read_aligned(Request& request);
  void write_aligned(Request& request);
  void flush(Request& request);
  static void transfer_may_start(Overlap::Turn& turn);
  static void transfer_ended(Runnable& operation);
  void finish(Transfer& transfer, IoError error);

  // --- the long way ---
  Task<> read_bounced(Request& request);
  Task<> write_bounced(Request& request);
  Task<> make_zero(Request& request);
  Task<IoError> carry_out(RingIo io);
  Task<IoError> fill(const Request& request);
  Task<IoError> replace(std::uint64_t offset, std::uint64_t length, const std::byte* source);
  Task<IoError> zero_range(std::uint64_t offset, std::uint64_t length, Flags flags);
  Task<IoError> zero_blocks(std::uint64_t offset, std::uint64_t length, Flags flags);
  Task<IoError> allocate(int mode, std::uint64_t offset, std::uint64_t length);
  Task<IoError> sync_if(bool wanted);

  void describe(Request& request);

  // --- completion ---
  void note_mutation(const Request& request, IoError error);
  void finish_later(Request& request, IoError error);
  static void deliver(Runnable& delivery);
  void fail_flushes(Request& request);

  Ring& ring_;
  BufferPool& pool_;
  BackingFile file_;
  Overlap overlap_;
  std::deque<Transfer> transfers_;  // grows to the greatest depth seen
  boost::intrusive::slist<Transfer, boost::intrusive::constant_time_size<false>> free_transfers_;
  Scope scope_;

  std::uint64_t unfinished_ = 0;  // submitted, completion not yet called
  RequestList done_;              // completion is called from the loop
  Delivery delivery_;

  // Completed mutations that a power loss could undo, ever; and how many of them a flush covered.
  // The first flush always goes to the disk: an earlier process may have left something behind.
  std::uint64_t writes_ = 1;
  std::uint64_t writes_flushed_ = 0;
  bool flush_failed_ = false;
  // Of the data that was described last, [begin, end): finding where it ends takes milliseconds on
  // a tmpfs that has much of it, on the shard's thread. Forgotten with each zeroing, which may end
  // it.
  std::uint64_t data_begin_ = 0;
  std::uint64_t data_end_ = 0;
  std::uint64_t zeroings_ = 0;  // under way
  // Ways to make zeroes that the filesystem has not refused.
  bool can_punch_;
  bool can_zero_range_ = true;
  bool can_allocate_ = true;
};

}  // namespace baton::blockdev
