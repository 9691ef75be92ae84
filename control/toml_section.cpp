#include "control/toml_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/nearest.h"
#include "control/units.h"

namespace baton::control {

TomlSection::TomlSection(const toml::table& table, std::string file, std::string title)
    : table_(table), file_(std::move(file)), title_(std::move(title)) {}

int TomlSection::line_of(std::string_view key) const {
  for (const auto& [name, value] : table_) {
    if (name.str() == key) return static_cast<int>(name.source().begin.line);
  }
  return line();
}

void TomlSection::fail(std::string_view key, std::string_view message) const {
  throw Error{fmt::format("{}:{}: {}", file_, line_of(key), message), ExitCode::configuration};
}

void TomlSection::only(std::span<const std::string_view> known,
                       std::span<const Elsewhere> elsewhere) const {
  // A toml::table is sorted by name; the person reads from top to bottom.
  const toml::key* first = nullptr;
  for (const auto& [name, value] : table_) {
    if (std::find(known.begin(), known.end(), name.str()) != known.end()) continue;
    if (first == nullptr || name.source().begin.line < first->source().begin.line) first = &name;
  }
  if (first == nullptr) return;
  const std::string_view name = first->str();
  for (const Elsewhere& other : elsewhere) {
    if (other.key != name) continue;
    fail(name, fmt::format("key \"{}\" does not belong in {}: move it to {}", name, title_,
                           other.section));
  }
  fail(name,
       fmt::format("unknown key \"{}\" in {}: {}", name, title_, suggestion(name, known, "key")));
}

std::optional<std::string> TomlSection::text(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value_exact<std::string>();
  if (!value) fail(key, fmt::format("{} in {} wants text in quotes", key, title_));
  if (value->empty()) fail(key, fmt::format("{} in {} is empty", key, title_));
  if (value->find('\0') != std::string::npos) {
    fail(key, fmt::format("{} in {} contains a NUL character", key, title_));
  }
  return value;
}

std::optional<bool> TomlSection::boolean(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value_exact<bool>();
  if (!value) fail(key, fmt::format("{} in {} wants true or false, without quotes", key, title_));
  return value;
}

std::optional<Duration> TomlSection::duration(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const auto written = node->value_exact<std::string>();
  const auto value = written ? parse_duration(*written) : std::nullopt;
  if (!value) {
    fail(key, fmt::format("{} in {} wants a duration in quotes, such as \"500ms\", \"6s\" or "
                          "\"2min\"",
                          key, title_));
  }
  return value;
}

std::optional<std::uint64_t> TomlSection::size(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  if (const auto bytes = node->value_exact<std::int64_t>(); bytes && *bytes > 0) {
    return static_cast<std::uint64_t>(*bytes);
  }
  const auto written = node->value_exact<std::string>();
  const auto value = written ? parse_size(*written) : std::nullopt;
  if (!value) {
    fail(key, fmt::format("{} in {} wants a size in quotes, such as \"8GiB\" or \"512MiB\"", key,
                          title_));
  }
  return value;
}

std::optional<std::vector<std::string>> TomlSection::texts(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const std::string expected =
      fmt::format("{} in {} wants a list of texts, such as {} = [\"...\"]", key, title_, key);
  const toml::array* array = node->as_array();
  if (array == nullptr) fail(key, expected);
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    const auto value = element.value_exact<std::string>();
    if (!value || value->empty() || value->find('\0') != std::string::npos) fail(key, expected);
    values.push_back(*value);
  }
  return values;
}

}  // namespace baton::control
