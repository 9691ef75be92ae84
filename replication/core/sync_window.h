// How much of a resync may be on its way (design §5, §7). Pure: told the time, it answers how much.
//
// Alone it tunes itself, so that a flush or a write that queues behind it does not wait long, on a
// fast link and on a slow one: more while answers are quick, less when not.
//
// While clients ask for something ("busy"), one copy at a time is on its way, and then none for
// twice as long as that took. Its size is such that it takes about as long as the clients' own
// requests do, on fast disks and on slow ones. So a request meets one copy at most, two times of
// three none, and takes half as long again in the mean.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace baton::replication {

// How long the requests of clients take, of late. Zero: nobody knows.
class ClientTime {
 public:
  // What waited for something else than the disks and the link says little about them.
  static constexpr Duration sample_max = std::chrono::milliseconds(50);

  void took(Duration time) {
    const Duration sample = std::min<Duration>(time, sample_max);
    mean_ = mean_ == Duration{} ? sample : mean_ + (sample - mean_) / 8;
  }
  Duration mean() const { return mean_; }

 private:
  Duration mean_{};
};

class SyncWindow {
 public:
  // Blocks of 4 KiB. The largest message of data, and the longest hole that one message tells of.
  static constexpr std::uint64_t data_blocks_max = 256;
  static constexpr std::uint64_t busy_data_blocks_first = 16;
  static constexpr std::uint64_t busy_data_blocks_least = 8;
  static constexpr std::uint64_t hole_blocks_max = 4096;
  static constexpr std::uint64_t busy_hole_blocks_max = 256;
  static constexpr std::uint64_t bytes_first = 256U << 10U;
  static constexpr std::uint64_t bytes_most = 16U << 20U;
  static constexpr std::uint64_t bytes_least = 4096;
  static constexpr Duration answer_quick = std::chrono::milliseconds(50);
  static constexpr Duration answer_slow = std::chrono::milliseconds(250);
  // A process that was stopped for an hour in the middle of a copy does not rest for two.
  static constexpr Duration rest_max = std::chrono::seconds(1);

  bool empty() const { return in_flight_ == 0; }
  // May another copy begin?
  bool has_room(bool busy) const { return empty() || (in_flight_ < bytes_max_ && !busy); }
  // Not before this, while clients are active.
  TimePoint rests_until() const { return rests_until_; }
  std::uint64_t data_blocks(bool busy) const {
    const std::uint64_t most = busy ? busy_blocks_ : data_blocks_max;
    return std::clamp<std::uint64_t>(bytes_max_ / block / 2, 1, most);
  }
  static std::uint64_t hole_blocks(bool busy) {
    return busy ? busy_hole_blocks_max : hole_blocks_max;
  }

  void begins(std::uint64_t bytes) { in_flight_ += bytes; }
  // `client`: how long their requests take, if they are active; else zero.
  void ended(std::uint64_t bytes, TimePoint began, TimePoint now, Duration client) {
    in_flight_ -= bytes;
    const Duration took = now - began;
    rests_until_ = now + std::min<Duration>(took * 2, rest_max);
    if (client == Duration{}) return;
    if (took > client * 2) busy_blocks_ = std::max(busy_blocks_ / 2, busy_data_blocks_least);
    // A shorter one says nothing about longer ones.
    const bool whole = bytes >= busy_blocks_ * block;
    if (took < client && whole) busy_blocks_ = std::min(busy_blocks_ * 2, data_blocks_max);
  }
  // The peer took so long for one message. True if less is to be on its way from now on.
  bool answered(Duration took) {
    if (took < answer_quick) bytes_max_ = std::min(bytes_max_ * 2, bytes_most);
    if (took > answer_slow) bytes_max_ = std::max(bytes_max_ / 2, bytes_least);
    return took > answer_slow;
  }

 private:
  static constexpr std::uint64_t block = 4096;
  std::uint64_t bytes_max_ = bytes_first;
  std::uint64_t in_flight_ = 0;
  std::uint64_t busy_blocks_ = busy_data_blocks_first;
  TimePoint rests_until_;
};

}  // namespace baton::replication
