#include "control/protocol.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

namespace baton::control {
namespace {

namespace json = boost::json;

std::unexpected<Error> malformed(std::string_view what) {
  return failure(fmt::format("malformed control message: {}", what));
}

Result<json::object> parse_object(std::string_view line) {
  boost::system::error_code error;
  json::value value = json::parse(line, error);
  if (error) return malformed(error.message());
  if (!value.is_object()) return malformed("not an object");
  return std::move(value.as_object());
}

Result<> take_flag(const json::key_value_pair& member, bool& flag) {
  if (!member.value().is_bool())
    return malformed(fmt::format("{} is no bool", std::string(member.key())));
  flag = member.value().get_bool();
  return {};
}

Result<> take_text(const json::key_value_pair& member, std::string& text) {
  if (!member.value().is_string())
    return malformed(fmt::format("{} is no text", std::string(member.key())));
  text = std::string(member.value().get_string());
  return {};
}

Result<> take_seconds(const json::key_value_pair& member, std::optional<std::uint32_t>& seconds) {
  boost::system::error_code error;
  const auto value = member.value().to_number<std::uint32_t>(error);
  if (error) return malformed("timeout is no number of seconds");
  seconds = value;
  return {};
}

Result<> take_guest(const json::key_value_pair& member, std::string& guest) {
  if (auto good = take_text(member, guest); !good) return good;
  if (guest != "stopped" && guest != "running") return malformed("guest is stopped or running");
  return {};
}

Result<> take_option(const json::key_value_pair& member, VerbOptions& options) {
  const std::string_view key = member.key();
  if (key == "force") return take_flag(member, options.force);
  if (key == "confirmed") return take_flag(member, options.confirmed);
  if (key == "discard-my-data") return take_flag(member, options.discard_my_data);
  if (key == "no-undo") return take_flag(member, options.no_undo);
  if (key == "allow") return take_flag(member, options.allow);
  if (key == "deny") return take_flag(member, options.deny);
  if (key == "guest") return take_guest(member, options.guest);
  if (key == "repair") return take_flag(member, options.repair);
  if (key == "from-start") return take_flag(member, options.from_start);
  if (key == "stop") return take_flag(member, options.stop);
  if (key == "to") return take_text(member, options.to);
  if (key == "keep") return take_text(member, options.keep);
  if (key == "dry-run") return take_flag(member, options.dry_run);
  if (key == "postcopy") return take_flag(member, options.postcopy);
  if (key == "uri") return take_text(member, options.uri);
  if (key == "timeout") return take_seconds(member, options.timeout_seconds);
  return malformed(fmt::format("unknown option {}", key));
}

Result<> take_options(const json::key_value_pair& member, VerbOptions& options) {
  if (!member.value().is_object()) return malformed("options are no object");
  for (const auto& option : member.value().get_object()) {
    if (auto good = take_option(option, options); !good) return good;
  }
  return {};
}

Result<> take_id(const json::key_value_pair& member, std::uint64_t& id) {
  boost::system::error_code error;
  id = member.value().to_number<std::uint64_t>(error);
  if (error) return malformed("id is no number");
  return {};
}

Result<> take_member(const json::key_value_pair& member, Request& request) {
  const std::string_view key = member.key();
  if (key == "id") return take_id(member, request.id);
  if (key == "verb") return take_text(member, request.verb);
  if (key == "resource") return take_text(member, request.resource);
  if (key == "options") return take_options(member, request.options);
  return malformed(fmt::format("unknown member {}", key));
}

json::object to_json(const VerbOptions& options) {
  json::object object;
  if (options.force) object["force"] = true;
  if (options.confirmed) object["confirmed"] = true;
  if (options.discard_my_data) object["discard-my-data"] = true;
  if (options.no_undo) object["no-undo"] = true;
  if (!options.keep.empty()) object["keep"] = options.keep;
  if (options.allow) object["allow"] = true;
  if (options.deny) object["deny"] = true;
  if (!options.guest.empty()) object["guest"] = options.guest;
  if (options.repair) object["repair"] = true;
  if (options.from_start) object["from-start"] = true;
  if (options.stop) object["stop"] = true;
  if (!options.to.empty()) object["to"] = options.to;
  if (options.dry_run) object["dry-run"] = true;
  if (options.postcopy) object["postcopy"] = true;
  if (!options.uri.empty()) object["uri"] = options.uri;
  if (options.timeout_seconds) object["timeout"] = *options.timeout_seconds;
  return object;
}

constexpr std::string_view key_of(Reply::Kind kind) {
  switch (kind) {
    case Reply::Kind::progress:
      return "progress";
    case Reply::Kind::event:
      return "event";
    case Reply::Kind::result:
      return "result";
    case Reply::Kind::error:
      return "error";
  }
  return "?";
}

}  // namespace

std::string encode(const Request& request) {
  json::object object;
  object["id"] = request.id;
  object["verb"] = request.verb;
  if (!request.resource.empty()) object["resource"] = request.resource;
  if (json::object options = to_json(request.options); !options.empty()) {
    object["options"] = std::move(options);
  }
  return json::serialize(object);
}

Result<Request> decode_request(std::string_view line) {
  const auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  Request request;
  for (const auto& member : *object) {
    if (auto good = take_member(member, request); !good) return std::unexpected(good.error());
  }
  if (request.verb.empty()) return malformed("no verb");
  return request;
}

Reply progress_reply(std::uint64_t id, const std::string& text, double fraction) {
  return {id, Reply::Kind::progress, {{"text", text}, {"fraction", fraction}}};
}

Reply event_reply(std::uint64_t id, json::object data, const std::string& text) {
  return {id, Reply::Kind::event, {{"data", std::move(data)}, {"text", text}}};
}

Reply result_reply(std::uint64_t id, json::value result) {
  return {id, Reply::Kind::result, std::move(result)};
}

Reply error_reply(std::uint64_t id, const Error& error) {
  json::object body;
  body["kind"] = error.needs_confirmation ? "needs-confirmation" : "refused";
  body["message"] = error.message;
  body["exit-code"] = static_cast<unsigned>(error.exit_code);
  return {id, Reply::Kind::error, std::move(body)};
}

std::string encode(const Reply& reply) {
  json::object object;
  object["id"] = reply.id;
  object[key_of(reply.kind)] = reply.body;
  return json::serialize(object);
}

Result<Reply> decode_reply(std::string_view line) {
  const auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  Reply reply;
  if (const auto* id = object->find("id"); id != object->end()) {
    if (auto good = take_id(*id, reply.id); !good) return std::unexpected(good.error());
  }
  for (const auto kind :
       {Reply::Kind::progress, Reply::Kind::event, Reply::Kind::result, Reply::Kind::error}) {
    const json::value* body = object->if_contains(key_of(kind));
    if (body == nullptr) continue;
    reply.kind = kind;
    reply.body = *body;
    return reply;
  }
  return malformed("neither progress, event, result nor error");
}

Progress progress_of(const Reply& reply) {
  Progress progress;
  const json::object* body = reply.body.if_object();
  if (body == nullptr) return progress;
  if (const json::value* text = body->if_contains("text"); text && text->is_string()) {
    progress.text = std::string(text->get_string());
  }
  if (const json::value* fraction = body->if_contains("fraction")) {
    boost::system::error_code error;
    const double share = fraction->to_number<double>(error);
    if (!error) progress.fraction = share;
  }
  return progress;
}

Error error_of(const Reply& reply) {
  Error error{.message = "the daemon gave no reason"};
  const json::object* body = reply.body.if_object();
  if (body == nullptr) return error;
  if (const json::value* message = body->if_contains("message"); message && message->is_string()) {
    error.message = std::string(message->get_string());
  }
  const json::value* kind = body->if_contains("kind");
  error.needs_confirmation =
      kind && kind->is_string() && kind->get_string() == "needs-confirmation";
  const json::value* code = body->if_contains("exit-code");
  if (code && *code == static_cast<unsigned>(ExitCode::usage)) error.exit_code = ExitCode::usage;
  if (code && *code == static_cast<unsigned>(ExitCode::configuration)) {
    error.exit_code = ExitCode::configuration;
  }
  return error;
}

std::optional<std::string_view> LineSplitter::next() {
  buffer_.erase(0, std::exchange(taken_, 0));
  const std::size_t newline = buffer_.find('\n');
  if (newline == std::string::npos || newline > line_bytes_max_) return std::nullopt;
  taken_ = newline + 1;
  return std::string_view(buffer_).substr(0, newline);
}

bool LineSplitter::overflown() const {
  const std::size_t newline = buffer_.find('\n', taken_);
  const std::size_t end = newline == std::string::npos ? buffer_.size() : newline;
  return end - taken_ > line_bytes_max_;
}

}  // namespace baton::control
