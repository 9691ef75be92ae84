#include "nbd_server/memory_budget.h"

#include <chrono>

namespace baton::nbd {
namespace {

constexpr Duration look_again_after = std::chrono::milliseconds(250);

}  // namespace

Task<bool> MemoryBudget::acquire(std::size_t bytes, std::size_t held, const bool& ended) {
  const Lane lane = lane_of(bytes, held);
  Ticket ticket(*this, lane, bytes);
  while (!ended) {
    if (!ticket.is_first()) {
      co_await ticket.moved.wait();
      continue;
    }
    if (fits(bytes, lane)) {
      out_ += bytes;
      co_return true;
    }
    end_those_in_the_way();
    co_await ticket.moved.wait_until(clock_, clock_.now() + look_again_after);
  }
  co_return false;
}

void MemoryBudget::look_again() {
  for (Queue& waiting : queues_) {
    for (Ticket& ticket : waiting) ticket.moved.notify_all();
  }
}

void MemoryBudget::end_those_in_the_way() {
  const TimePoint now = clock_.now();
  for (Holder& holder : holders_) {
    if (holder.is_in_the_way(now)) holder.end_for_others();
  }
}

}  // namespace baton::nbd
