// Task<T>: a coroutine on one shard. Lazy: it starts when awaited or spawned, and resumes whoever
// awaits it without growing the stack. Frames come from the frame pool; nothing here locks.
//
// Scope owns spawned tasks. A scope that is joined has waited for all of them; a scope that is
// destroyed throws their frames away where they stand, which is how the simulator kills a process.
// So destructors of objects in frames release memory and unlink themselves, and do nothing that
// anybody else could see.
//
// Why not asio::awaitable here: the engine must run without any io_context (design §2, four doors),
// and a nested awaitable costs an allocation as soon as the recycling cache of two is used up.
#pragma once

#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/frame_pool.h"
#include "base/loop.h"

namespace baton {

template <class T>
class Task;

namespace detail {

struct PooledFrame {
  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept {
    release_frame(frame, bytes);
  }
};

struct TaskPromiseBase : PooledFrame {
  std::coroutine_handle<> continuation;

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) noexcept {
      return finished.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  // The data path returns errors; an exception here is a broken belief.
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    BATON_ASSERT(value.has_value(), "whoever awaits a task is resumed after its co_return");
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> frame;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) const noexcept {
        frame.promise().continuation = waiter;
        return frame;
      }
      T await_resume() const { return frame.promise().take(); }
    };
    return Awaiter{frame_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}
}  // namespace detail

// Something that happens again and again, and coroutines that wait for the next time.
// Waiters are resumed from the loop, in the order they came, never inside notify().
class Signal {
 public:
  explicit Signal(Loop& loop) : loop_(loop) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Everybody who waits now will resume. Waiters must look again at what they waited for.
  void notify_all() {
    while (!waiters_.empty()) wake_first();
  }
  // The longest waiter, if there is one.
  void notify_one() {
    if (!waiters_.empty()) wake_first();
  }
  bool has_waiters() const { return !waiters_.empty(); }

  class Waiter : public Runnable {
   public:
    explicit Waiter(Signal& signal)
        : Runnable([](Runnable& self) { static_cast<Waiter&>(self).resume(); }), signal_(signal) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
      waiter_ = waiter;
      signal_.waiters_.push_back(*this);
    }
    void await_resume() const noexcept {}

   protected:
    virtual void resume() { waiter_.resume(); }
    ~Waiter() = default;
    friend class Signal;
    Signal& signal_;
    std::coroutine_handle<> waiter_;
    bool notified_ = false;
  };

  class SimpleWaiter final : public Waiter {
   public:
    using Waiter::Waiter;
  };

  // True when notified, false when the deadline came first.
  class TimedWaiter final : public Waiter {
   public:
    TimedWaiter(Signal& signal, Clock& clock, TimePoint deadline)
        : Waiter(signal), clock_(clock), deadline_(deadline) {}
    void await_suspend(std::coroutine_handle<> waiter) {
      Waiter::await_suspend(waiter);
      if (deadline_ != TimePoint::never()) clock_.arm(timer_, deadline_);
    }
    bool await_resume() const noexcept { return !timed_out_; }

   protected:
    void resume() override {
      timer_.cancel();
      waiter_.resume();
    }

   private:
    static void expire(Timer& timer) {
      auto& self = *static_cast<TimedWaiter*>(timer.context());
      self.timed_out_ = true;
      self.unlink();  // from the signal's waiters, or from the loop if notified in this very turn
      self.signal_.loop_.post(self);
    }
    Clock& clock_;
    TimePoint deadline_;
    Timer timer_{&TimedWaiter::expire, this};
    bool timed_out_ = false;
  };

  SimpleWaiter wait() { return SimpleWaiter(*this); }
  TimedWaiter wait_until(Clock& clock, TimePoint deadline) {
    return TimedWaiter(*this, clock, deadline);
  }

 private:
  void wake_first() {
    auto& first = static_cast<Waiter&>(waiters_.front());
    waiters_.pop_front();
    first.notified_ = true;
    loop_.post(first);
  }
  Loop& loop_;
  boost::intrusive::list<Runnable, boost::intrusive::constant_time_size<false>> waiters_;
};

// co_await sleep_until(clock, deadline)
class SleepUntil : Timer {
 public:
  SleepUntil(Clock& clock, TimePoint deadline)
      : Timer([](Timer& self) { static_cast<SleepUntil&>(self).waiter_.resume(); }),
        clock_(clock),
        deadline_(deadline) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    clock_.arm(*this, deadline_);
  }
  void await_resume() const noexcept {}

 private:
  Clock& clock_;
  TimePoint deadline_;
  std::coroutine_handle<> waiter_;
};
inline SleepUntil sleep_until(Clock& clock, TimePoint deadline) {
  return {clock, deadline};
}
inline SleepUntil sleep_for(Clock& clock, Duration delay) {
  return {clock, clock.now() + delay};
}

// Owns detached tasks.
class Scope {
 public:
  explicit Scope(Loop& loop) : emptied_(loop) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // Throws away what still runs, newest first.
  ~Scope() {
    while (!running_.empty()) running_.back().destroy_frame();
  }

  // Starts `task` at once, up to its first suspension; the scope keeps it until it ends.
  void spawn(Task<void> task) { run(*this, std::move(task)); }

  bool empty() const { return running_.empty(); }
  std::size_t size() const { return running_.size(); }

  // Completes when nothing spawned here is running any more.
  Task<void> join() {
    while (!running_.empty()) co_await emptied_.wait();
  }

 private:
  class Root;
  struct RootPromise;
  struct RootNode : boost::intrusive::list_base_hook<> {
    virtual void destroy_frame() = 0;

   protected:
    ~RootNode() = default;
  };
  class Root {
   public:
    using promise_type = RootPromise;
  };
  struct RootPromise final : RootNode, detail::PooledFrame {
    Scope& scope;
    RootPromise(Scope& owner, Task<void>& /*task*/) : scope(owner) {
      scope.running_.push_back(*this);
    }
    ~RootPromise() {
      scope.running_.erase(scope.running_.iterator_to(*this));
      if (scope.running_.empty()) scope.emptied_.notify_all();
    }
    void destroy_frame() override {
      std::coroutine_handle<RootPromise>::from_promise(*this).destroy();
    }
    Root get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
  static Root run(Scope& /*scope*/, Task<void> task) { co_await std::move(task); }

  Signal emptied_;
  boost::intrusive::list<RootNode> running_;
};

}  // namespace baton
