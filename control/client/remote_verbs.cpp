#include "control/client/remote_verbs.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <vector>

#include "control/client/daemon_connection.h"
#include "control/client/terminal.h"
#include "control/migration_result.h"
#include "control/status.h"

namespace baton::control {
namespace {

namespace json = boost::json;

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);  // `events` into a pipe is read as it comes
}

Result<> print_status(const json::value& result, bool as_json) {
  if (as_json) {
    print_line(json::serialize(result));
    return {};
  }
  std::vector<StatusEntry> entries;
  if (const json::array* array = result.if_array()) {
    for (const json::value& each : *array) {
      auto entry = status_from_json(each);
      if (!entry) return std::unexpected(entry.error());
      entries.push_back(std::move(*entry));
    }
  }
  fmt::print("{}", status_text(entries));
  return {};
}

void print_event(const Reply& reply, bool as_json) {
  const json::object* event = reply.body.if_object();
  if (event == nullptr) return;
  const json::value* part = event->if_contains(as_json ? "data" : "text");
  if (part == nullptr) return;
  print_line(part->is_string() ? std::string(part->get_string()) : json::serialize(*part));
}

Result<> print_migration(const json::value& result, bool as_json) {
  const auto migration = migration_result_from_json(result);
  if (!migration) return std::unexpected(migration.error());
  print_line(as_json ? json::serialize(result) : migration_text(*migration));
  return {};
}

void print_verify(const json::value& result, bool as_json) {
  const json::object* answer = result.if_object();
  if (answer == nullptr) return;
  const json::value* part = answer->if_contains(as_json ? "verify" : "text");
  if (part == nullptr) return;
  print_line(part->is_string() ? std::string(part->get_string()) : json::serialize(*part));
}

// One request and everything that comes back.
Result<json::value> exchange(DaemonConnection& daemon, const Request& request, bool as_json) {
  if (auto sent = daemon.send(request); !sent) return std::unexpected(sent.error());
  ProgressLine line;
  while (true) {
    auto reply = daemon.receive();
    if (!reply) return std::unexpected(reply.error());
    if (reply->id != request.id && reply->id != no_request) continue;
    switch (reply->kind) {
      case Reply::Kind::progress:
        line.show(progress_of(*reply).text, progress_of(*reply).fraction);
        break;
      case Reply::Kind::event:
        print_event(*reply, as_json);
        break;
      case Reply::Kind::error:
        return std::unexpected(error_of(*reply));
      case Reply::Kind::result:
        return std::move(reply->body);
    }
  }
}

Result<json::value> exchange_confirmed(DaemonConnection& daemon, Request request, bool as_json) {
  auto answer = exchange(daemon, request, as_json);
  if (answer || !answer.error().needs_confirmation) return answer;
  if (!can_ask()) {
    return failure(
        fmt::format("{}; nothing was changed: add --yes to accept this", answer.error().message));
  }
  if (!ask(answer.error().message)) return failure("nothing was changed: it was not confirmed");
  request.options.confirmed = true;
  ++request.id;
  return exchange(daemon, request, as_json);
}

}  // namespace

Result<> ask_daemon(const Arguments& arguments) {
  const std::string start =
      fmt::format("batond --config {} --node {} --run-dir {}", arguments.configuration,
                  arguments.node, arguments.run_directory);
  auto daemon = DaemonConnection::open(arguments.run_directory, start);
  if (!daemon) return std::unexpected(daemon.error());
  Request request{.id = 1,
                  .verb = arguments.verb,
                  .resource = arguments.resource,
                  .options = arguments.options};
  const auto answer = exchange_confirmed(*daemon, std::move(request), arguments.json);
  if (!answer) return std::unexpected(answer.error());
  if (arguments.verb == "status") return print_status(*answer, arguments.json);
  if (arguments.verb == "verify") print_verify(*answer, arguments.json);
  if (arguments.verb == "migrate") return print_migration(*answer, arguments.json);
  return {};
}

}  // namespace baton::control
