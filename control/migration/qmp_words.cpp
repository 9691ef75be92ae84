#include "control/migration/qmp_words.h"

#include <boost/json/array.hpp>
#include <charconv>

#include "base/assert.h"

namespace baton::control::migration {
namespace {

namespace json = boost::json;

// Those named, and postcopy-ram as it is wanted: an earlier migration may have left it on.
json::object capabilities(std::initializer_list<std::string_view> names, bool postcopy) {
  json::array list;
  const auto add = [&list](std::string_view name, bool on) {
    json::object capability;
    capability["capability"] = name;
    capability["state"] = on;
    list.push_back(std::move(capability));
  };
  for (const std::string_view name : names) add(name, true);
  add("postcopy-ram", postcopy);
  json::object arguments;
  arguments["capabilities"] = std::move(list);
  return arguments;
}

json::object with(std::string_view key, std::string_view value) {
  json::object arguments;
  arguments[key] = value;
  return arguments;
}

Heard run_state(Side side, const std::string& status) {
  const bool source = side == Side::source;
  if (status == "running") {
    return {source ? EventKind::source_is_running : EventKind::destination_is_running, status};
  }
  // A guest that a storage error paused migrates paused, and retries its request over there.
  if (status == "paused" || status == "io-error") {
    return {source ? EventKind::source_is_paused : EventKind::destination_is_paused, status};
  }
  if (!source && status == "inmigrate") return {EventKind::destination_is_waiting, status};
  return {source ? EventKind::source_is_unfit : EventKind::destination_is_unfit, status};
}

// MigrationStatus of QEMU's qapi/migration.json.
EventKind source_status(std::string_view status) {
  if (status.empty() || status == "none") return EventKind::source_none;
  if (status == "pre-switchover") return EventKind::source_pre_switchover;
  if (status == "device") return EventKind::source_device;
  if (status == "completed") return EventKind::source_completed;
  if (status == "failed" || status == "cancelled") return EventKind::source_failed;
  if (status == "postcopy-paused") return EventKind::source_postcopy_paused;
  // Also postcopy-recover, -recover-setup: somebody has given it a path again.
  if (status.starts_with("postcopy-")) return EventKind::source_postcopy;
  return EventKind::source_active;  // setup, active, cancelling, wait-unplug, colo
}

Heard migration_state(const json::value& reply) {
  const std::string status = string_at(reply, "status");
  const std::string description = string_at(reply, "error-desc");
  return {source_status(status), description.empty() ? status : description};
}

Heard location(const json::value& reply) {
  if (port_in(reply)) return {EventKind::destination_located, {}};
  return {EventKind::destination_error, "its reply to query-migrate names no port"};
}

}  // namespace

bool is_storage(Action action) {
  return action == Action::storage_prepare || action == Action::storage_offer ||
         action == Action::storage_grant || action == Action::storage_take_back;
}

QmpCommand command_of(Action action, const MigrationWords& words) {
  constexpr Side source = Side::source;
  constexpr Side destination = Side::destination;
  switch (action) {
    case Action::source_query_status:
      return {source, "query-status", {}};
    case Action::source_query_migrate:
      return {source, "query-migrate", {}};
    // `events`: MIGRATION events; `return-path`: the source completes only after the destination
    // has loaded everything.
    case Action::source_set_capabilities:
      return {source, "migrate-set-capabilities",
              capabilities({"events", "pause-before-switchover", "return-path"}, words.postcopy)};
    case Action::source_migrate:
      return {source, "migrate", with("uri", words.uri)};
    case Action::source_start_postcopy:
      return {source, "migrate-start-postcopy", {}};
    case Action::source_continue:
      return {source, "migrate-continue", with("state", "pre-switchover")};
    case Action::source_cancel:
      return {source, "migrate_cancel", {}};
    case Action::source_cont:
      return {source, "cont", {}};
    case Action::source_quit:
      return {source, "quit", {}};
    case Action::destination_query_status:
      return {destination, "query-status", {}};
    // `late-block-activate`: a destination started with -S activates its disks at `cont`, not at
    // the end of the migration (QEMU 10 always does so).
    case Action::destination_set_capabilities:
      return {destination, "migrate-set-capabilities",
              capabilities({"events", "return-path", "late-block-activate"}, words.postcopy)};
    case Action::destination_incoming:
      return {destination, "migrate-incoming", with("uri", words.uri)};
    case Action::destination_locate:
      return {destination, "query-migrate", {}};
    case Action::destination_cont:
      return {destination, "cont", {}};
    case Action::destination_quit:
      return {destination, "quit", {}};
    case Action::storage_prepare:
    case Action::storage_offer:
    case Action::storage_grant:
    case Action::storage_take_back:
      break;
  }
  BATON_ASSERT(false, "the caller has sorted out the storage's verbs with is_storage()");
  return {};
}

QmpCommand go_on_cancelling() {
  return {Side::source, "migrate-continue", with("state", "cancelling")};
}

Heard heard_from(Action action, const Result<json::value>& reply) {
  const Side side = command_of(action, {}).side;
  const bool source = side == Side::source;
  if (!reply) {
    return {source ? EventKind::source_error : EventKind::destination_error, reply.error().message};
  }
  switch (action) {
    case Action::source_query_status:
    case Action::destination_query_status:
      return run_state(side, string_at(*reply, "status"));
    case Action::source_query_migrate:
      return migration_state(*reply);
    case Action::destination_locate:
      return location(*reply);
    default:
      return {source ? EventKind::source_ok : EventKind::destination_ok, {}};
  }
}

std::optional<Heard> heard_from(Side side, const QmpEvent& event) {
  const bool source = side == Side::source;
  if (event.name == "STOP" && source) return Heard{EventKind::source_stopped, {}};
  if (event.name == "RESUME") {
    return Heard{source ? EventKind::source_resumed : EventKind::destination_resumed, {}};
  }
  if (event.name == "MIGRATION_PASS" && source && number_at(event.data, "pass") > 1) {
    return Heard{EventKind::source_passed, {}};
  }
  if (event.name != "MIGRATION") return std::nullopt;
  const std::string status = string_at(event.data, "status");
  if (source) {
    const EventKind kind = source_status(status);
    if (kind == EventKind::source_none) return std::nullopt;
    return Heard{kind, status};
  }
  if (status == "completed") return Heard{EventKind::destination_completed, status};
  if (status == "failed") return Heard{EventKind::destination_failed, "its migration failed"};
  if (status == "postcopy-paused") return Heard{EventKind::destination_postcopy_paused, status};
  return std::nullopt;
}

std::optional<std::uint16_t> port_in(const json::value& reply) {
  const json::object* body = reply.if_object();
  const json::value* addresses = body == nullptr ? nullptr : body->if_contains("socket-address");
  const json::array* list = addresses == nullptr ? nullptr : addresses->if_array();
  if (list == nullptr || list->empty()) return std::nullopt;
  const std::string digits = string_at(list->front(), "port");  // QAPI makes it a string
  std::uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || stopped != end || port == 0) return std::nullopt;
  return port;
}

}  // namespace baton::control::migration
