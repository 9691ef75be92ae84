#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace baton {

void assertion_failed(const char* expression, const char* reason, const char* file,
                      int line) noexcept {
  std::fprintf(stderr, "baton: broken belief at %s:%d: %s (%s)\n", file, line, reason, expression);
  std::fflush(stderr);
  std::abort();
}

}  // namespace baton
