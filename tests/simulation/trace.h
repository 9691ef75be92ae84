// What happened, in order: records that cost next to nothing, a rolling hash over all of them, and
// readable lines made only when somebody wants to read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace baton::sim {

enum class Event : std::uint8_t {
  text,  // a line of the journal, of the operator or of the world
  disk_submit,
  disk_done,
  disk_lost,
  net_send,
  net_arrive,
  net_end,
  nbd_arrive,
  client_submit,
  client_done,
  turn,
};

struct Record {
  TimePoint at;
  Event event = Event::text;
  std::int8_t node = -1;  // -1: the world
  std::uint64_t a = 0, b = 0, c = 0;
  std::string text;
};

// "A", "B" … and "-" for the world.
std::string node_name(int node);
std::string to_text(const Record& record);

class Trace {
 public:
  using Sink = std::function<void(const std::string&)>;

  explicit Trace(const TimePoint& now) : now_(now), ring_(ring_records) {}

  // The meaning of a, b, c is in to_text().
  void note(Event event, int node, std::uint64_t a, std::uint64_t b, std::uint64_t c);
  void say(int node, std::string text);

  std::uint64_t hash() const { return hash_; }
  std::uint64_t records() const { return count_; }
  // The newest `lines` lines, oldest first. `spoken_only`: without disk and network events.
  std::vector<std::string> last(std::size_t lines, bool spoken_only = false) const;
  // Every record from now on, as text.
  void print_to(Sink sink) { sink_ = std::move(sink); }

 private:
  Record& next_record(Event event, int node);
  void fold(std::uint64_t value);
  static constexpr std::size_t ring_records = 1024;  // what a reader of a violation looks back at
  const TimePoint& now_;
  std::vector<Record> ring_;
  std::uint64_t count_ = 0;
  std::uint64_t hash_ = 0;
  Sink sink_;
};

}  // namespace baton::sim
