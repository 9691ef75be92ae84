// The door to randomness: everything that must not be predictable or must differ between nodes
// (generation ids, session ids, nonces, back-off jitter) is drawn here, so a simulator can replay
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace baton {

class Random {
 public:
  virtual ~Random() = default;

  // 64 uniform bits. Of SystemRandom: fit for secrets.
  virtual std::uint64_t next() = 0;

  // Never 0 (0 means "none" in our formats).
  std::uint64_t next_id() {
    std::uint64_t id = 0;
    while (id == 0) id = next();
    return id;
  }
};

// The kernel's generator (getrandom).
class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

}  // namespace baton
