// What one peer has been sent and has not yet flushed (rules 5 and 6). Pure; fixed memory.
//
// Writes are noted in the current interval. A flush of the peer starts a new interval and, once it
// has succeeded, forgets the intervals before it. When the session ends, everything still noted
// becomes bits. When the log is nearly full its owner must flush the peer (schedules:
// never-flushes).
#pragma once

#include <cstdint>
#include <vector>

namespace baton::replication {

class UnflushedLog {
 public:
  struct Entry {
    std::uint64_t offset;
    std::uint64_t length;
    std::uint64_t interval;
    bool resync;  // its bits may be cleared once it is flushed
  };

  explicit UnflushedLog(std::size_t capacity) : entries_(capacity) {}

  bool full() const { return count_ == entries_.size(); }
  // The owner should flush the peer now: half of the room is used.
  bool pressing() const { return count_ * 2 >= entries_.size(); }
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }

  // Not while full().
  void note(std::uint64_t offset, std::uint64_t length, bool resync);

  // Ends the current interval and returns its number; a flush submitted from now on covers it.
  std::uint64_t begin_interval() { return interval_++; }
  // The peer has flushed everything noted in `interval` or before. Calls visit(entry) for each.
  template <class Visit>
  void flushed(std::uint64_t interval, Visit visit) {
    while (count_ > 0 && front().interval <= interval) {
      visit(front());
      pop();
    }
  }
  // The session ended: calls visit(entry) for everything noted, and forgets it.
  template <class Visit>
  void drain(Visit visit) {
    while (count_ > 0) {
      visit(front());
      pop();
    }
  }

 private:
  const Entry& front() const { return entries_[first_]; }
  void pop() {
    first_ = (first_ + 1) % entries_.size();
    --count_;
  }
  std::vector<Entry> entries_;  // a ring
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::uint64_t interval_ = 1;
};

}  // namespace baton::replication
