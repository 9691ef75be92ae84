#include "tests/crash/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/hash.h"
#include "tests/simulation/prng.h"

namespace baton::crash {

const char* name_of(Part part) {
  return part == Part::data ? "data" : "metadata";
}

std::string name_of_node(int node) {
  return {static_cast<char>('A' + node)};
}

std::size_t Log::disk_submitted(DiskRequest request) {
  request.submitted = events();
  disk_.push_back(std::move(request));
  events_.push_back({.of_client = false, .begins = true, .index = disk_.size() - 1});
  return disk_.size() - 1;
}

void Log::disk_completed(std::size_t index) {
  disk_[index].completed = events();
  events_.push_back({.of_client = false, .begins = false, .index = index});
}

std::size_t Log::client_submitted(ClientRequest request) {
  request.submitted = events();
  client_.push_back(request);
  events_.push_back({.of_client = true, .begins = true, .index = client_.size() - 1});
  return client_.size() - 1;
}

void Log::client_answered(std::size_t index, bool done) {
  client_[index].answered = events();
  client_[index].done = done;
  events_.push_back({.of_client = true, .begins = false, .index = index});
}

void Log::turn_ended(unsigned counting) {
  if (turns_.empty() || turns_.back().events != events() || turns_.back().counting != counting) {
    turns_.push_back({.events = events(), .counting = counting});
  }
}

unsigned Log::counting_at(std::uint64_t point) const {
  // Every turn that ended at or before the point leaves the word of the last of them; the one that
  // was going on may have changed it before the point or behind it.
  const auto behind = std::ranges::upper_bound(turns_, point, {}, &Turn::events);
  if (behind == turns_.begin()) return 0;
  const std::uint64_t last = std::prev(behind)->events;
  unsigned counting = behind == turns_.end() ? ~0U : behind->counting;
  for (auto turn = behind; turn != turns_.begin() && std::prev(turn)->events == last; --turn) {
    counting &= std::prev(turn)->counting;
  }
  return counting;
}

const std::string& Log::chapter_of(std::uint64_t event) const {
  static const std::string none = "start";
  const std::string* name = &none;
  for (const auto& [first, chapter] : chapters_) {
    if (first <= event) name = &chapter;
  }
  return *name;
}

std::string Log::describe(std::uint64_t event) const {
  if (event >= events()) return fmt::format("event {}: the end", event);
  const Event& what = events_[event];
  std::string text = fmt::format("event {} ({}): ", event, chapter_of(event));
  const auto range = [](const auto& request) {
    if (request.op == blockdev::Op::flush) return std::string();
    return fmt::format(" of {} at {}{}", request.length, request.offset,
                       request.fua ? ", FUA" : "");
  };
  if (what.of_client) {
    const ClientRequest& request = client_[what.index];
    text +=
        fmt::format("client's {}{}, stamp {}", name_of(request.op), range(request), request.stamp);
    return text + (what.begins ? " submitted" : request.done ? " done" : " failed");
  }
  const DiskRequest& request = disk_[what.index];
  text += fmt::format("{} {}: {}{}", name_of_node(request.node), name_of(request.part),
                      name_of(request.op), range(request));
  return text + (what.begins ? " submitted" : " completed");
}

std::uint64_t Log::hash() const {
  std::uint64_t hash = 0;
  const auto fold = [&hash](std::uint64_t value) { hash = sim::mix(hash ^ value); };
  for (const DiskRequest& request : disk_) {
    fold(static_cast<std::uint64_t>(request.node) * 2 + static_cast<std::uint64_t>(request.part));
    fold(static_cast<std::uint64_t>(request.op));
    for (const std::uint64_t value :
         {request.offset, request.length, request.submitted, request.completed}) {
      fold(value);
    }
    fold(xxh3_64(std::span(request.bytes)));
  }
  for (const ClientRequest& request : client_) {
    for (const std::uint64_t value :
         {request.offset, request.length, request.submitted, request.answered, request.stamp}) {
      fold(value);
    }
  }
  return hash;
}

}  // namespace baton::crash
