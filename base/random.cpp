#include "base/random.h"

#include <sys/random.h>

#include "base/assert.h"

namespace baton {

std::uint64_t SystemRandom::next() {
  std::uint64_t value = 0;
  const ssize_t got = ::getrandom(&value, sizeof value, 0);
  BATON_ASSERT(got == sizeof value, "getrandom gives up to 256 bytes whole once the pool is ready");
  return value;
}

}  // namespace baton
