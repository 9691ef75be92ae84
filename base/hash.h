// XXH3, the checksum of everything Baton writes or sends (design §6, §7).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace baton {

// XXH3-64 with the given seed; the same on every machine.
std::uint64_t xxh3_64(std::span<const std::byte> bytes, std::uint64_t seed = 0) noexcept;

// XXH3-128 in its canonical form (big-endian, high half first), for telling blocks apart.
using Hash128 = std::array<std::byte, 16>;
Hash128 xxh3_128(std::span<const std::byte> bytes) noexcept;

}  // namespace baton
