// Runs a coroutine on another shard and brings its result back, without blocking either.
//
//   ShardCall<Result<>> call(here, there, scope_there, work);
//   Result<> answer = co_await call;
//
// The work always runs to its end. If the waiting coroutine is thrown away meanwhile (its client
// has gone), the result is dropped.
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/runtime/shard.h"
#include "base/task.h"

namespace baton::control {

template <class T>
class ShardCall {
 public:
  // Called once, on the other shard. Not itself a coroutine: it makes one.
  using Work = std::function<Task<T>()>;

  // `scope` belongs to `there` and owns the work while it runs.
  ShardCall(Shard& here, Shard& there, Scope& scope, Work work)
      : here_(here), there_(there), scope_(scope), work_(std::move(work)) {}
  ShardCall(const ShardCall&) = delete;
  ShardCall& operator=(const ShardCall&) = delete;
  ~ShardCall() { state_->waiter = nullptr; }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    state_->waiter = waiter;
    there_.post_from_outside(
        [state = state_, &here = here_, &scope = scope_, work = std::move(work_)] {
          scope.spawn(carry_out(state, here, work));
        });
  }
  T await_resume() {
    std::optional<T> result = std::move(state_->result);
    BATON_ASSERT(result.has_value(), "the caller is resumed by the work's end");
    return std::move(*result);
  }

 private:
  struct State {
    std::coroutine_handle<> waiter;  // touched on the caller's shard only
    std::optional<T> result;         // written there, read here after the post back
  };

  static Task<> carry_out(std::shared_ptr<State> state, Shard& here, Work work) {
    state->result.emplace(co_await work());
    here.post_from_outside([state] {
      if (state->waiter) std::exchange(state->waiter, nullptr).resume();
    });
  }

  Shard& here_;
  Shard& there_;
  Scope& scope_;
  Work work_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace baton::control
