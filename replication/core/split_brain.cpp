#include "replication/core/split_brain.h"

#include <algorithm>

namespace baton::replication {

GenerationId last_common(const Lineage& self, const Lineage& peer) {
  for (auto at = self.rbegin(); at != self.rend(); ++at) {
    if (std::ranges::find(peer, *at) != peer.end()) return *at;
  }
  return 0;
}

bool bitmaps_name_the_difference(const ForkedCopy& self, const ForkedCopy& peer) {
  const GenerationId common = last_common(self.lineage, peer.lineage);
  const auto since_common = [common](const ForkedCopy& copy) {
    return copy.complete && !copy.old_session &&
           (copy.slot_base == common || copy.slot_told == common);
  };
  return common != 0 && since_common(self) && since_common(peer);
}

}  // namespace baton::replication
