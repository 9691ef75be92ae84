// Crashes as one word, for the command that replays it.
#include <fmt/format.h>

#include <charconv>

#include "tests/crash/recovery.h"

namespace baton::crash {
namespace {

template <class Value, class Name>
std::optional<Value> find_by_name(std::string_view text, std::span<const Value> values, Name name) {
  for (const Value value : values) {
    if (text == name(value)) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || end != text.end()) return std::nullopt;
  return number;
}

// The part before `separator`, which is taken off with it; all of it if there is none.
std::string_view take_part(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::optional<Crash> parse_crash(std::string_view rest) {
  static constexpr std::array fates = {Fate::absent, Fate::killed, Fate::power_cut};
  Crash crash;
  const auto point = parse_number(take_part(rest, ':'));
  if (!point) return std::nullopt;
  crash.point = *point;
  for (std::size_t node = 0; node < node_count; ++node) {
    std::string_view host = take_part(rest, ':');
    const auto fate =
        find_by_name<Fate>(take_part(host, '/'), fates, [](Fate value) { return name_of(value); });
    const auto keep =
        find_by_name<Keep>(host, all_keeps, [](Keep value) { return name_of(value); });
    if (!fate || !keep) return std::nullopt;
    crash.fate[node] = *fate;
    crash.keep[node] = *keep;
  }
  const auto number = parse_number(rest);
  if (!number) return std::nullopt;
  crash.number = *number;
  return crash;
}

}  // namespace

std::string to_text(const Crashes& crashes) {
  std::string text;
  for (const Crash& crash : crashes) {
    text += fmt::format("{}{}:{}/{}:{}/{}:{}", text.empty() ? "" : "+", crash.point,
                        name_of(crash.fate[0]), name_of(crash.keep[0]), name_of(crash.fate[1]),
                        name_of(crash.keep[1]), crash.number);
  }
  return text;
}

std::optional<Crashes> parse_crashes(const std::string& text) {
  Crashes crashes;
  std::string_view rest = text;
  do {
    const auto crash = parse_crash(take_part(rest, '+'));
    if (!crash) return std::nullopt;
    crashes.push_back(*crash);
  } while (!rest.empty());
  return crashes;
}

}  // namespace baton::crash
