#include "tests/simulation/world.h"

#include <algorithm>

namespace baton::sim {

Process::Process(World& world, int node, Duration origin)
    : world_(world), node_(node), origin_(origin) {
  world.add(*this);
}

void Process::Call::go() {
  const std::function<void()> mine = std::move(work);
  process.calls_.erase(self);  // *this is gone
  mine();
}

Process::~Process() = default;

void Process::pause(bool paused) {
  if (paused_ && !paused) resumed_at_ = world_.now();
  paused_ = paused;
}

void Process::run_soon(std::function<void()> work) {
  Call& call = calls_.emplace_back(*this, std::move(work));
  call.self = std::prev(calls_.end());
  loop_.post(call);
}

TimePoint Process::now() const {
  return world_.now() + origin_;
}

TimePoint Process::to_world(TimePoint local) const {
  if (local == TimePoint::never()) return local;
  return {local.nanoseconds - origin_.count()};
}

void World::violated(std::string rule, std::string what) {
  if (violation_) return;
  trace_.say(-1, "VIOLATION " + rule + ": " + what);
  violation_ = Violation{std::move(rule), std::move(what), steps_, now_};
}

TimePoint World::next_deadline() const {
  TimePoint next = timers_.next_deadline();
  for (const Process* process : processes_) {
    if (process->paused_) continue;
    next = std::min(next, process->to_world(process->timers_.next_deadline()));
  }
  return next;
}

// Processes in rotation, so that none is always first.
bool World::take_a_turn() {
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    Process& process = *processes_[(turn_of_ + i) % processes_.size()];
    if (process.paused_ || (process.loop_.idle() && !process.turn_due_)) continue;
    turn_of_ = (turn_of_ + i + 1) % processes_.size();
    process.turn_due_ = false;
    process.loop_.run_turn();
    return true;
  }
  return false;
}

void World::fire_due() {
  timers_.fire_due(now_);
  for (Process* process : processes_) {
    if (process->paused_ || process->timers_.next_deadline() > process->now()) continue;
    process->timers_.fire_due(process->now());
    process->turn_due_ = true;
  }
}

void World::step_done() {
  ++steps_;
  ++steps_here_;
  // A few thousand turns at one instant happen (a resync without delays); this many never end.
  constexpr std::uint64_t livelock_steps = 200'000;
  if (steps_here_ > livelock_steps)
    violated("R11 livelock", "turns without end and no time passes");
  if (check_) check_();
  while (!violation_ && !at_step_.empty() && at_step_.begin()->first <= steps_) {
    const std::function<void()> work = std::move(at_step_.begin()->second);
    at_step_.erase(at_step_.begin());
    work();
  }
}

void World::at_step(std::uint64_t step, std::function<void()> work) {
  at_step_.emplace(std::max(step, steps_ + 1), std::move(work));
}

bool World::step() {
  if (violation_) return false;
  if (take_a_turn()) {
    step_done();
    return !violation_;
  }
  const TimePoint next = next_deadline();
  if (next == TimePoint::never()) return false;
  if (next > now_) {
    now_ = next;
    steps_here_ = 0;
  }
  fire_due();
  step_done();
  return !violation_;
}

void World::run_until(TimePoint deadline) {
  while (!violation_) {
    if (take_a_turn()) {
      step_done();
    } else if (next_deadline() <= deadline) {
      step();
    } else {
      break;
    }
  }
  if (!violation_ && now_ < deadline) {
    now_ = deadline;
    steps_here_ = 0;
  }
}

void World::run_steps(std::uint64_t count) {
  const std::uint64_t last = steps_ + count;
  while (steps_ < last && step()) {
  }
}

bool World::run_while_waiting(const std::function<bool()>& done, Duration limit) {
  const TimePoint deadline = now_ + limit;
  while (!violation_) {
    if (done()) return true;
    if (take_a_turn()) {
      step_done();
    } else if (next_deadline() <= deadline) {
      step();
    } else {
      now_ = deadline;
      break;
    }
  }
  return !violation_ && done();
}

}  // namespace baton::sim
