// One shard: a thread's io_context, loop, timers and buffers (design §2 "One thread owns one
// shard").
//
// run() alternates turns of the loop with the io_context: it blocks in the kernel only when nothing
// is ready and no hook of the turn has made anything ready, and where that pays only after looking
// for news for a while (poll_policy.h). Other threads reach a shard only through
// post_from_outside().
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/runtime/poll_policy.h"

namespace baton {

struct ShardOptions {
  std::size_t buffer_limit_bytes = std::size_t{1} << 30U;
  Duration poll_window = Duration::zero();  // longest look before blocking; zero: block at once
};

class Shard final : public Clock {
 public:
  explicit Shard(ShardOptions options = ShardOptions());
  ~Shard() override;

  Loop& loop() { return loop_; }
  boost::asio::io_context& io() { return io_; }
  BufferPool& buffers() { return buffers_; }

  // CLOCK_MONOTONIC.
  TimePoint now() const override;
  void arm(Timer& timer, TimePoint deadline) override { timers_.arm(timer, deadline); }

  // Runs until stop() was called; then returns after the turn in progress.
  void run();
  void stop() { stopped_ = true; }

  // Blocking in run() ends when `event_fd` (an eventfd, non-blocking) is written to; the shard
  // resets it, and then runs a turn, whose hooks look for what happened. For as long as the shard
  // lives, also after `event_fd` was closed. At start-up: throws when no descriptor is left.
  void wake_on(int event_fd);

  // From any thread: runs `work` on the shard, in order of the calls.
  void post_from_outside(std::function<void()> work);

 private:
  // Until a handler of the io_context has run or the next timer is due.
  void wait_for_events();
  bool look_for_events(TimePoint until);
  void block_for_events();

  boost::asio::io_context io_;
  Loop loop_;
  TimerQueue timers_;
  BufferPool buffers_;
  PollPolicy poll_policy_;
  bool stopped_ = false;
  struct Wake;
  std::vector<std::unique_ptr<Wake>> wakes_;
};

}  // namespace baton
