// Time that passes when a test says so.
#pragma once

#include "base/clock.h"

namespace baton::test {

class VirtualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  void arm(Timer& timer, TimePoint deadline) override { timers_.arm(timer, deadline); }
  void advance(Duration by) {
    now_ = now_ + by;
    timers_.fire_due(now_);
  }

 private:
  TimePoint now_;
  TimerQueue timers_;
};

}  // namespace baton::test
