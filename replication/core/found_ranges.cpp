#include "replication/core/found_ranges.h"

#include <algorithm>

namespace baton::replication {

void FoundRanges::add(FoundRange range) {
  bytes_ += range.length;
  const bool touches =
      ranges_ > 0 && last_.volume == range.volume && last_.offset + last_.length == range.offset;
  if (touches) {
    // The last one is listed as long as there is room for all of them.
    const bool listed = ranges_ == listed_.size();
    last_.length += range.length;
    if (listed) listed_.back() = last_;
    return;
  }
  last_ = range;
  ++ranges_;
  if (listed_.size() < listed_max) listed_.push_back(range);
}

std::string text_of(const std::vector<FoundRange>& listed, std::uint64_t ranges, std::size_t most) {
  std::string text;
  const std::size_t shown = std::min(listed.size(), most);
  for (std::size_t i = 0; i < shown; ++i) {
    const FoundRange& range = listed[i];
    if (i > 0) text += ", ";
    text += "volume " + std::to_string(range.volume) + " at " + std::to_string(range.offset) + "+" +
            std::to_string(range.length);
  }
  if (ranges > shown) text += ", and " + std::to_string(ranges - shown) + " more";
  return text;
}

}  // namespace baton::replication
