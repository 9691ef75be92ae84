// How long a device has been waited for. Pure.
//
// Time counts only while this process was there to hear an answer: it is added up in looks, one
// each interval, and a look that came late adds nothing. So after a pause (SIGSTOP, a host that was
// suspended) every completion that has come meanwhile is heard before anything is held against the
// device (rule 11).
#pragma once

#include "base/clock.h"

namespace baton::blockdev {

class Patience {
 public:
  explicit Patience(Duration timeout) : timeout_(timeout), interval_(timeout / looks) {}

  Duration timeout() const { return timeout_; }
  // When the next look is due.
  TimePoint due() const { return looked_at_ + interval_; }

  // The first request after a time in which nothing was waited for.
  void begin(TimePoint now) { looked_at_ = now; }
  // Of a request that is handed over between two looks: as if with the next one, so that none is
  // ever given up early.
  Duration stamp() const { return waited_ + interval_; }
  void look(TimePoint now) {
    const bool late = now - due() > interval_ / 2;
    if (!late) waited_ += now - looked_at_;
    looked_at_ = now;
  }
  // A request with that stamp has been waited for long enough.
  bool over(Duration stamp) const { return waited_ - stamp >= timeout_; }

 private:
  static constexpr int looks = 8;  // in one timeout; so much of it a verdict comes late
  Duration timeout_;
  Duration interval_;
  Duration waited_{};
  TimePoint looked_at_;
};

}  // namespace baton::blockdev
