// What a comparison of two copies has found to differ: ranges in rising order, the first of them by
// place, all of them by number and size. Pure; bounded memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baton::replication {

struct FoundRange {
  std::uint32_t volume = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  friend bool operator==(const FoundRange&, const FoundRange&) = default;
};

class FoundRanges {
 public:
  // More places than a person looks at; where a whole disk differs, the list stays this long.
  static constexpr std::size_t listed_max = 64;

  // In rising order; a range that touches the last one becomes part of it.
  void add(FoundRange range);

  bool empty() const { return ranges_ == 0; }
  const std::vector<FoundRange>& listed() const { return listed_; }
  std::uint64_t ranges() const { return ranges_; }  // those that are not listed, too
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<FoundRange> listed_;
  FoundRange last_;
  std::uint64_t ranges_ = 0;
  std::uint64_t bytes_ = 0;
};

// "volume 0 at 4096+8192, volume 1 at 0+4096, and 3 more", at most `most` of them by place.
std::string text_of(const std::vector<FoundRange>& listed, std::uint64_t ranges, std::size_t most);

}  // namespace baton::replication
