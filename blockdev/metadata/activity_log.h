// Which regions are in the activity log, which of them may leave, and in which order: pure.
//
// Every active region is in one of three places. In use: a write is under way. Dirty: no longer in
// use, but not known to be flushed everywhere; ordered by last release. Clean: may leave, least
// recently released first. So a hit, a release and an eviction are each a few pointer changes.
//
// Regions that are on their way into the log are *pending*: reserved for those who asked for them,
// not active for anybody else until changes_durable().
//
// An eviction and an activation may share one write of the log. An evicted region needs nothing, so
// either its presence or its absence on the disk is right; a pending one is not granted before the
// write is durable, so its absence is right. Any mixture of old and new bits is therefore right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace baton::blockdev {

class ActivityLog {
 public:
  // At most `limit` of `regions` regions are active at a time.
  ActivityLog(std::uint64_t regions, std::size_t limit);

  // At load: `region` is in the log on disk. Raises the limit if need be. Counts as released in
  // interval 1, the first.
  void restore(std::uint64_t region);

  std::size_t size() const { return entries_.size() - free_.count; }
  std::size_t limit() const { return entries_.size(); }
  std::size_t dirty() const { return dirty_.count; }
  bool active(std::uint64_t region) const;

  // If all of [first, first + count) are active: one use of each begins. No allocation.
  bool use_if_active(std::uint64_t first, std::uint64_t count);
  // One use of each ends.
  void release(std::uint64_t first, std::uint64_t count);

  struct Change {
    std::uint64_t region = 0;
    bool active = false;
  };
  enum class Admission : std::uint8_t {
    granted,  // all were active; a use has begun
    planned,  // a use has begun; it may be granted after changes_durable()
    blocked,  // nothing was done: too few regions may leave
  };
  // Makes room and reserves what is missing. Appends what has to be written to `changes` and adds
  // the number of missing regions to `missing`.
  Admission admit(std::uint64_t first, std::uint64_t count, std::vector<Change>& changes,
                  std::uint64_t& missing);
  // All changes handed out so far are on stable storage.
  void changes_durable();

  // True, and every region left, if none is in use, dirty or pending.
  bool evict_all(std::vector<Change>& changes);

  // blockdev/metadata/metadata.h
  std::uint64_t begin_interval() { return interval_++; }
  void mark_clean(std::uint64_t interval);

 private:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index{0};
  struct Entry {
    std::uint64_t region = 0;
    std::uint64_t released_in = 0;  // interval of the last release
    std::uint32_t uses = 0;
    bool pending = false;
    Index before = none;  // neighbours in the list it is in; none while in use
    Index after = none;
  };
  struct List {
    Index first = none;
    Index last = none;
    std::size_t count = 0;
  };

  void append(List& list, Index index);
  void remove(List& list, Index index);
  List& list_of(const Entry& entry);
  void begin_use(Index index);
  void end_use(Index index);
  void evict(Index index, std::vector<Change>& changes);

  std::vector<Index> entry_of_;  // by region
  std::vector<Entry> entries_;
  List dirty_;
  List clean_;
  List free_;
  std::vector<Index> pending_;
  std::uint64_t interval_ = 1;
  std::uint64_t clean_interval_ = 0;
};

}  // namespace baton::blockdev
