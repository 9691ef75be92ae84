// How long something will still take, judged by how it went in the last seconds. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace baton::replication {

class Estimate {
 public:
  // `done` bytes are done by now, all in all; grows.
  void note(TimePoint now, std::uint64_t done);
  void forget() { *this = {}; }

  // Nothing until there is a basis: two seconds of work, and something done in them.
  std::optional<Duration> time_for(std::uint64_t to_go, TimePoint now) const;

 private:
  struct Sample {
    TimePoint at;
    std::uint64_t done = 0;
  };
  static constexpr std::size_t samples_max = 20;  // half a second apart: the last ten seconds
  const Sample& oldest() const { return samples_[(next_ + samples_max - count_) % samples_max]; }
  const Sample& newest() const { return samples_[(next_ + samples_max - 1) % samples_max]; }

  std::array<Sample, samples_max> samples_;
  std::size_t next_ = 0;
  std::size_t count_ = 0;
  Sample last_;
};

}  // namespace baton::replication
