#include "base/loop.h"

namespace baton {

void Loop::run_rounds(int rounds_max) {
  for (int round = 0; round < rounds_max && !ready_.empty(); ++round) {
    Ready batch;
    batch.swap(ready_);
    while (!batch.empty()) {
      Runnable& next = batch.front();
      batch.pop_front();
      next.run();
    }
  }
}

bool Loop::run_turn() {
  // Long enough for chains of hand-overs to end in one batch, short enough that a client whose
  // every completion starts the next request (a copy in memory) leaves time for sockets and timers.
  constexpr int rounds_max = 16;
  run_rounds(rounds_max);
  for (TurnHook& hook : early_hooks_) hook.end_of_turn();
  run_rounds(1);
  for (TurnHook& hook : hooks_) hook.end_of_turn();
  return !ready_.empty();
}

}  // namespace baton
