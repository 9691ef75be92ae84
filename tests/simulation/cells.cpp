#include "tests/simulation/cells.h"

#include <cstring>

#include "base/endian.h"

namespace baton::sim {
namespace {

constexpr std::size_t word_bytes = 8;

// The second and later words follow from the first and from the place.
std::uint64_t word(std::uint64_t check, std::uint64_t index) {
  return check + index * 0x9e3779b97f4a7c15U;
}

std::uint64_t check_of(std::uint32_t volume, std::uint64_t cell, std::uint64_t write) {
  return mix(write ^ mix(cell + (static_cast<std::uint64_t>(volume) << 48U)));
}

bool all_zero(std::span<const std::byte> content) {
  static constexpr std::array<std::byte, sector_bytes> zeroes{};
  return std::memcmp(content.data(), zeroes.data(), content.size()) == 0;
}

}  // namespace

void Cells::fill(std::uint64_t cell, std::uint64_t write, std::span<std::byte> out) const {
  const std::uint64_t check = check_of(volume_, cell, write);
  le64 value = write;
  std::memcpy(out.data(), &value, word_bytes);
  for (std::size_t i = 1; i < out.size() / word_bytes; ++i) {
    value = word(check, i);
    std::memcpy(out.data() + i * word_bytes, &value, word_bytes);
  }
}

std::optional<std::uint64_t> Cells::decode(std::uint64_t cell,
                                           std::span<const std::byte> content) const {
  le64 number;
  std::memcpy(&number, content.data(), word_bytes);
  if (number == 0) {
    if (all_zero(content)) return 0;
    return std::nullopt;
  }
  std::array<std::byte, sector_bytes> expected;
  fill(cell, number, std::span(expected).first(content.size()));
  if (std::memcmp(expected.data(), content.data(), content.size()) != 0) return std::nullopt;
  return number;
}

}  // namespace baton::sim
