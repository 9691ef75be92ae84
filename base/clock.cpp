#include "base/clock.h"

namespace baton {

void TimerQueue::arm(Timer& timer, TimePoint deadline) {
  timer.unlink_if_armed();
  timer.deadline_ = deadline;
  timer.order_ = ++armed_;
  timers_.insert(timer);
}

TimePoint TimerQueue::next_deadline() const {
  return timers_.empty() ? TimePoint::never() : timers_.begin()->deadline_;
}

void TimerQueue::fire_due(TimePoint now) {
  // Timers armed while firing are taken up by the next call: a timer that re-arms itself for `now`
  // must not keep this loop here for ever.
  const std::uint64_t armed_before = armed_;
  auto next = timers_.begin();
  while (next != timers_.end() && next->deadline_ <= now) {
    if (next->order_ > armed_before) {
      ++next;
      continue;
    }
    Timer& timer = *next;
    timer.unlink();
    timer.fire_(timer);
    next = timers_.begin();
  }
}

}  // namespace baton
