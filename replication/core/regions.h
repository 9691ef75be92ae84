// Which of two primaries does the writes of a region (docs/dual-primary.md "Regions"). The holder
// of the baton lends regions to the other node for the life of a session, and takes them back when
// its own clients write there. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"

namespace baton::replication {

// As large as those of the activity log, for a first write into one costs as much.
inline constexpr std::uint64_t lent_region_bytes = 4U << 20U;

// Regions [first, first + count) of a volume; never empty.
struct RegionRun {
  std::uint64_t first = 0;
  std::uint64_t count = 1;
  friend bool operator==(const RegionRun&, const RegionRun&) = default;
};
// Those that a range of bytes touches; `length` is not 0.
RegionRun regions_of(std::uint64_t offset, std::uint64_t length);

// At the holder.
class LentRegions {
 public:
  explicit LentRegions(std::uint64_t regions = 0) : regions_(regions) {}

  bool lent_in(RegionRun run) const;   // any of it
  bool all_lent(RegionRun run) const;  // asked for back or not
  // A write of an own client: false, and nothing is noted, where something of it is lent.
  bool own_begins(RegionRun run);
  void own_ends(RegionRun run);
  // A write of the other node was done here. What is to be lent to it now, and counts as lent from
  // here on: a region that it keeps writing to, and behind one that was lent before, some that
  // nobody here has written to.
  std::optional<RegionRun> theirs(RegionRun run, TimePoint now);
  // A write that the other node did itself has arrived.
  void written(RegionRun run, TimePoint now);
  // Of the run, what is lent and was not asked for yet.
  std::vector<RegionRun> recall(RegionRun run);
  // The same, but for what the other node has written to lately: for a read of an own client, which
  // would cost a trip for as long as the region is lent.
  std::vector<RegionRun> recall_idle(RegionRun run, TimePoint now);
  std::vector<RegionRun> recall_all() { return recall({0, regions_}); }
  // False: it was not asked for.
  bool returned(RegionRun run, TimePoint now);
  // The session has ended.
  void forget();
  std::uint64_t lent() const { return lent_; }
  // Regions that were lent or came back, in all.
  std::uint64_t moves() const { return moves_; }

  // So many writes of the other node one after the other, with none of this one's between, and a
  // region is lent; four times as many after each time that it had to be taken back soon.
  static constexpr std::uint32_t lent_after = 2;
  static constexpr std::uint8_t contention_max = 6;
  static constexpr Duration soon = std::chrono::seconds(1);
  static constexpr std::uint64_t run_max = 16;
  static constexpr Duration idle = std::chrono::seconds(1);

 private:
  enum class State : std::uint8_t { here, lent, asked_for };
  struct Region {
    std::uint32_t own = 0;     // writes of own clients that have begun
    std::uint32_t theirs = 0;  // since the last of those
    State state = State::here;
    bool ours = false;  // own clients have written to it since the other node has
    std::uint8_t contention = 0;
    TimePoint lent_at;
    TimePoint written_at;  // not before lent_at
  };
  Region& region(std::uint64_t number);
  void lend(std::uint64_t number, TimePoint now);
  template <class Wanted>
  std::vector<RegionRun> recall_where(RegionRun run, const Wanted& wanted);
  std::span<const Region> regions(RegionRun run) const {
    return std::span(all_).subspan(run.first, run.count);
  }

  std::uint64_t regions_;
  std::vector<Region> all_;  // empty until there is something to note
  std::uint64_t lent_ = 0;   // asked for, too
  std::uint64_t moves_ = 0;
};

// At the other node.
class BorrowedRegions {
 public:
  explicit BorrowedRegions(std::uint64_t regions = 0) : regions_(regions) {}

  bool all_of(RegionRun run) const;
  // False: there is no such region.
  bool lent(RegionRun run);
  bool given_back(RegionRun run);
  void forget();
  std::uint64_t borrowed() const { return borrowed_; }
  std::uint64_t moves() const { return moves_; }

 private:
  bool set(RegionRun run, bool mine);
  std::uint64_t regions_;
  std::uint64_t borrowed_ = 0;
  std::uint64_t moves_ = 0;
  std::vector<bool> mine_;  // empty until something is lent
};

}  // namespace baton::replication
