// A peer is lost, and the fence-peer handler has its say (docs/replication.md "The peer is
// fenced").
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

using replication::OnPeerLost;

const std::vector<Scenario> all = {
    // The Primary's host dies: the other one makes sure, and takes over without force and without a
    // split brain.
    {.name = "fenced-and-taken-over",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20 background
power A lose
+8s promote B expect=done
burst B requests=40 depth=4 reads=40
is B Primary
start A
wait-sync
is A Secondary UpToDate not-split-brain
burst B requests=20 reads=50
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // The link is cut, and both want to go on: whoever fences first does, the other is off.
    {.name = "only-one-of-two-goes-on",
     .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=20 background
cut silence
burst A requests=40 depth=4 reads=0 background
+6500ms promote B background
+60s heal
start A
start B
wait-connected
wait-sync
is A not-split-brain
is B not-split-brain
)",
     .seeds = 20,
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // The holder waits until the handler has said that the other is out.
    {.name = "goes-on-when-fenced",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=20 background
cut silence
burst A requests=20 depth=4 reads=0 background
+60s is A Primary UpToDate not-suspended
wait-idle
heal
start B
wait-sync
is B Secondary UpToDate not-split-brain
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // That it cannot be reached proves nothing, and a handler that fails says nothing.
    {.name = "unreachable-is-not-fenced",
     .script = R"(
primary A force
wait-sync
fencing unreachable
cut silence
+60s burst A requests=20 depth=4 reads=0 background
promote B expect=refused
is A Primary UpToDate suspended
is B Secondary
heal
wait-connected
wait-idle
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    {.name = "failed-handler-fences-nobody",
     .script = R"(
primary A force
wait-sync
fencing broken
cut silence
+60s burst A requests=20 depth=4 reads=0 background
promote B expect=refused
is A Primary UpToDate suspended
heal
wait-connected
wait-idle
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // B was fenced, A went on alone; B comes back and cannot see A: it must not have it shot.
    {.name = "restarted-copy-does-not-fence",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=20
cut silence
burst A requests=20 depth=4 reads=0 background
+60s wait-idle
start B
+8s promote B expect=refused
burst A requests=20 depth=4 reads=40
is A Primary UpToDate
heal
wait-sync
is B Secondary UpToDate not-split-brain
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // Behind a goodbye the holder goes on alone, and is right.
    {.name = "nobody-is-fenced-behind-a-goodbye",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=20
disconnect B
burst A requests=20 depth=4 reads=20
+5s promote B expect=refused
burst A requests=20 depth=4 reads=40
is A Primary UpToDate not-errors not-suspended
connect B
wait-sync
)",
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // The word that the peer is out is of this loss, not of the next one.
    {.name = "fenced-of-an-earlier-loss",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=20 background
cut silence
+11s heal
start B
wait-sync
fencing unreachable
cut silence
burst A requests=20 depth=4 reads=0 background
+60s is A Primary UpToDate suspended
heal
wait-connected
wait-idle
)",
     .seeds = 20,
     .on_peer_lost = OnPeerLost::suspend,
     .fencing = Fencing::works},
    // A handler that has another way to B tells it so.
    {.name = "outdated-by-a-handler",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=20
outdate B expect=refused
outdate A expect=refused
cut silence
+8s outdate B expect=done
promote B expect=refused
is B Outdated
kill B
start B
+1s is B Outdated
promote B expect=refused
heal
wait-sync
is B Secondary UpToDate
promote A
)",
     .on_peer_lost = OnPeerLost::suspend},
};

}  // namespace

const std::vector<Scenario>& fencing_scripts() {
  return all;
}

}  // namespace baton::sim
