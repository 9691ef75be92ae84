#include "replication/core/estimate.h"

#include <algorithm>

namespace baton::replication {
namespace {

constexpr Duration between_samples = std::chrono::milliseconds(500);
constexpr Duration basis = std::chrono::seconds(2);
// Longer than this nobody believes it, and the sum stays far from any limit.
constexpr double most_seconds = 1e9;

}  // namespace

void Estimate::note(TimePoint now, std::uint64_t done) {
  last_ = {now, done};
  if (count_ > 0 && now - newest().at < between_samples) return;
  samples_[next_] = last_;
  next_ = (next_ + 1) % samples_max;
  count_ = std::min(count_ + 1, samples_max);
}

std::optional<Duration> Estimate::time_for(std::uint64_t to_go, TimePoint now) const {
  if (count_ == 0) return std::nullopt;
  // Time in which nothing was done counts as well.
  const Duration span = std::max(now, last_.at) - oldest().at;
  if (span < basis || last_.done <= oldest().done) return std::nullopt;
  const double seconds = std::chrono::duration<double>(span).count() * static_cast<double>(to_go) /
                         static_cast<double>(last_.done - oldest().done);
  return std::chrono::seconds(static_cast<std::int64_t>(std::min(seconds, most_seconds)));
}

}  // namespace baton::replication
