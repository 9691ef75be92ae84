// The turn of one shard: a queue of things that are ready to run, and hooks at the end of a turn.
//
// Everything that runs on a shard runs inside a turn. A turn runs what is ready, and what that
// makes ready, for a bounded number of rounds (so that nothing can keep itself ready for ever and
// shut out sockets and timers), then calls every hook once; hooks are where batches leave (one
// io_uring submission, one writev per socket). Deterministic: first in, first out, early hooks
// before the others, hooks of a kind in the order they were added. One thread only.
#pragma once

#include <boost/intrusive/list.hpp>
#include <coroutine>

namespace baton {

// Something that can be queued to run. Unlinks itself when destroyed, so a coroutine frame that is
// thrown away (a simulated kill) leaves nothing behind in the queue.
class Runnable : public boost::intrusive::list_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  Runnable() = default;
  explicit Runnable(void (*run)(Runnable&)) : run_(run) {}
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

  void run() { run_(*this); }
  bool queued() const { return is_linked(); }

 protected:
  ~Runnable() = default;
  void (*run_)(Runnable&) = nullptr;
};

// Work at the end of a turn. Unlinks itself when destroyed.
class TurnHook : public boost::intrusive::list_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  TurnHook() = default;
  TurnHook(const TurnHook&) = delete;
  TurnHook& operator=(const TurnHook&) = delete;
  // May post to the loop; may not remove other hooks.
  virtual void end_of_turn() = 0;

 protected:
  ~TurnHook() = default;
};

class Loop {
 public:
  Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Queues `runnable` to run in this turn or the next; no effect while it is queued already.
  void post(Runnable& runnable) {
    if (!runnable.queued()) ready_.push_back(runnable);
  }
  void add(TurnHook& hook) { hooks_.push_back(hook); }
  // Called before those of add(), which also come after what this one makes ready: for what has the
  // longer way, as the peer's copy has against the own disk.
  void add_early(TurnHook& hook) { early_hooks_.push_back(hook); }

  bool idle() const { return ready_.empty(); }

  // Runs one turn. True if something is ready after the hooks, i.e. another turn is due at once.
  bool run_turn();

 private:
  using Unlinked = boost::intrusive::constant_time_size<false>;
  using Ready = boost::intrusive::list<Runnable, Unlinked>;
  void run_rounds(int rounds_max);
  Ready ready_;
  boost::intrusive::list<TurnHook, Unlinked> early_hooks_;
  boost::intrusive::list<TurnHook, Unlinked> hooks_;
};

// co_await yield(loop): lets everything that is ready now run first.
class Yield : Runnable {
 public:
  explicit Yield(Loop& loop)
      : Runnable([](Runnable& self) { static_cast<Yield&>(self).waiter_.resume(); }), loop_(loop) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    loop_.post(*this);
  }
  void await_resume() const noexcept {}

 private:
  Loop& loop_;
  std::coroutine_handle<> waiter_;
};

}  // namespace baton
