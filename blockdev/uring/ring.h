// One io_uring per shard: what a turn starts leaves in one system call at the end of the turn.
//
// The end of a turn submits and then reaps, so that whatever the kernel completed while it was
// being submitted (page cache, tmpfs) is ready in the very next turn, with no trip through epoll.
// While the shard turns, the eventfd is muted; it fires only when something completes after the
// ring has found nothing left to do, which is when the shard may block: give event_fd() to
// Shard::wake_on() once.
//
// Nothing here waits: an operation that the kernel cannot take now stays in the ring's own queue
// and goes with a later turn. liburing stays out of this header.
#pragma once

#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/loop.h"
#include "base/result.h"

struct io_uring;

namespace baton::blockdev {

// One system call, as the kernel will carry it out.
struct RingIo {
  enum class Kind : std::uint8_t { read, write, sync_data, allocate };

  static RingIo read(int fd, std::span<std::byte> into, std::uint64_t offset);
  // `flags`: RWF_*.
  static RingIo write(int fd, std::span<const std::byte> from, std::uint64_t offset, int flags);
  // fdatasync.
  static RingIo sync_data(int fd);
  // fallocate with `mode`.
  static RingIo allocate(int fd, int mode, std::uint64_t offset, std::uint64_t length);

  Kind kind = Kind::read;
  bool from_worker = false;  // in a kernel thread from the start: for calls known to block
  bool at_once = false;      // by a plain system call inside start(): for a file that never waits
  int fd = -1;
  int flags = 0;
  std::byte* data = nullptr;
  std::uint64_t length = 0;  // of reads and writes the kernel takes at most `transfer_max` at once
  std::uint64_t offset = 0;

  static constexpr std::uint64_t transfer_max = 1U << 30U;
};

// What the result of `io` means. Nothing: start `io` again, it has been changed to what is left
// (short transfers, interruptions). Otherwise how it ended. `block`: transfers begin on multiples.
std::optional<IoError> settle(RingIo& io, int result, std::uint32_t block);

// An operation and its result; lives with its owner, who touches neither it nor its data while it
// is in flight (asserted in the destructor: the kernel would go on writing into freed memory).
// Completion queues it on the loop, so `done` runs in a later turn, once.
class RingOperation : public Runnable {
 public:
  explicit RingOperation(void (*done)(Runnable&)) : Runnable(done) {}

  // As the system call returns it: at least 0, or a negative errno. Short transfers are reported.
  int result() const { return result_; }
  bool in_flight() const { return in_flight_; }

 protected:
  ~RingOperation();

 private:
  friend class Ring;
  RingIo io_;
  int result_ = 0;
  bool in_flight_ = false;
};

// How completions come back. Where the kernel is too old for one, the next is taken.
enum class RingMode : std::uint8_t {
  deferred,     // Linux 6.1: completion work runs when the shard asks, on the shard's thread
  cooperative,  // Linux 5.19: it runs when the shard enters the kernel anyway, and never interrupts
  plain,        // any
};

struct RingOptions {
  unsigned entries = 256;  // room for submissions; more are in flight at a time
  // So many leave together without waiting for the end of the turn: a disk that begins with the
  // first requests of a burst while the rest is still being read ends earlier. Two instead of all
  // cost nothing measurable where the disk is memory, and gave a pair on a disk a fifth at depth 16
  // (fio_jobs/compare, docs/performance.md).
  unsigned batch = 2;
  // `deferred` needs a system call more for each wake and saved nothing measurable in return
  // (device_bench --modes: 37.9, 36.1 and 35.3 us of CPU a read at depth 1, 5.0 to 5.1 at 32).
  RingMode mode = RingMode::cooperative;
};

class Ring final : public TurnHook {
 public:
  // Adds itself to `loop`, which outlives it. May be called on any thread; everything else happens
  // on the one thread that first turns the loop. Fails with one sentence where io_uring is missing,
  // forbidden or too old.
  static Result<std::unique_ptr<Ring>> open(Loop& loop, RingOptions options = RingOptions());
  // Nothing may be in flight (asserted).
  ~Ring();

  // Hands `operation` over; it leaves at the end of the turn at the latest.
  // `io.at_once`: it has been carried out on return, and completes later in this very turn.
  void start(RingOperation& operation, const RingIo& io);

  Loop& loop() { return loop_; }
  // Readable when something completed while the shard may have been blocked.
  int event_fd() const { return event_fd_; }
  RingMode mode() const { return mode_; }
  // Started and not yet completed.
  std::uint64_t in_flight() const { return in_flight_; }

  void end_of_turn() override;

 private:
  Ring(Loop& loop, std::unique_ptr<io_uring> uring, RingMode mode, unsigned batch, int event_fd);
  bool enqueue(RingOperation& operation);
  void bind_to_this_thread();
  void submit();
  void reap();
  bool completions_due() const;
  void mute_event_fd(bool mute);

  Loop& loop_;
  std::unique_ptr<io_uring> uring_;
  RingMode mode_;
  unsigned batch_;
  int event_fd_;
  bool bound_to_thread_ = false;
  std::uint64_t in_flight_ = 0;
  // Found no room in the submission queue; older first.
  boost::intrusive::list<Runnable, boost::intrusive::constant_time_size<false>> waiting_;
  // Keeps the loop turning while the kernel has refused to take what is queued.
  struct Retry final : Runnable {
    Retry() : Runnable([](Runnable&) {}) {}
  } retry_;
};

// const int result = co_await RingCall(ring, RingIo::sync_data(fd));
class RingCall final : RingOperation {
 public:
  RingCall(Ring& ring, const RingIo& io)
      : RingOperation([](Runnable& self) { static_cast<RingCall&>(self).waiter_.resume(); }),
        ring_(ring),
        io_(io) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    ring_.start(*this, io_);
  }
  int await_resume() const noexcept { return result(); }

 private:
  Ring& ring_;
  RingIo io_;
  std::coroutine_handle<> waiter_;
};

}  // namespace baton::blockdev
