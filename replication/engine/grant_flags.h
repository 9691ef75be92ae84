// Header::flags of `grant` and `handover-ask`: a namespace of their own beside the data flags.
#pragma once

#include <cstdint>

namespace baton::replication {

inline constexpr std::uint32_t grant_primary = 1U << 16U;      // the receiver becomes Primary
inline constexpr std::uint32_t ask_first_write = 1U << 17U;    // a client's write, no operator
inline constexpr std::uint32_t grant_leaves_role = 1U << 18U;  // the giver's disk is gone: serve it

}  // namespace baton::replication
