#include "control/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace baton::control {
namespace {

struct SizeUnit {
  std::string_view name;
  std::string_view short_name;
  unsigned shift;
};
constexpr std::array<SizeUnit, 5> size_units{
    {{"PiB", "P", 50}, {"TiB", "T", 40}, {"GiB", "G", 30}, {"MiB", "M", 20}, {"KiB", "K", 10}}};

// A number and what follows it; empty when there is no number.
struct Quantity {
  std::uint64_t number = 0;
  std::string_view unit;
};
std::optional<Quantity> split(std::string_view text) {
  Quantity quantity;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, quantity.number);
  if (error != std::errc()) return std::nullopt;
  quantity.unit = std::string_view(rest, static_cast<std::size_t>(end - rest));
  if (quantity.unit.starts_with(' ')) quantity.unit.remove_prefix(1);
  return quantity;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::uint64_t largest = std::uint64_t{1} << 63U;  // off_t ends there
  const std::optional<Quantity> quantity = split(text);
  if (!quantity) return std::nullopt;
  if (quantity->unit.empty()) {
    return quantity->number < largest ? std::optional(quantity->number) : std::nullopt;
  }
  for (const SizeUnit& unit : size_units) {
    if (quantity->unit != unit.name && quantity->unit != unit.short_name) continue;
    if (quantity->number >= (largest >> unit.shift)) return std::nullopt;
    return quantity->number << unit.shift;
  }
  return std::nullopt;
}

std::optional<Duration> parse_duration(std::string_view text) {
  using namespace std::chrono;
  constexpr std::uint64_t largest = 1'000'000;  // of any unit: a million hours fit into Duration
  const std::optional<Quantity> quantity = split(text);
  if (!quantity || quantity->number > largest) return std::nullopt;
  const auto number = static_cast<std::int64_t>(quantity->number);
  if (quantity->unit == "ms") return milliseconds(number);
  if (quantity->unit == "s") return seconds(number);
  if (quantity->unit == "min") return minutes(number);
  if (quantity->unit == "h") return hours(number);
  return std::nullopt;
}

std::string size_text(std::uint64_t bytes) {
  for (const SizeUnit& unit : size_units) {
    const std::uint64_t one = std::uint64_t{1} << unit.shift;
    if (bytes < one) continue;
    if (bytes % one == 0) return fmt::format("{} {}", bytes >> unit.shift, unit.name);
    return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(one),
                       unit.name);
  }
  return fmt::format("{} bytes", bytes);
}

std::string size_literal(std::uint64_t bytes) {
  for (const SizeUnit& unit : size_units) {
    const std::uint64_t one = std::uint64_t{1} << unit.shift;
    if (bytes != 0 && bytes % one == 0) {
      return fmt::format("{}{}", bytes >> unit.shift, unit.name);
    }
  }
  return fmt::format("{}", bytes);
}

std::string duration_text(Duration duration) {
  using namespace std::chrono;
  if (duration < seconds(1)) {
    return fmt::format("{} ms", duration_cast<milliseconds>(duration).count());
  }
  if (duration >= minutes(1) && duration % minutes(1) == Duration::zero()) {
    return fmt::format("{} min", duration / minutes(1));
  }
  if (duration % seconds(1) == Duration::zero()) return fmt::format("{} s", duration / seconds(1));
  return fmt::format("{:.1f} s", std::chrono::duration<double>(duration).count());
}

}  // namespace baton::control
