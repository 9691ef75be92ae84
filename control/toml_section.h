// One TOML table being read: typed values, and errors that name file, line and key.
//
// Members throw Error (design §2: exceptions only at start-up and in configuration); parse_resource
// catches it. Included by the reader of the configuration only: toml++ is slow to compile.
#pragma once

#include <toml++/toml.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace baton::control {

class TomlSection {
 public:
  // `title` is how the section is written: "[resource]". The table must outlive this object.
  TomlSection(const toml::table& table, std::string file, std::string title);

  // Throws for a key that is not in `known`. `elsewhere` says where a key belongs that is known in
  // another section, e.g. {"disks", "[node.NAME]"}.
  struct Elsewhere {
    std::string_view key;
    std::string_view section;
  };
  void only(std::span<const std::string_view> known, std::span<const Elsewhere> elsewhere) const;

  const toml::node* find(std::string_view key) const { return table_.get(key); }
  int line() const { return static_cast<int>(table_.source().begin.line); }
  int line_of(std::string_view key) const;

  // Empty when the key is absent; throws when its value has another type.
  std::optional<std::string> text(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<Duration> duration(std::string_view key) const;
  std::optional<std::uint64_t> size(std::string_view key) const;
  std::optional<std::vector<std::string>> texts(std::string_view key) const;

  // "FILE:LINE: message", exit code 10. The line is that of `key`, or of the section when absent.
  [[noreturn]] void fail(std::string_view key, std::string_view message) const;
  [[noreturn]] void fail(std::string_view message) const { fail({}, message); }

 private:
  const toml::table& table_;
  std::string file_;
  std::string title_;
};

}  // namespace baton::control
