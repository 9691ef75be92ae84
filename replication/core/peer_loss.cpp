#include "replication/core/peer_loss.h"

#include "base/mutant.h"

namespace baton::replication {

std::string_view name_of(OnPeerLost policy) {
  switch (policy) {
    case OnPeerLost::go_on:
      return "continue";
    case OnPeerLost::suspend:
      return "suspend";
    case OnPeerLost::fail:
      return "fail";
  }
  return "?";
}

AloneVerdict decide_alone(const AloneFacts& facts) {
  if (!facts.has_peer) return {"one-node", OnPeerLost::go_on};
  if (!facts.holds) return {"not-the-holder", OnPeerLost::go_on};
  if (facts.replicating) return {"with-the-peer", OnPeerLost::go_on};
  // Going on is no decision any more: it was made, and is on the disk.
  if (!facts.peer_may_go_on) return {"peer-known-behind", OnPeerLost::go_on};
  if (facts.peer_left && !mutant("suspends-at-a-goodbye")) return {"peer-left", OnPeerLost::go_on};
  if (facts.told_to_go_on) return {"told-to-go-on", OnPeerLost::go_on};
  if (mutant("suspend-ignored")) return {"continue", OnPeerLost::go_on};
  return {name_of(facts.policy), facts.policy};
}

}  // namespace baton::replication
