// How fast background work may go: a rate, and room for the guest. Pure: told the time, it answers
// with a time.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace baton::replication {

class Pace {
 public:
  // Bytes per second; 0: as fast as it goes.
  explicit Pace(std::uint64_t rate) : rate_(rate) {}

  // `bytes` were handled between `began` and `ended`. When the next may begin: so late that the
  // rate is kept from here on (time that was not used is not made up for), and, while a guest
  // writes, so late that at most a quarter of the time is spent, but a second later at most.
  TimePoint next(TimePoint began, TimePoint ended, std::uint64_t bytes, bool guest_writes);

 private:
  std::uint64_t rate_;
  TimePoint due_;
};

}  // namespace baton::replication
