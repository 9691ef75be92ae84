// How often the heap was asked for memory since the program began: malloc and all its kin, and
// operator new, which ends there. Link count_mallocs.cpp; not with the sanitizers, which replace
// them too.
#pragma once

#include <cstdint>

namespace baton::tests {

std::uint64_t mallocs();

}  // namespace baton::tests
