#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// A node without its disk, served by the other (docs/replication.md). "A" is Primary.
const std::vector<Scenario> all = {
    // The baton is on its way to the role's node when that is demoted: it stays Secondary.
    {.name = "demoted-as-the-baton-comes", .script = R"(
primary A force
wait-sync
kill B
burst A requests=100 depth=16 reads=0 hot=400
start B
wait-connected
handover A expect=done
slow-link A ms=100
wait-sync
demote B expect=done
+1s is B Secondary
heal
promote A expect=done
burst A requests=10
)"},
    // Overlapping writes, read all the time: what the own disk has failed is begun once more in its
    // place, not after what had waited for its range.
    {.name = "begun-again-in-order", .script = R"(
primary A force
wait-sync
slow-disk B ms=20 permille=700
burst A requests=300 depth=24 reads=45 flushes=0 fua=0 discards=0 zeroes=0 hot=1 max=4096 background
+3ms fail A write sticky guarded
+4ms cut reset
+3ms heal
wait-idle
burst A requests=20 reads=100 hot=1
)"},
    // The old holder has not heard that its baton was taken when it is to serve the new one.
    {.name = "disk-fails-behind-an-unheard-grant", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
slow-link B ms=2000
handover A background
+3s cut B silence
fail B write sticky
burst B requests=4 depth=4 reads=0 background
+1s is B Primary Failed
+9s heal
wait-connected
is A Secondary
is B Primary
wait-idle
mend B
attach B
wait-sync
burst B requests=20 reads=50
)"},
    // The guest does not notice: no request of its clients fails, from the failure to the moment
    // when its own copy is the one that counts again.
    {.name = "disk-fails-under-the-guest", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=200 depth=16 reads=30 flushes=10 fua=10 background
burst B requests=20 reads=100 background
wait-idle
is A Primary Failed not-errors
is B Secondary UpToDate
burst A requests=100 depth=8 reads=40 flushes=10
mend A
attach A expect=done
burst A requests=100 depth=8 reads=40 background
wait-sync
+1s is A Primary UpToDate not-errors
is B Secondary UpToDate not-errors
handover A expect=done
burst B requests=60 reads=60
)"},
    {.name = "disk-fails-a-read", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
fail A read
burst A requests=40 depth=8 reads=80
is A Primary Failed not-errors
burst A requests=20 reads=50
)"},
    {.name = "disk-fails-a-flush", .script = R"(
primary A force
wait-sync
fail A flush
burst A requests=60 depth=8 reads=20 flushes=30
is A Primary Failed not-errors
burst A requests=20 reads=50 flushes=20
power B lose
kill A
mend A
start B
+1s promote B force
burst B requests=40 reads=100
start A
wait-sync
)"},
    // Both have what was acknowledged, whichever of the two is lost next.
    {.name = "served-then-failed-over", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=60 depth=8 reads=20 flushes=20
is A Primary Failed
kill A
+8s promote B expect=done
burst B requests=60 reads=80
mend A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // What was flushed through the holder outlives the holder's power; a client that lived on does
    // not write on top of what it knows and the disk has lost.
    {.name = "holder-of-the-served-loses-power", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=80 depth=8 reads=20 flushes=20
is A Primary Failed
burst A requests=80 depth=8 reads=0 flushes=10 background
+4ms power B lose
+1s start B
+3s is A Secondary
wait-idle
promote B force expect=done
burst B requests=60 reads=90
mend A
attach A
wait-sync
)"},
    // The link is gone for a while: the guest waits, and goes on.
    {.name = "served-through-a-bad-link", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=40 depth=8 reads=20
is A Primary Failed
burst A requests=100 depth=8 reads=30 flushes=10 background
+2ms cut reset
+3s heal
wait-idle
is A Primary Failed not-errors
)"},
    // The link goes with the disk: nobody has taken over yet, and the other has everything.
    {.name = "disk-and-link-fail-together", .script = R"(
primary A force
wait-sync
burst A requests=100 depth=8 reads=30 flushes=10 background
fail A write sticky
+3ms cut reset
+2s heal
wait-idle
wait-connected
is A Primary Failed not-errors
burst A requests=30 reads=50
)"},
    // While the Primary is served its holder dies for good: nothing is done until an operator says.
    {.name = "served-and-left-alone", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=40 depth=8 reads=20
is A Primary Failed
kill B
burst A requests=10 depth=4 reads=0 background
+30s mend A
start B
wait-connected
attach A
wait-sync
burst A requests=30 reads=50
)"},
    {.name = "detached-and-attached", .script = R"(
primary A force
wait-sync
burst A requests=100 depth=8 reads=20 flushes=5 background
+1ms detach A expect=done
wait-idle
is A Primary Diskless not-errors
burst A requests=60 depth=8 reads=40 flushes=10 background
burst B requests=20 reads=100
wait-idle
attach A expect=done
burst A requests=60 depth=8 reads=40 flushes=10 background
wait-sync
+1s is A Primary UpToDate not-errors
detach B expect=done
burst A requests=60 depth=8 reads=20
burst B requests=10 reads=100
is B Diskless not-errors
attach B expect=done
wait-sync
handover A expect=done
burst B requests=30 reads=70
)"},
    // The disk fails a write that the peer has, and the node dies before the peer has taken over.
    {.name = "killed-before-it-is-served", .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=0 hot=8
mark
burst A requests=12 depth=6 reads=0 flushes=0 fua=0 discards=0 hot=200 max=4096 background
+100us fail A write count=1
wait-idle
burst A requests=40 reads=100 hot=200
attach A
wait-sync
)"},
    // The link goes when the role has moved and the node that gave it has not been told.
    {.name = "role-moves-as-the-link-goes", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=10 reads=0 hot=8
hang B meta
handover A background
+80ms cut reset
+10ms mend B meta
+100ms heal
wait-connected
promote B
attach A
wait-sync
)"},
    // The holder that wrote for a guest is gone: the role can be given up all the same.
    {.name = "demoted-without-its-holder", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=10 reads=0 hot=8
kill B
demote A force expect=done
is A Secondary not-errors
start B
wait-connected
attach A expect=done
wait-sync
promote A expect=done
burst A requests=20 reads=50 hot=8
)"},
    // And what it had only in its cache no flush here is answered for.
    {.name = "demoted-and-then-flushed", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=20 reads=0 flushes=0 hot=8
wait-idle
cut
demote A force expect=done
burst A requests=2 reads=0 flushes=100
wait-idle
power B lose
heal
start B
wait-connected
attach A expect=done
wait-sync
promote A expect=done
burst A requests=20 reads=50 hot=8
)"},
    // A disk that comes back knows that others wrote without it.
    {.name = "attached-copy-is-older", .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=0 hot=8
detach A expect=done
burst A requests=40 depth=4 reads=0 flushes=20 hot=8
kill B
attach A expect=done
is A Outdated
promote A expect=refused
start B
wait-sync
burst A requests=20 reads=50 hot=8
)"},
    // What is taken over from a disk that fails must not hang on the cache of the copy that is
    // left.
    {.name = "takes-over-and-loses-power", .script = R"(
primary A force
wait-sync
burst A requests=30 depth=4 reads=0 flushes=0 fua=0 hot=4
mark
fail A read sticky
burst A requests=3 depth=1 reads=100 flushes=0 hot=4 background
wait-idle
mend A
burst A requests=20 reads=100 hot=4
attach A
wait-sync
burst A requests=20 reads=100 hot=4
)"},
    {.name = "moved-to-a-node-without-a-disk", .script = R"(
primary A force
wait-sync
detach B expect=done
wait-connected
handover A expect=done
is B Primary Diskless
burst B requests=40 depth=8 reads=40 flushes=10
is B not-errors
handover B expect=done
is A Primary UpToDate
burst A requests=20 reads=50
attach B
wait-sync
)"},
    // Found by the swarm (seed 1003250): the operator gives the better disk up before the two have
    // met.
    {.name = "crashed-copy-does-not-serve", .script = R"(
primary A force
wait-sync
burst A requests=60 reads=0 flushes=0 fua=0 hot=100
power A lose
start A
detach B
+3s is A not-UpToDate
attach B expect=done
wait-connected
promote A force
wait-sync
burst B requests=40 reads=100 hot=100
)"},
    // The guest flushes all the time while its copy is filled and the baton comes back.
    {.name = "flushes-as-the-baton-comes", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=60 depth=4 reads=0 hot=4
attach A background
burst A requests=900 depth=32 reads=0 flushes=90 hot=2 max=4096 background
wait-sync
wait-idle
is A Primary not-errors
)"},
    // Found by the swarm (seed 1003452): what was carried out, read, and begun once more came back
    // after a later write of the same block.
    {.name = "served-through-a-link-that-breaks-often", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=300 depth=8 reads=0 flushes=0 discards=0 zeroes=0 hot=1 max=4096 background
burst B requests=300 depth=4 reads=100 hot=1 background
+2ms cut reset
+120ms heal
+120ms cut reset
+1ms heal
+120ms cut reset
+1ms heal
+130ms cut reset
+1ms heal
+140ms cut reset
+1ms heal
wait-idle
is A not-errors
attach A expect=done
wait-sync
)"},
    // Refused where it would leave nobody with the data.
    {.name = "last-copy-is-not-detached", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
cut silence
+8s burst A requests=20 reads=0
detach A expect=refused
is A UpToDate
heal
wait-sync
)"},
};

}  // namespace

const std::vector<Scenario>& diskless_scripts() {
  return all;
}

}  // namespace baton::sim
