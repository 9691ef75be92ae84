// A resync is held and goes on, and the peer's copy is given up (docs/replication.md "A resync is
// held", "A copy is given up").
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

const std::vector<Scenario> all = {
    // Either node holds it, in whatever session, and both have to let it go on.
    {.name = "pause-sync", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=200 depth=8 reads=0 hot=2000
pause-sync B expect=done
heal
wait-connected
+3s is A PausedSyncS UpToDate
is B PausedSyncT Inconsistent
burst A requests=40 depth=8 reads=20 hot=2000
burst B requests=20 reads=100 hot=2000
pause-sync A expect=done
resume-sync B expect=done
+2s is A PausedSyncS
cut reset
+100ms heal
wait-connected
+2s is A PausedSyncS
is B PausedSyncT Inconsistent not-errors
resume-sync A expect=done
wait-sync
is A Established
)"},
    // In the middle of it; and the daemon that comes back has forgotten its operator's word.
    {.name = "pause-sync-in-the-middle", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=400 depth=8 reads=0 hot=4000
heal
wait-connected
+2ms pause-sync A
burst A requests=20 depth=4 reads=20 hot=2000
kill B
start B
wait-connected
burst A requests=20 depth=4 reads=20 hot=2000
kill A
start A
wait-sync
)"},
    {.name = "invalidate-remote", .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=0
invalidate-remote B expect=refused
pause-sync A
burst A requests=60 depth=8 reads=10 background
invalidate-remote A expect=done
wait-connected
wait-idle
is A Primary UpToDate PausedSyncS not-errors
is B Inconsistent
invalidate-remote A expect=refused
resume-sync A
wait-sync
kill B
+8s invalidate-remote A expect=refused
start B
wait-sync
)"},
    // Not the copy of a guest that the other node serves.
    {.name = "invalidate-remote-of-a-primary", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=20 reads=20
invalidate-remote B expect=refused
attach A expect=done
wait-sync
)"},
    // The baton is on its way to the copy that is given up (found by seed 202): whoever comes
    // first.
    {.name = "invalidated-under-a-grant",
     .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=0
handover A background
+200us invalidate-remote A background
+50ms burst B requests=20 depth=4 flushes=10
wait-sync
handover B background
+300us invalidate A background
+50ms burst A requests=20 depth=4 flushes=10
wait-sync
burst A requests=20 reads=60
)",
     .seeds = 40},
    // What both had in their caches is on the source's disk before the other copy is given up
    // (found
    // by seeds 1004290 and 1004380).
    {.name = "given-up-behind-a-flush",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=0 flushes=0 fua=0
wait-idle
invalidate-remote A background
+50ms power A lose
+2s start A
wait-sync
burst A requests=20 reads=60
)",
     .seeds = 40,
     .on_peer_lost = replication::OnPeerLost::suspend},
    // The link goes while the peer gives its copy up.
    {.name = "invalidate-remote-is-cut", .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=0
invalidate-remote A background
+100us cut silence
+9s heal
wait-sync
burst A requests=20 depth=8
)"},
};

}  // namespace

const std::vector<Scenario>& resync_scripts() {
  return all;
}

}  // namespace baton::sim
