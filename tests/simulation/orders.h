// Every order of a small scope: three writes to two blocks and a flush, with up to two of what may
// happen to a pair between them (quality.md B8).
//
// An order is a sequence of events. The writes and the flush come in each of the 16 sequences that
// differ by more than the names of the blocks; one or two of the other events stand at every place
// among them and, where they share one, in either order. No two orders are the same sequence, and
// none is left out.
//
// What happens inside the engine between two events is a matter of the timing. A timing gives each
// gap of an order its length: at once (the next event comes before anybody has taken a turn), so
// many steps of the world, or until nothing moves; and says whether the guest goes where the
// Primary is or stays at A. Timings are drawn, from the order and the timing's number: each number
// is one more world for every order.
#pragma once

#include <string>

#include "tests/simulation/swarm.h"

namespace baton::sim {

std::uint64_t orders_count();
// "w0 w1 power-A flush w0", for people.
std::string order_name(std::uint64_t order);
Plan order_plan(std::uint64_t order, std::uint64_t timing);
// Draws the latencies.
std::uint64_t order_seed(std::uint64_t order, std::uint64_t timing);

}  // namespace baton::sim
