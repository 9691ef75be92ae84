// Waits for several completions at once: the own disk, the peer.
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/assert.h"

namespace baton::replication {

// Lives in the waiting coroutine's frame. add() before starting each part, then co_await once.
class Latch {
 public:
  void add() { ++outstanding_; }
  // May resume the waiter at once, and with it destroy this latch.
  void arrive() {
    BATON_ASSERT(outstanding_ > 0, "every part arrives once");
    if (--outstanding_ == 0 && waiter_) waiter_.resume();
  }

  bool await_ready() const noexcept { return outstanding_ == 0; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }
  void await_resume() const noexcept {}

 private:
  std::uint32_t outstanding_ = 0;
  std::coroutine_handle<> waiter_;
};

}  // namespace baton::replication
