#include "control/migration/qmp.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

namespace baton::control::migration {
namespace {

namespace json = boost::json;

// QMP replies nest a few levels; hostile input may not use up our stack.
constexpr std::size_t nesting_limit = 32;

const json::object* object_at(const json::object& parent, std::string_view key) {
  const json::value* member = parent.if_contains(key);
  return member == nullptr ? nullptr : member->if_object();
}

QmpGreeting greeting_of(const json::object& body) {
  QmpGreeting greeting;
  const json::object* version = object_at(body, "version");
  const json::object* qemu = version == nullptr ? nullptr : object_at(*version, "qemu");
  if (qemu != nullptr) {
    greeting.version = fmt::format("{}.{}.{}", number_at(*qemu, "major"), number_at(*qemu, "minor"),
                                   number_at(*qemu, "micro"));
  }
  return greeting;
}

QmpEvent event_of(const json::object& message, std::string_view name) {
  QmpEvent event;
  event.name = name;
  if (const json::object* data = object_at(message, "data")) event.data = *data;
  if (const json::object* at = object_at(message, "timestamp")) {
    event.at = std::chrono::seconds(number_at(*at, "seconds")) +
               std::chrono::microseconds(number_at(*at, "microseconds"));
  }
  return event;
}

std::optional<std::uint64_t> id_of(const json::object& message) {
  const json::value* id = message.if_contains("id");
  if (id == nullptr) return std::nullopt;
  if (const auto* positive = id->if_uint64()) return *positive;
  if (const auto* number = id->if_int64()) {
    if (*number >= 0) return static_cast<std::uint64_t>(*number);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> LineCutter::next() {
  while (!overlong_) {
    const std::size_t end = pending_.find('\n', searched_);
    const bool whole = end != std::string::npos;
    if ((whole ? end : pending_.size()) > limit_bytes_) {
      overlong_ = true;
      pending_.clear();
      break;
    }
    if (!whole) {
      searched_ = pending_.size();
      break;
    }
    std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    searched_ = 0;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) return line;
  }
  return std::nullopt;
}

Result<QmpMessage> parse_qmp(std::string_view line) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = nesting_limit;
  const json::value value =
      json::parse(json::string_view(line.data(), line.size()), error, {}, options);
  if (error) return failure(fmt::format("not a QMP message: {}", error.message()));
  const json::object* message = value.if_object();
  if (message == nullptr) return failure("not a QMP message: not a JSON object");
  if (const json::object* greeting = object_at(*message, "QMP")) return greeting_of(*greeting);
  if (const json::value* name = message->if_contains("event"); name && name->is_string()) {
    return event_of(*message, name->get_string());
  }
  if (const json::value* result = message->if_contains("return")) {
    return QmpReply{id_of(*message), *result};
  }
  if (const json::object* refused = object_at(*message, "error")) {
    std::string reason = string_at(*refused, "desc");
    if (reason.empty()) reason = "an error without a description";
    return QmpReply{id_of(*message), failure(std::move(reason))};
  }
  return failure("not a QMP message: neither greeting, event, return nor error");
}

std::string format_qmp(std::string_view command, const json::object& arguments, std::uint64_t id) {
  json::object message;
  message["execute"] = command;
  if (!arguments.empty()) message["arguments"] = arguments;
  message["id"] = id;
  return json::serialize(message);
}

std::string string_at(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  const json::value* member = object == nullptr ? nullptr : object->if_contains(key);
  if (member == nullptr || !member->is_string()) return {};
  return std::string(member->get_string());
}

std::uint64_t number_at(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  const json::value* member = object == nullptr ? nullptr : object->if_contains(key);
  if (member == nullptr) return 0;
  if (const auto* positive = member->if_uint64()) return *positive;
  if (const auto* number = member->if_int64()) {
    return *number < 0 ? 0 : static_cast<std::uint64_t>(*number);
  }
  return 0;
}

}  // namespace baton::control::migration
