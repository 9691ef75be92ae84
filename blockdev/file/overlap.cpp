#include "blockdev/file/overlap.h"

#include <utility>

namespace baton::blockdev {

bool Overlap::enter(Turn& turn) {
  turns_.push_back(turn);
  if (turn.rewrites_) ++rewriting_;
  return rewriting_ == 0 || free_to_go(turn);
}

bool Overlap::free_to_go(Turn& turn) {
  // The latest in the way is likely to be the last of them to finish, so the turn is looked at
  // again few times.
  for (auto earlier = turns_.iterator_to(turn); earlier != turns_.begin();) {
    --earlier;
    if (!turn.conflicts_with(*earlier)) continue;
    turn.next_waiter_ = std::exchange(earlier->first_waiter_, &turn);
    return false;
  }
  return true;
}

void Overlap::leave(Turn& turn) {
  turns_.erase(turns_.iterator_to(turn));
  if (turn.rewrites_) --rewriting_;
  // `turn` may be gone or entered again once the first waiter has started.
  Turn* waiter = std::exchange(turn.first_waiter_, nullptr);
  while (waiter != nullptr) {
    Turn* next = std::exchange(waiter->next_waiter_, nullptr);
    if (free_to_go(*waiter)) waiter->start_(*waiter);
    waiter = next;
  }
}

}  // namespace baton::blockdev
