#include "replication/core/unflushed.h"

#include "base/assert.h"

namespace baton::replication {

void UnflushedLog::note(std::uint64_t offset, std::uint64_t length, bool resync) {
  // A sequential writer extends the last entry instead of filling the log.
  if (count_ > 0) {
    Entry& last = entries_[(first_ + count_ - 1) % entries_.size()];
    if (last.interval == interval_ && last.resync == resync &&
        last.offset + last.length == offset) {
      last.length += length;
      return;
    }
  }
  BATON_ASSERT(!full(), "whoever notes has waited for room");
  entries_[(first_ + count_) % entries_.size()] = {offset, length, interval_, resync};
  ++count_;
}

}  // namespace baton::replication
