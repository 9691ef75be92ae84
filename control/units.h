// Sizes and durations as people write and read them (design §8: sizes "8GiB", durations "6s").
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace baton::control {

// "4096", "64KiB", "8GiB", "8G" (QEMU and DRBD read G as GiB as well), "1TiB". Empty when it is not
// a size: no number, a fraction, a unit that is ambiguous ("8GB") or a value above 2^63.
std::optional<std::uint64_t> parse_size(std::string_view text);

// "500ms", "6s", "2min", "1h". Empty when it is not a duration: a unit is required.
std::optional<Duration> parse_duration(std::string_view text);

// "8 GiB", "1.5 GiB", "513 bytes": exact where a unit divides the number, else one decimal.
std::string size_text(std::uint64_t bytes);

// As it would be written into a configuration, and exact: "8GiB", "513".
std::string size_literal(std::uint64_t bytes);

// "6 s", "1.5 s", "250 ms", "2 min".
std::string duration_text(Duration duration);

}  // namespace baton::control
