// Random streams of the simulator. One stream per purpose, split from the seed by name: a draw
// added in one place shifts nothing elsewhere, so old seeds keep their meaning (quality.md B10).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"

namespace baton::sim {

// A bijective scrambler (splitmix64's finaliser).
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

class Prng {
 public:
  explicit Prng(std::uint64_t seed) : state_(mix(seed)) {}
  Prng(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0)
      : Prng(mix(seed ^ mix(index)) ^ xxh3_64(std::as_bytes(std::span(purpose)))) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    return mix(state_);
  }
  // 0 .. bound-1; `bound` > 0. The bias of the modulo is below 2^-40 for every bound used here.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // Both ends included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    BATON_ASSERT(low <= high, "a range in order; else the difference wraps");
    return low + below(high - low + 1);
  }
  bool percent(std::uint64_t chance) { return below(100) < chance; }
  bool permille(std::uint64_t chance) { return below(1000) < chance; }
  Duration duration(Duration low, Duration high) {
    return Duration(static_cast<std::int64_t>(between(static_cast<std::uint64_t>(low.count()),
                                                      static_cast<std::uint64_t>(high.count()))));
  }
  // Rank 0 is the most frequent; roughly zipf with exponent 1.
  std::uint64_t zipf(std::uint64_t ranks) {
    const std::uint64_t span = between(1, ranks);
    return below(span);
  }

 private:
  std::uint64_t state_;
};

}  // namespace baton::sim
