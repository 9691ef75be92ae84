#include "replication/core/fencing.h"

#include "base/mutant.h"

namespace baton::replication {

FenceWord fence_word(std::optional<int> code) {
  if (!code) return FenceWord::failed;
  switch (*code) {
    case 3:
      return FenceWord::peer_inconsistent;
    case 4:
      return FenceWord::peer_outdated;
    case 5:
      return FenceWord::peer_unreachable;
    case 6:
      return FenceWord::peer_primary;
    case 7:
      return FenceWord::peer_stonithed;
    default:
      return FenceWord::failed;
  }
}

bool peer_is_out(FenceWord word) {
  if (word == FenceWord::peer_unreachable) return mutant("unreachable-is-fenced");
  if (word == FenceWord::failed) return mutant("failed-handler-is-fenced");
  return word != FenceWord::peer_primary;
}

std::string_view sentence_of(FenceWord word) {
  switch (word) {
    case FenceWord::failed:
      return "nothing, it failed";
    case FenceWord::peer_inconsistent:
      return "its copy is Inconsistent";
    case FenceWord::peer_outdated:
      return "its copy is Outdated";
    case FenceWord::peer_unreachable:
      return "it cannot be reached, which proves nothing";
    case FenceWord::peer_primary:
      return "it is Primary";
    case FenceWord::peer_stonithed:
      return "it was switched off";
  }
  return "?";
}

}  // namespace baton::replication
