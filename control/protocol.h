// The control protocol: JSON objects, one a line, over the daemon's unix socket. Pure codec.
//
//   batonctl  {"id":1,"verb":"primary","resource":"vm1","options":{"force":true}}
//   batond    {"id":1,"progress":{"text":"...","fraction":0.43}}      any number, verbs that wait
//             {"id":1,"event":{"data":{...},"text":"..."}}            any number, verb "events"
//             {"id":1,"result":...}                                   the end, or
//             {"id":1,"error":{"kind":"refused","message":"..."}}     the end
//
// Requests of one client run side by side; a client that goes away ends its waits, and nothing
// else.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace baton::control {

// A request is a verb, a name and some flags: longer lines are somebody's mistake.
inline constexpr std::size_t request_bytes_max = std::size_t{16} * 1024;
// The status of a thousand resources is about 1 MiB.
inline constexpr std::size_t reply_bytes_max = std::size_t{16} * 1024 * 1024;

// The id of a reply that is for the client as a whole: it will get no other.
inline constexpr std::uint64_t no_request = 0;

struct VerbOptions {
  bool force = false;
  bool confirmed = false;  // the risk was named and accepted
  bool discard_my_data = false;
  std::string keep;      // resolve: node
  bool no_undo = false;  // resolve
  bool allow = false;
  bool deny = false;
  std::string guest;        // handover: "stopped" or "running"
  bool repair = false;      // verify
  bool from_start = false;  // verify
  bool stop = false;        // verify
  std::string to;
  std::string uri;
  bool dry_run = false;                          // migrate
  bool postcopy = false;                         // migrate
  std::optional<std::uint32_t> timeout_seconds;  // absent: as long as it takes
  friend bool operator==(const VerbOptions&, const VerbOptions&) = default;
};

struct Request {
  std::uint64_t id = 0;
  std::string verb;
  std::string resource;  // empty: all of them, where the verb allows it
  VerbOptions options;
  friend bool operator==(const Request&, const Request&) = default;
};

// Without the newline.
std::string encode(const Request& request);
// Anything but a well-formed request, unknown members included, is an error.
Result<Request> decode_request(std::string_view line);

struct Reply {
  enum class Kind : std::uint8_t { progress, event, result, error };
  std::uint64_t id = 0;
  Kind kind = Kind::result;
  boost::json::value body;

  bool last() const { return kind == Kind::result || kind == Kind::error; }
};

Reply progress_reply(std::uint64_t id, const std::string& text, double fraction);  // < 0: not known
Reply event_reply(std::uint64_t id, boost::json::object data, const std::string& text);
Reply result_reply(std::uint64_t id, boost::json::value result);
// kind "needs-confirmation" when the error says so: the message is then the risk.
Reply error_reply(std::uint64_t id, const Error& error);

std::string encode(const Reply& reply);
struct Progress {
  std::string text;
  double fraction = -1;  // < 0: not known
};
// Of a reply of kind progress; empty where it is malformed.
Progress progress_of(const Reply& reply);
Result<Reply> decode_reply(std::string_view line);
// Of a reply of kind error.
Error error_of(const Reply& reply);

// Cuts a stream of bytes into lines.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}

  void feed(std::string_view bytes) { buffer_ += bytes; }
  // The next whole line without its newline, or nothing. The view lives until the next call.
  std::optional<std::string_view> next();
  // True when the line in progress has grown beyond the limit: the other side is to be dropped.
  bool overflown() const;

 private:
  std::size_t line_bytes_max_;
  std::string buffer_;
  std::size_t taken_ = 0;
};

}  // namespace baton::control
