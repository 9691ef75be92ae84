// The address at which the destination QEMU listens for the guest's memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace baton::control::migration {

// "tcp:HOST:PORT" or "unix:PATH", as both `migrate-incoming` and `migrate` take it. HOST must be an
// address of the destination that the source can reach; IPv6 in brackets.
class MigrationUri {
 public:
  // A port of 0, or none, leaves the choice to the destination QEMU.
  static Result<MigrationUri> parse(std::string_view text);

  bool leaves_port_open() const { return leaves_port_open_; }
  MigrationUri with_port(std::uint16_t port) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string host_;  // of tcp, with its brackets
  bool leaves_port_open_ = false;
};

}  // namespace baton::control::migration
