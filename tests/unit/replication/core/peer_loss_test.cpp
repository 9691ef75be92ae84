// Goal: each reason to go on alone, or not to, by name; and nothing but those stops a holder.
#include "replication/core/peer_loss.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

AloneFacts lost(OnPeerLost policy) {
  return {.policy = policy, .holds = true, .has_peer = true, .peer_may_go_on = true};
}

TEST(PeerLoss, the_policy_decides_for_a_holder_whose_peer_may_go_on) {
  for (const OnPeerLost policy : {OnPeerLost::go_on, OnPeerLost::suspend, OnPeerLost::fail}) {
    EXPECT_EQ(decide_alone(lost(policy)).then, policy);
    EXPECT_EQ(decide_alone(lost(policy)).row, name_of(policy));
  }
}

TEST(PeerLoss, there_are_reasons_to_go_on_whatever_the_policy_says) {
  for (const OnPeerLost policy : {OnPeerLost::suspend, OnPeerLost::fail}) {
    AloneFacts facts = lost(policy);
    facts.has_peer = false;
    EXPECT_EQ(decide_alone(facts).row, "one-node");
    facts = lost(policy);
    facts.holds = false;
    EXPECT_EQ(decide_alone(facts).row, "not-the-holder");
    facts = lost(policy);
    facts.replicating = true;
    EXPECT_EQ(decide_alone(facts).row, "with-the-peer");
    facts = lost(policy);
    facts.peer_may_go_on = false;
    EXPECT_EQ(decide_alone(facts).row, "peer-known-behind");
    facts = lost(policy);
    facts.peer_left = true;
    EXPECT_EQ(decide_alone(facts).row, "peer-left");
    facts = lost(policy);
    facts.told_to_go_on = true;
    EXPECT_EQ(decide_alone(facts).row, "told-to-go-on");
  }
}

TEST(PeerLoss, of_all_facts_only_these_stop_a_holder) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
    for (const OnPeerLost policy : {OnPeerLost::go_on, OnPeerLost::suspend, OnPeerLost::fail}) {
      const AloneFacts facts{policy, bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)};
      const bool stops = facts.holds && facts.has_peer && !facts.replicating &&
                         facts.peer_may_go_on && !facts.peer_left && !facts.told_to_go_on;
      EXPECT_EQ(decide_alone(facts).then, stops ? policy : OnPeerLost::go_on);
    }
  }
}

}  // namespace
}  // namespace baton::replication
