// The plan's actions as QMP commands, and QMP's words as the plan's events. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/migration/plan.h"
#include "control/migration/qmp_session.h"

namespace baton::control::migration {

struct QmpCommand {
  Side side = Side::source;
  std::string_view name;
  boost::json::object arguments;
};

// What every migration says in its own words.
struct MigrationWords {
  std::string uri;
  bool postcopy = false;
};
// Of an action that is a QMP command.
QmpCommand command_of(Action action, const MigrationWords& words);
bool is_storage(Action action);
// Lets a migrate_cancel that got stuck take its course.
QmpCommand go_on_cancelling();

struct Heard {
  EventKind kind;
  std::string detail;
};

// What the reply to `action` means for the plan.
Heard heard_from(Action action, const Result<boost::json::value>& reply);
// What a QMP event means; nothing where the plan does not care.
std::optional<Heard> heard_from(Side side, const QmpEvent& event);

// The port that a listening destination names in its reply to query-migrate.
std::optional<std::uint16_t> port_in(const boost::json::value& reply);

}  // namespace baton::control::migration
