// A claim on a byte range, held by a coroutine (replication/core/range_lock.h).
#pragma once

#include <coroutine>

#include "replication/core/range_lock.h"

namespace baton::replication {

// co_await guard.acquired(). Its place among the overlapping ones is that of enter(), or of
// acquired() if that was first; the claim ends with release() or with the guard.
class RangeGuard {
 public:
  RangeGuard(RangeLock& lock, std::uint64_t offset, std::uint64_t length, bool exclusive)
      : lock_(lock), claim_(offset, length, exclusive) {}
  RangeGuard(const RangeGuard&) = delete;
  RangeGuard& operator=(const RangeGuard&) = delete;
  // A frame that is thrown away leaves the lock without waking anybody: its node is dead.
  ~RangeGuard() = default;

  auto acquired() {
    struct Awaiter {
      RangeGuard& guard;
      bool await_ready() const noexcept {
        return !guard.entered() && guard.lock_.enter(guard.claim_);
      }
      bool await_suspend(std::coroutine_handle<> waiter) {
        const auto wake = [](RangeClaim& claim) {
          std::coroutine_handle<>::from_address(claim.context()).resume();
        };
        return !guard.lock_.wait(guard.claim_, wake, waiter.address());
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  bool entered() const { return claim_.entered(); }
  void enter() {
    if (!entered()) lock_.enter(claim_);
  }
  // May resume those who waited, at once.
  void release() { lock_.release(claim_); }

 private:
  RangeLock& lock_;
  RangeClaim claim_;
};

}  // namespace baton::replication
