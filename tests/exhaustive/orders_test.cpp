// Goal: three writes to two blocks, a flush, and up to two of a lost link, a disconnect, a crash, a
// promotion, a demotion and a handover keep every rule in every order. Method: each order is one
// world of two production engines, with one timing of its gaps; baton-sim --every-order --timings N
// takes more of them.
#include "tests/simulation/orders.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <unordered_set>

#include "tests/simulation/engine_factory.h"
#include "tests/simulation/run.h"

namespace baton::sim {
namespace {

constexpr std::uint64_t timing = 0;
constexpr int failures_shown = 3;

TEST(Scope, has_every_order_once) {
  std::unordered_set<std::string> names;
  for (std::uint64_t order = 0; order < orders_count(); ++order) names.insert(order_name(order));
  EXPECT_EQ(names.size(), orders_count());
  // 16 sequences of the data; 15 operations at 5 places; two of them at 15 pairs of places.
  EXPECT_EQ(orders_count(), 16U * (1 + 5 * 15 + 15 * 15 * 15));
}

// In pieces, so that a failure does not hide the orders behind it.
class Orders : public testing::TestWithParam<int> {
 public:
  static constexpr std::uint64_t pieces = 8;
};

TEST_P(Orders, keep_every_rule) {
  int failures = 0;
  std::unordered_set<std::uint64_t> hashes;
  std::uint64_t done = 0;
  for (auto order = static_cast<std::uint64_t>(GetParam());
       order < orders_count() && failures < failures_shown; order += pieces) {
    EngineFactory factory;
    const std::uint64_t seed = order_seed(order, timing);
    const Outcome outcome = run(seed, order_plan(order, timing), factory, ring_options());
    EXPECT_FALSE(outcome.violation)
        << order_name(order) << "\n"
        << to_text(seed, outcome, 30)
        << fmt::format("replay: baton-sim --replay {} --trace --order {} --timing {}\n", seed,
                       order, timing);
    failures += outcome.violation ? 1 : 0;
    ++done;
    hashes.insert(outcome.hash);
  }
  EXPECT_EQ(hashes.size(), done) << "two orders have been one";
}

INSTANTIATE_TEST_SUITE_P(Exhaustive, Orders, testing::Range(0, 8));

}  // namespace
}  // namespace baton::sim
