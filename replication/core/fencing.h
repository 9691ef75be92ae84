// What a fence-peer handler has said of the other node, and what it is worth (docs/replication.md
// "The peer is fenced"). The numbers are DRBD's, so that its handlers' authors find them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace baton::replication {

enum class FenceWord : std::uint8_t {
  failed,             // no exit code, or one that is none of these
  peer_inconsistent,  // 3: its copy is none that it could be promoted with
  peer_outdated,      // 4: it knows durably that it is behind
  peer_unreachable,   // 5: it could not be asked
  peer_primary,       // 6: it is Primary, and stays
  peer_stonithed,     // 7: it was switched off
};

// `code`: absent if the handler could not be run, or was ended by a signal.
FenceWord fence_word(std::optional<int> code);

// The other node does not write, and will not before it has met this one. Not reaching it proves
// nothing of the kind: it may be promoting itself.
bool peer_is_out(FenceWord word);

// Goes behind "the fence-peer handler says: ".
std::string_view sentence_of(FenceWord word);

}  // namespace baton::replication
