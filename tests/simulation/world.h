// The world's time and order: one thread, a virtual clock, processes that take turns.
//
// A step is one turn of one process or one event of the world. Time stands still while any process
// has something ready and then jumps to the next event. Nothing here looks at a real clock, at an
// address or at an unordered container, so a seed is a complete description of a run.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "tests/simulation/prng.h"
#include "tests/simulation/trace.h"

namespace baton::sim {

// A promise of the product that was not kept, or a contract of an interface.
struct Violation {
  std::string rule;  // "R1 acknowledged write lost"
  std::string what;  // one sentence with the values
  std::uint64_t step = 0;
  TimePoint at;
};

class World;

// One operating system process: its own loop and timers, as a shard has them, and its own idea of
// when time began. A process that is paused (SIGSTOP) takes no turns; what arrives waits for it.
class Process final : public Clock {
 public:
  Process(World& world, int node, Duration origin);
  ~Process() override;

  Loop& loop() { return loop_; }
  int node() const { return node_; }
  TimePoint now() const override;
  void arm(Timer& timer, TimePoint deadline) override { timers_.arm(timer, deadline); }
  TimePoint to_world(TimePoint local) const;

  // Runs `work` in the process's next turn; forgotten when the process is killed.
  void run_soon(std::function<void()> work);
  void forget_calls() { calls_.clear(); }
  // Only while nothing of the process exists: a rebooted host counts its time afresh.
  void set_origin(Duration origin) { origin_ = origin; }

  // Its clock leaps ahead: a virtual machine that was stopped and does not know.
  void jump(Duration ahead) { origin_ += ahead; }
  void pause(bool paused);
  // Since when it takes turns without a break; never() while it is paused.
  TimePoint runs_since() const { return paused_ ? TimePoint::never() : resumed_at_; }
  bool paused() const { return paused_; }

 private:
  friend class World;
  struct Call : Runnable {
    Call(Process& owner, std::function<void()> what)
        : Runnable([](Runnable& self) { static_cast<Call&>(self).go(); }),
          process(owner),
          work(std::move(what)) {}
    void go();
    Process& process;
    std::function<void()> work;
    std::list<Call>::iterator self;
  };
  World& world_;
  int node_;
  Duration origin_;
  Loop loop_;
  std::list<Call> calls_;
  TimerQueue timers_;
  bool paused_ = false;
  TimePoint resumed_at_;
  bool turn_due_ = false;  // timers fired: the hooks at the end of a turn must run
};

class World {
 public:
  explicit World(std::uint64_t seed) : seed_(seed), trace_(now_) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::uint64_t seed() const { return seed_; }
  std::uint64_t steps() const { return steps_; }
  TimePoint now() const { return now_; }
  Trace& trace() { return trace_; }
  Prng stream(std::string_view purpose, std::uint64_t index = 0) const {
    return {seed_, purpose, index};
  }

  // For the parts of the world itself; fires between turns, never inside one.
  void arm(Timer& timer, TimePoint deadline) { timers_.arm(timer, deadline); }
  void arm_after(Timer& timer, Duration delay) { arm(timer, now_ + delay); }

  void add(Process& process) { processes_.push_back(&process); }
  // Called after every step: where the rules are checked.
  void after_every_step(std::function<void()> check) { check_ = std::move(check); }
  // Runs `work` once, after step number `step` and its check, or after the next one if that number
  // has passed: between turns, never inside one.
  void at_step(std::uint64_t step, std::function<void()> work);

  // The first violation ends the run.
  void violated(std::string rule, std::string what);
  const std::optional<Violation>& violation() const { return violation_; }

  // One step. False when nothing will ever happen again or a rule is broken.
  bool step();
  // Runs until virtual `deadline`; earlier only when a rule is broken.
  void run_until(TimePoint deadline);
  void run_for(Duration duration) { run_until(now_ + duration); }
  // `count` steps; fewer when nothing will ever happen again or a rule is broken.
  void run_steps(std::uint64_t count);
  // Runs until `done` is true after a step, at most for `limit`. True if it became true.
  bool run_while_waiting(const std::function<bool()>& done, Duration limit);

 private:
  TimePoint next_deadline() const;
  bool take_a_turn();
  void fire_due();
  void step_done();

  const std::uint64_t seed_;
  TimePoint now_;
  std::uint64_t steps_ = 0;
  std::uint64_t steps_here_ = 0;  // without time passing
  std::size_t turn_of_ = 0;
  Trace trace_;
  TimerQueue timers_;
  std::vector<Process*> processes_;
  std::function<void()> check_;
  std::multimap<std::uint64_t, std::function<void()>> at_step_;
  std::optional<Violation> violation_;
};

}  // namespace baton::sim
