// An asynchronous operation that lives where its owner put it (a slot, a coroutine frame), so that
// starting one allocates nothing.
//
// Contract shared by every interface that takes operations (BlockDevice, Stream, Link):
//  - the owner fills the operation in, hands it over, and touches neither it nor its buffers until
//    complete() was called;
//  - completion never happens inside the call that started the operation: it is delivered later
//    from the event loop. So a caller may start several operations before it waits for the first;
//  - each operation completes exactly once; a device or stream that is closed completes what it
//    holds, with an error.
#pragma once

#include <coroutine>

namespace baton {

class Operation {
 public:
  using Handler = void (*)(Operation&);

  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Called once by whoever carried the operation out. The operation may be gone when this returns.
  void complete() { handler_(*this); }

  // Completion calls `handler` with this operation; `context` is for the handler's use.
  void on_complete(Handler handler, void* context) {
    handler_ = handler;
    context_ = context;
  }
  void* context() const { return context_; }

  // Completion resumes a coroutine.
  void resume_on_complete(std::coroutine_handle<> waiter) {
    on_complete(
        [](Operation& self) { std::coroutine_handle<>::from_address(self.context_).resume(); },
        waiter.address());
  }

 protected:
  ~Operation() = default;

 private:
  Handler handler_ = nullptr;
  void* context_ = nullptr;
};

// Base of awaiters: `co_await` starts the operation and resumes when it has completed.
template <class Start>
class OperationAwaiter {
 public:
  OperationAwaiter(Operation& operation, Start start) : operation_(operation), start_(start) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    operation_.resume_on_complete(waiter);
    start_();
  }
  void await_resume() const noexcept {}

 private:
  Operation& operation_;
  Start start_;
};

}  // namespace baton
