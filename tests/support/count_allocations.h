// How often operator new was called since the program began. Link count_allocations.cpp.
#pragma once

#include <cstdint>

namespace baton::tests {

std::uint64_t allocations();

}  // namespace baton::tests
