// What a handover is for, and what is said of it in Header::flags of `grant`, `role`,
// `handover-ask` and `handover-refused`: a namespace of their own beside the data flags
// (docs/wire-protocol.md).
#pragma once

#include <cstdint>

namespace baton::replication {

inline constexpr std::uint32_t grant_primary = 1U << 16U;      // the receiver becomes Primary
inline constexpr std::uint32_t ask_first_write = 1U << 17U;    // a client's write, no operator
inline constexpr std::uint32_t grant_leaves_role = 1U << 18U;  // the giver's disk is gone: serve it
// No operator's word: clients that were attached there to an earlier Primary stay fenced.
inline constexpr std::uint32_t grant_keeps_fence = 1U << 19U;
inline constexpr std::uint32_t ask_for_window = 1U << 20U;    // nothing was offered
inline constexpr std::uint32_t ask_is_over = 1U << 21U;       // the write waits no longer
inline constexpr std::uint32_t refused_for_good = 1U << 22U;  // the window closes
inline constexpr std::uint32_t ask_no_primary = 1U << 23U;    // a Primary keeps it, and is joined

// Why a node asks the other one for the baton, or for its role.
enum class Ask : std::uint8_t {
  handover,
  promotion,    // with two primaries: not from one that is Primary
  first_write,  // a client's, behind an offer
};

// What a handover is for.
enum class GiveFor : std::uint8_t {
  operators_word,    // lifts the fence of clients that were attached before
  coordinator,       // its word, or a first write behind its offer
  first_write,       // in a window
  who_has_the_role,  // and may have been demoted meanwhile: the role is not touched
  silent_source,     // the same, and that the source has stopped is a guess
};

// What becomes of the fence where a node becomes Primary.
enum class Fence : std::uint8_t { stays, is_lifted };

}  // namespace baton::replication
