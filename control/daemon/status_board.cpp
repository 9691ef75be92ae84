#include "control/daemon/status_board.h"

#include <fmt/format.h>

#include <utility>

namespace baton::control {
namespace {

std::string_view word_for(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::notice:
      return "notice";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "?";
}

}  // namespace

void StatusBoard::publish(StatusEntry entry) {
  shard_.post_from_outside(
      [this, moved = std::make_shared<StatusEntry>(std::move(entry))] { take(std::move(*moved)); });
}

void StatusBoard::note(LogLevel level, std::string resource, std::string text) {
  // The engine's lines name their resource themselves.
  if (!text.starts_with(resource + ":")) text = fmt::format("{}: {}", resource, text);
  log_line(level, text);
  shard_.post_from_outside([this, level, resource = std::move(resource), text = std::move(text)] {
    Change change;
    change.data["event"] = "note";
    change.data["object"] = "resource";
    change.data["name"] = resource;
    change.data["level"] = word_for(level);
    change.data["text"] = text;
    change.text = text;
    tell(change);
  });
}

const StatusEntry* StatusBoard::find(const std::string& resource) const {
  const auto found = entries_.find(resource);
  return found == entries_.end() ? nullptr : &found->second;
}

void StatusBoard::take(StatusEntry entry) {
  const StatusEntry* before = find(entry.status.name);
  // What a resource looks like before it comes up is no change of state.
  auto level = before == nullptr ? LogLevel::debug : LogLevel::notice;
  if (!entry.error.empty()) level = LogLevel::error;
  for (const Change& change : changes(before, entry)) {
    log_line(level, change.text);
    tell(change);
  }
  entries_[entry.status.name] = std::move(entry);
  changed_.notify_all();
}

void StatusBoard::tell(const Change& change) {
  for (Subscriber& subscriber : subscribers_) subscriber.heard(change);
}

}  // namespace baton::control
