// QMP's syntax, pure: bytes to lines, lines to messages, commands to lines.
//
// QMP (QEMU's docs/interop/qmp-spec.rst) is one JSON object a line in both directions. The server
// greets, the client answers with qmp_capabilities, then every command gets one reply that carries
// the command's id, and events come in between. What a QEMU sends is bounded here before it is
// parsed (rule 10): a line that is too long or no JSON object is an error that ends the connection.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace baton::control::migration {

// Cuts a stream of bytes into lines. Both "\n" and "\r\n" end one; empty lines are dropped.
class LineCutter {
 public:
  // Longest line accepted. The longest reply that the coordinator asks for has under 2 KiB; 1 MiB
  // leaves room for a relay to carry anything but query-qmp-schema's greater brothers.
  static constexpr std::size_t default_limit_bytes = std::size_t{1} << 20U;

  explicit LineCutter(std::size_t limit_bytes = default_limit_bytes) : limit_bytes_(limit_bytes) {}

  void add(std::string_view bytes) { pending_.append(bytes); }
  // The next whole line without its end; nothing when more bytes are needed.
  std::optional<std::string> next();
  // True once a line has passed the limit: nothing that follows can be trusted to begin a line.
  bool overlong() const { return overlong_; }

 private:
  std::size_t limit_bytes_;
  std::string pending_;
  std::size_t searched_ = 0;  // of pending_; so that a line in many pieces is searched once
  bool overlong_ = false;
};

struct QmpGreeting {
  std::string version;  // "7.2.22"
};

struct QmpReply {
  std::optional<std::uint64_t> id;   // absent in a reply to something unparsable
  Result<boost::json::value> value;  // or QEMU's own description of the error
};

struct QmpEvent {
  std::string name;
  boost::json::object data;
  // The host's wall clock, as QEMU stamped it.
  std::chrono::microseconds at{0};
};

using QmpMessage = std::variant<QmpGreeting, QmpReply, QmpEvent>;

// Fails with a reason if the line is none of the three.
Result<QmpMessage> parse_qmp(std::string_view line);

// One command as one line, without its end.
std::string format_qmp(std::string_view command, const boost::json::object& arguments,
                       std::uint64_t id);

// The member as a string, empty if it is absent or something else; for what QEMU reports.
std::string string_at(const boost::json::value& value, std::string_view key);
// The member as a number that is not negative, 0 otherwise.
std::uint64_t number_at(const boost::json::value& value, std::string_view key);

}  // namespace baton::control::migration
