#include "base/loop.h"

namespace baton {

bool Loop::run_turn() {
  while (!ready_.empty()) {
    Runnable& next = ready_.front();
    ready_.pop_front();
    next.run();
  }
  for (TurnHook& hook : hooks_) hook.end_of_turn();
  return !ready_.empty();
}

}  // namespace baton
