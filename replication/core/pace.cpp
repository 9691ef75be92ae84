#include "replication/core/pace.h"

#include <algorithm>

namespace baton::replication {
namespace {

constexpr int rests_for_each_work = 3;
// A process that was stopped for an hour in the middle of a chunk does not rest for three.
constexpr Duration rest_max = std::chrono::seconds(1);

}  // namespace

TimePoint Pace::next(TimePoint began, TimePoint ended, std::uint64_t bytes, bool guest_writes) {
  due_ = std::max(due_, began);
  if (rate_ > 0) {
    const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_);
    due_ = due_ + Duration(static_cast<std::int64_t>(seconds * 1e9));
  }
  due_ = std::max(due_, ended);
  const Duration rest = std::min<Duration>((ended - began) * rests_for_each_work, rest_max);
  if (guest_writes) due_ = std::max(due_, ended + rest);
  return due_;
}

}  // namespace baton::replication
