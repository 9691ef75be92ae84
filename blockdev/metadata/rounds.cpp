#include "blockdev/metadata/rounds.h"

#include "base/mark.h"

namespace baton::blockdev {

Task<IoError> Rounds::next() {
  if (fault_) {
    reached("metadata-fault-is-final");
    co_return fault_.error();
  }
  const std::uint64_t mine = begun_ + 1;
  wanted_ = mine;
  if (running_ && begun_ > ended_) reached("commit-behind-a-commit");
  if (!running_) {
    running_ = true;
    scope_.spawn(run());
  }
  while (ended_ < mine) co_await ended_signal_.wait();
  co_return fault_.error();
}

Task<> Rounds::run() {
  co_await Yield(loop_);  // whatever else is asked for in this turn comes along
  while (begun_ < wanted_) {
    ++begun_;
    // After an error the rest are answered without touching the device again.
    if (!fault_) {
      const IoError error = co_await body_(context_);
      fault_.report(error);
    }
    ended_ = begun_;
    ended_signal_.notify_all();
  }
  running_ = false;
}

}  // namespace baton::blockdev
