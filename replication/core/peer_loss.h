// The holder has lost its peer: does it go on alone (design §4 "Losing the peer")? Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace baton::replication {

// `on-peer-lost` in the configuration.
enum class OnPeerLost : std::uint8_t {
  go_on,    // "continue": a generation is made, and the writes go on
  suspend,  // writes wait for the peer, or for somebody who says that it may not be waited for
  fail,     // writes end with EIO until the peer is back
};
std::string_view name_of(OnPeerLost policy);

struct AloneFacts {
  OnPeerLost policy = OnPeerLost::go_on;
  bool holds = false;           // the baton
  bool has_peer = false;        // in the configuration
  bool replicating = false;     // with it
  bool peer_may_go_on = false;  // nothing durable says yet that its copy is behind
  bool peer_left = false;       // it said goodbye: an operator's doing, there or here
  bool told_to_go_on = false;   // since it was lost: resume-io, or a forced promotion
};

struct AloneVerdict {
  std::string_view row;  // the name of the test
  OnPeerLost then = OnPeerLost::go_on;
  friend bool operator==(const AloneVerdict&, const AloneVerdict&) = default;
};

AloneVerdict decide_alone(const AloneFacts& facts);

}  // namespace baton::replication
