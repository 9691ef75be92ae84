// The activity log on its way to the disk: who waits, and transactions.
//
// A transaction takes everybody who waits and fits, writes the pages that change in parallel, and
// flushes once. The pages in memory are the ones written, so they change between transactions only.
#pragma once

#include <memory>

#include "blockdev/metadata/activity_log.h"
#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/device_io.h"

namespace baton::blockdev {

class ActivityWriter {
 public:
  // `pages` as loaded; those marked in `rewrite` were damaged and go with the next transaction.
  ActivityWriter(Loop& loop, BlockDevice& device, Fault& fault, const Geometry& geometry,
                 std::vector<BitPage> pages, std::vector<bool> rewrite, std::uint64_t sequence,
                 std::size_t limit);

  // What metadata.h says of the functions of the same names.
  const std::vector<std::uint64_t>& recovered() const { return recovered_; }
  bool acquire_if_active(std::uint64_t offset, std::uint64_t length);
  Task<IoError> acquire(std::uint64_t offset, std::uint64_t length);
  void release(std::uint64_t offset, std::uint64_t length);
  std::uint64_t begin_interval() { return log_.begin_interval(); }
  void mark_clean(std::uint64_t interval);
  void set_pressure_handler(void (*handler)(void*), void* context);
  Task<IoError> empty();
  const ActivityLog& log() const { return log_; }
  const Metadata::ActivityCounters& counters() const { return counters_; }

  void refuse_acquires();
  // The device is lost: answers everybody who waits for room.
  void fail_waiters();

 private:
  // Somebody who waits: for regions, or for the log to be empty.
  class Waiter final : public Runnable {
   public:
    Waiter(ActivityWriter& writer, std::uint64_t first, std::uint64_t count)
        : Runnable([](Runnable& self) { static_cast<Waiter&>(self).handle_.resume(); }),
          writer_(writer),
          first(first),
          count(count) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      handle_ = handle;
      writer_.waiting_.push_back(*this);
      writer_.wake();
    }
    IoError await_resume() const noexcept { return result; }

   private:
    ActivityWriter& writer_;
    std::coroutine_handle<> handle_;

   public:
    const std::uint64_t first;
    const std::uint64_t count;  // 0: empty the log
    bool stalled = false;       // counted as a stall
    IoError result = IoError::none;
  };
  using Waiters = boost::intrusive::list<Runnable, boost::intrusive::constant_time_size<false>>;

  IoError refusal() const { return refusing_ ? IoError::io : fault_.error(); }
  void wake();
  Task<> run();
  void let_go(IoError error);
  void plan();
  bool admit(Waiter& waiter);
  bool admit_emptying(Waiter& waiter);
  void answer(Waiter& waiter, IoError result);
  void ask_for_room();
  void apply(const std::vector<ActivityLog::Change>& changes);
  Task<IoError> write_changed_pages();

  Loop& loop_;
  BlockDevice& device_;
  Fault& fault_;
  const Geometry geometry_;
  std::vector<BitPage> pages_;
  std::vector<bool> changed_;  // by page: differs from the disk
  std::uint64_t sequence_;
  ActivityLog log_;
  std::vector<std::uint64_t> recovered_;
  Metadata::ActivityCounters counters_;

  Waiters waiting_;
  Waiters admitted_;  // to the transaction that is being written
  std::vector<ActivityLog::Change> changes_;
  bool running_ = false;
  bool look_again_ = false;  // regions became clean since the last plan
  bool refusing_ = false;    // no region becomes clean any more
  bool asked_ = false;       // for room, and nothing became clean since
  void (*pressure_handler_)(void*) = nullptr;
  void* pressure_context_ = nullptr;
  std::unique_ptr<WriteWindow> window_;
  Scope scope_;  // last: its frames use the rest
};

}  // namespace baton::blockdev
