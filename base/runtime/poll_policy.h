// Whether a shard that has nothing to do should look for news for a while before it blocks.
//
// Waking a blocked thread costs more than most requests (an interrupt between processors, a core
// that left its sleep state, under a hypervisor an exit): tens of microseconds at every hop of a
// write. So a shard looks on while looking pays, as QEMU's and KVM's threads do: as long as waits
// are short. Waits that outlast the window cost credit, and a shard without credit blocks at once:
// one that is idle burns nothing.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace baton {

class PollPolicy {
 public:
  // Zero: never look, block at once.
  explicit PollPolicy(Duration window) : window_(window) {}

  // How long to look before the next blocking; zero: not at all.
  Duration window() const { return credit_ > 0 ? window_ : Duration::zero(); }

  // The shard had nothing to do for `duration`, looking or blocked.
  void waited(Duration duration) {
    // A request's life has short and long waits (its disk is slower than its network, or the other
    // way round): one short wait in three pays for the others.
    const bool paid = duration < window_;
    credit_ = paid ? std::min(credit_ + 2, credit_max) : std::max(credit_ - 1, 0);
  }

 private:
  static constexpr int credit_max = 8;
  Duration window_;
  int credit_ = 0;
};

}  // namespace baton
