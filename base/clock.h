// The door to time. Monotonic; in the simulator it is virtual.
#pragma once

#include <boost/intrusive/set.hpp>
#include <chrono>
#include <cstdint>

namespace baton {

using Duration = std::chrono::nanoseconds;

// Nanoseconds since an origin that means nothing outside the process.
struct TimePoint {
  std::int64_t nanoseconds = 0;
  friend auto operator<=>(TimePoint, TimePoint) = default;
  friend TimePoint operator+(TimePoint at, Duration by) { return {at.nanoseconds + by.count()}; }
  friend Duration operator-(TimePoint a, TimePoint b) {
    return Duration(a.nanoseconds - b.nanoseconds);
  }
  static constexpr TimePoint never() { return {INT64_MAX}; }
};

// Fires once, from the event loop, at or after its deadline. Unlinks itself when destroyed.
class Timer : public boost::intrusive::set_base_hook<
                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  explicit Timer(void (*fire)(Timer&), void* context = nullptr) : fire_(fire), context_(context) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return is_linked(); }
  TimePoint deadline() const { return deadline_; }
  void cancel() { unlink_if_armed(); }
  void* context() const { return context_; }

 private:
  friend class TimerQueue;
  void unlink_if_armed() {
    if (is_linked()) unlink();
  }
  void (*fire_)(Timer&);
  void* context_;
  TimePoint deadline_;
  std::uint64_t order_ = 0;  // of arming, so that equal deadlines fire in that order
};

// Armed timers by deadline. Used by the real shard and by the simulator alike.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Re-arming moves the timer.
  void arm(Timer& timer, TimePoint deadline);
  // TimePoint::never() when nothing is armed.
  TimePoint next_deadline() const;
  // Fires everything due at `now`, in order of deadline. A timer may arm itself or others.
  void fire_due(TimePoint now);

 private:
  struct ByDeadline {
    bool operator()(const Timer& a, const Timer& b) const {
      if (a.deadline_ != b.deadline_) return a.deadline_ < b.deadline_;
      return a.order_ < b.order_;
    }
  };
  boost::intrusive::multiset<Timer, boost::intrusive::compare<ByDeadline>,
                             boost::intrusive::constant_time_size<false>>
      timers_;
  std::uint64_t armed_ = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  // Re-arming moves the timer. Timer::cancel() disarms.
  virtual void arm(Timer& timer, TimePoint deadline) = 0;
  void arm_after(Timer& timer, Duration delay) { arm(timer, now() + delay); }
};

}  // namespace baton
