#include "blockdev/metadata/activity_log.h"

#include "base/assert.h"
#include "base/mark.h"
#include "base/mutant.h"

namespace baton::blockdev {

ActivityLog::ActivityLog(std::uint64_t regions, std::size_t limit)
    : entry_of_(regions, none), entries_(limit) {
  for (Index i = 0; i < limit; ++i) append(free_, i);
  pending_.reserve(limit);
}

void ActivityLog::restore(std::uint64_t region) {
  BATON_ASSERT(entry_of_[region] == none, "a region is in the log once");
  if (free_.count == 0) {
    reached("activity-log-restored-beyond-its-limit");
    entries_.emplace_back();
    append(free_, static_cast<Index>(entries_.size() - 1));
  }
  const Index index = free_.first;
  remove(free_, index);
  entries_[index] = Entry{.region = region, .released_in = interval_};
  entry_of_[region] = index;
  append(dirty_, index);
}

bool ActivityLog::active(std::uint64_t region) const {
  const Index index = entry_of_[region];
  return index != none && !entries_[index].pending;
}

bool ActivityLog::use_if_active(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t region = first; region < first + count; ++region) {
    if (!active(region)) return false;
  }
  for (std::uint64_t region = first; region < first + count; ++region) {
    begin_use(entry_of_[region]);
  }
  return true;
}

void ActivityLog::release(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t region = first; region < first + count; ++region) {
    BATON_ASSERT(active(region), "a region in use does not leave the log");
    end_use(entry_of_[region]);
  }
}

ActivityLog::Admission ActivityLog::admit(std::uint64_t first, std::uint64_t count,
                                          std::vector<Change>& changes, std::uint64_t& missing) {
  std::uint64_t absent = 0;
  std::uint64_t clean_and_wanted = 0;  // may leave, but is asked for here
  bool all_active = true;
  for (std::uint64_t region = first; region < first + count; ++region) {
    const Index index = entry_of_[region];
    if (index == none) {
      ++absent;
      all_active = false;
      continue;
    }
    const Entry& entry = entries_[index];
    all_active = all_active && !entry.pending;
    if (entry.uses == 0 && entry.released_in <= clean_interval_) ++clean_and_wanted;
  }
  if (absent > free_.count + clean_.count - clean_and_wanted) return Admission::blocked;

  missing += absent;
  // What is wanted goes into use first, so that it is not among those that leave.
  for (std::uint64_t region = first; region < first + count; ++region) {
    if (entry_of_[region] != none) begin_use(entry_of_[region]);
  }
  for (std::uint64_t region = first; region < first + count; ++region) {
    if (entry_of_[region] != none) continue;
    if (free_.count == 0) evict(clean_.first, changes);
    const Index index = free_.first;
    remove(free_, index);
    entries_[index] = Entry{.region = region, .uses = 1, .pending = true};
    entry_of_[region] = index;
    pending_.push_back(index);
    changes.push_back({.region = region, .active = true});
  }
  return all_active ? Admission::granted : Admission::planned;
}

void ActivityLog::changes_durable() {
  for (const Index index : pending_) entries_[index].pending = false;
  pending_.clear();
}

bool ActivityLog::evict_all(std::vector<Change>& changes) {
  if (clean_.count != size()) return false;
  while (clean_.count > 0) evict(clean_.first, changes);
  return true;
}

void ActivityLog::mark_clean(std::uint64_t interval) {
  BATON_ASSERT(interval < interval_, "only an interval that has ended can be clean");
  if (interval <= clean_interval_) return;
  clean_interval_ = interval;
  while (dirty_.count > 0 && entries_[dirty_.first].released_in <= interval) {
    const Index index = dirty_.first;
    remove(dirty_, index);
    append(clean_, index);
  }
}

void ActivityLog::begin_use(Index index) {
  Entry& entry = entries_[index];
  if (entry.uses == 0) remove(list_of(entry), index);
  ++entry.uses;
}

void ActivityLog::end_use(Index index) {
  Entry& entry = entries_[index];
  BATON_ASSERT(entry.uses > 0, "every release has its acquire");
  if (--entry.uses > 0) return;
  entry.released_in = mutant("region-clean-at-release") ? clean_interval_ : interval_;
  append(list_of(entry), index);
}

void ActivityLog::evict(Index index, std::vector<Change>& changes) {
  Entry& entry = entries_[index];
  remove(clean_, index);
  changes.push_back({.region = entry.region, .active = false});
  entry_of_[entry.region] = none;
  append(free_, index);
}

ActivityLog::List& ActivityLog::list_of(const Entry& entry) {
  return entry.released_in <= clean_interval_ ? clean_ : dirty_;
}

void ActivityLog::append(List& list, Index index) {
  Entry& entry = entries_[index];
  entry.before = list.last;
  entry.after = none;
  (list.last == none ? list.first : entries_[list.last].after) = index;
  list.last = index;
  ++list.count;
}

void ActivityLog::remove(List& list, Index index) {
  const Entry& entry = entries_[index];
  (entry.before == none ? list.first : entries_[entry.before].after) = entry.after;
  (entry.after == none ? list.last : entries_[entry.after].before) = entry.before;
  --list.count;
}

}  // namespace baton::blockdev
