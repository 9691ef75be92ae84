// The holder has lost its peer and on-peer-lost says that its writes do not go on without it
// (design section 4 "Losing the peer").
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

using replication::OnPeerLost;

const std::vector<Scenario> all = {
    // What B had only received dies with it, and with A's power what A remembers of that: a flush
    // that was answered meanwhile was a lie.
    {.name = "suspended-flush-waits",
     .script = R"(
primary A force
wait-sync
slow-disk B ms=2000 permille=1000
burst A requests=8 depth=1 reads=0 flushes=0 fua=0 discards=0 zeroes=0
flush A background
+10ms kill B
+1s is A suspended
mend B
start B
power A keep
+1s start A
wait-sync
)",
     .protocol = replication::Protocol::b,
     .on_peer_lost = replication::OnPeerLost::suspend},
    // The peer comes back: the writes that were under way are finished with it.
    {.name = "suspended-until-the-peer-is-back",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20 background
cut silence
burst A requests=20 depth=4 reads=0 background
+12s is A Primary UpToDate Connecting suspended not-errors
heal
wait-connected
wait-idle
is A Primary not-errors
wait-sync
burst A requests=20 reads=50
is A not-errors not-split-brain
)",
     .on_peer_lost = OnPeerLost::suspend},
    // Whoever knows that it is not coming says so.
    {.name = "suspended-and-resumed",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20 background
kill B
burst A requests=20 depth=4 reads=0 background
+3s resume-io A expect=done
wait-idle
burst A requests=20 reads=50
is A Primary UpToDate not-errors not-suspended
start B
wait-sync
is B Secondary UpToDate not-split-brain
)",
     .on_peer_lost = OnPeerLost::suspend},
    // The other node takes the place of one that waits: nothing was done there meanwhile, so there
    // is one history.
    {.name = "suspended-and-replaced",
     .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=20 flushes=10
wait-idle
cut silence
burst A requests=20 depth=4 reads=0 background
+12s promote B force expect=done
burst B requests=40 depth=4 reads=20
heal
wait-connected
is A Secondary not-split-brain
is B Primary not-split-brain
wait-sync
burst B requests=20 reads=50
)",
     .on_peer_lost = OnPeerLost::suspend},
    // A peer that is stopped in order, or told to leave, was no failure.
    {.name = "goodbye-suspends-nothing",
     .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=20
stop B
burst A requests=20 depth=4 reads=20
wait-idle
is A Primary UpToDate not-errors
start B
wait-sync
disconnect B expect=done
burst A requests=20 depth=4 reads=20
wait-idle
is A Primary not-errors
connect B
wait-sync
)",
     .on_peer_lost = OnPeerLost::suspend},
    // Nobody comes: bounded, with the error at which a guest pauses (rule 11).
    {.name = "suspended-for-too-long",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20 background
cut silence
burst A requests=20 depth=4 reads=0 background
+40s is A Primary UpToDate suspended errors
wait-idle
heal
wait-sync
burst A requests=20 reads=50
)",
     .on_peer_lost = OnPeerLost::suspend},
    // What failed for its client while the peer was being lost is on this disk, and perhaps nowhere
    // else: it is not shown, and whichever copy goes on is right.
    {.name = "failed-write-is-not-read",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20
burst A requests=200 depth=16 reads=0 hot=4 background
+200us cut silence
+45s burst A requests=60 depth=8 reads=100 hot=4
wait-idle
stop A
heal
start A
wait-connected
+5s burst B requests=40 reads=100 hot=4
)",
     .on_peer_lost = OnPeerLost::suspend},
    {.name = "fails-without-its-peer",
     .script = R"(
primary A force
wait-sync
cut silence
+12s burst A requests=20 depth=4 reads=0
wait-idle
is A Primary UpToDate suspended errors
heal
wait-sync
burst A requests=20 reads=50
)",
     .on_peer_lost = OnPeerLost::fail},
};

}  // namespace

const std::vector<Scenario>& peer_loss_scripts() {
  return all;
}

}  // namespace baton::sim
