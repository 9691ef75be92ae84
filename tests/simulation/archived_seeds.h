// Seeds that ever broke a rule. A seed describes another world whenever the swarm changes, so this
// is no proof that a finding stays mended: that is what the finding's script is for, where one
// could be made. They are kept because a world that once was hard is a good one to look at again.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace baton::sim {

struct ArchivedSeed {
  std::uint64_t seed;
  std::string_view showed;
  std::string_view script = {};  // of scenarios(), made from it
};

const std::vector<ArchivedSeed>& archived_seeds();

}  // namespace baton::sim
