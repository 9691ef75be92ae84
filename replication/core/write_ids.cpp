#include "replication/core/write_ids.h"

#include <iterator>
#include <utility>

namespace baton::replication {

std::uint64_t OwnWriteIds::begin(std::uint64_t count) {
  const std::uint64_t first = next_;
  next_ += count;
  in_use_[first].count = count;
  return first;
}

void OwnWriteIds::end(std::uint64_t first) {
  in_use_.erase(first);
}

std::uint64_t OwnWriteIds::oldest() const {
  return in_use_.empty() ? next_ : in_use_.begin()->first;
}

void OwnWriteIds::arrived(std::uint64_t id) {
  auto after = in_use_.upper_bound(id);
  if (after == in_use_.begin()) return;
  auto& [first, range] = *std::prev(after);
  if (id - first < range.count) range.arrived.insert(id);
}

std::uint64_t OwnWriteIds::arrived_of(std::uint64_t first) const {
  const auto found = in_use_.find(first);
  return found == in_use_.end() ? 0 : found->second.arrived.size();
}

void DoneWrites::belong_to(std::uint64_t instance) {
  const std::vector<std::uint64_t> applied = std::exchange(applied_, {});
  if (std::exchange(instance_, instance) == instance) {
    for (const std::uint64_t id : applied) {
      if (id != 0) note(id, IoError::none);
    }
    return;
  }
  done_.clear();
  forgotten_ = 0;
}

void DoneWrites::note_applied(std::uint64_t number, std::uint64_t id) {
  if (applied_.empty()) applied_.resize(under_way_most);
  applied_[number % under_way_most] = id;
}

std::optional<IoError> DoneWrites::find(std::uint64_t id) const {
  const auto found = done_.find(id);
  if (found != done_.end()) return found->second;
  if (id <= forgotten_) return IoError::no_space;
  return std::nullopt;
}

void DoneWrites::note(std::uint64_t id, IoError error) {
  done_[id] = error;
  if (done_.size() <= most) return;
  forgotten_ = done_.begin()->first;
  done_.erase(done_.begin());
}

void DoneWrites::forget_before(std::uint64_t id) {
  done_.erase(done_.begin(), done_.lower_bound(id));
}

}  // namespace baton::replication
